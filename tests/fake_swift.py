# Copyright glancetx contributors. See LICENSE for details.

"""
A Swift for tests: proxies on loopback that do what a real cluster was seen to do, and
fail as they are told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from attrs import define, field
from twisted.trial.unittest import TestCase

from glancetx.testing import Fault

from .fake_swift_wire import Answer, Asked, Proxy, Stream, Trouble

__all__ = ["ACCOUNT", "FakeSwift", "Stored"]

ACCOUNT = "/v1/AUTH_test"
USER, KEY = "test:tester", "testing"
CHUNK = 65536


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@define
class Stored:
    """
    An object.

    :ivar manifest: what it is made of, if it is a manifest.
    :ivar delete_at: when it goes, by the fake's :attr:`~FakeSwift.now`.
    """

    data: bytes
    etag: str
    born: int
    manifest: list[dict[str, Any]] | None = None
    delete_at: float | None = None
    headers: dict[str, str] = field(factory=dict)


class FakeSwift:
    """
    A cluster.

    :ivar asked: what came, in order.
    :ivar containers: objects by container and name.
    :ivar troubles: what will go wrong.
    :ivar fault: asked before each request for containers and objects, which is
        answered with 503 if it fails.
    :ivar tokens: those that are good.
    :ivar stale: paths that only some replicas have: missing, unless asked with
        X-Newest.
    :ivar lagging: listings do not get to know new objects.
    :ivar ghosts: listings do not get to know that objects are gone.
    :ivar haunted: some replicas still have what was removed: it is found, unless
        asked with X-Newest.
    :ivar deaf: proxies do not read the bodies of requests.
    :ivar short: no answer has a byte of an object from this offset on.
    :ivar now: the time of day.
    :ivar page: how many names a listing has.
    :ivar entries: how many segments a manifest may have.
    :ivar largest: how many bytes an object may have.
    :ivar full: there is no room.
    """

    def __init__(self, proxies: int = 1) -> None:
        self.asked: list[Asked] = []
        self.containers: dict[str, dict[str, Stored]] = {}
        self.policies: dict[str, str | None] = {}
        self.known_policies = {"gold"}
        self.troubles: list[Trouble] = []
        self.fault: Fault | None = None
        self.tokens: set[str] = set()
        self.stale: set[str] = set()
        self.lagging = self.ghosts = self.haunted = self.full = self.deaf = False
        self.short: int | None = None
        self.now = 1000.0
        self.page = 3
        self.entries = 1000
        self.largest = 5 * 1024**3
        self.active = 0
        self._unlisted: set[str] = set()
        self._rows: set[str] = set()
        self._graves: dict[str, int] = {}
        self._dead: dict[str, Stored] = {}
        self._ticks = count(1)
        self._proxies = [Proxy(self, number) for number in range(proxies)]

    # What a test does

    def start(self, case: TestCase) -> FakeSwift:
        """Listen on loopback until the test is over."""
        for proxy in self._proxies:
            proxy.listen()
            case.addCleanup(proxy.stop)
        return self

    @property
    def urls(self) -> list[str]:
        """Of all proxies."""
        return [proxy.url for proxy in self._proxies]

    @property
    def auth_url(self) -> str:
        return f"{self.urls[0]}/auth/v1.0"

    async def kill_proxy(self, number: int) -> None:
        """End a proxy and its connections."""
        await self._proxies[number].stop()

    def start_proxy(self, number: int) -> None:
        """Let it live again at its port."""
        self._proxies[number].listen()

    def objects(self) -> dict[str, Stored]:
        """All objects by their paths."""
        return {
            f"{container}/{name}": stored
            for container, objects in self.containers.items()
            for name, stored in objects.items()
        }

    def lose(self, path: str) -> None:
        """Lose an object on all disks; listings still have it."""
        container, _, name = path.partition("/")
        del self.containers[container][name]
        self._rows.add(path)

    def count(self, method: str, text: str = "") -> int:
        """How many requests of a method came whose paths have a text in them."""
        return sum(one.method == method and text in one.path for one in self.asked)

    # What connections do

    def trouble(self, asked: Asked) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.method == asked.method and trouble.path in asked.path:
                if trouble.skip:
                    trouble.skip -= 1
                    continue
                trouble.times -= 1
                if not trouble.times:
                    self.troubles.remove(trouble)
                return trouble
        return None

    def refusal(self, asked: Asked) -> Answer | None:
        """What is said before the body is read."""
        if not asked.path.startswith("/v1/"):
            return None
        if asked.headers.get("x-auth-token") not in self.tokens:
            return Answer(401)
        try:
            if self.fault is not None:
                self.fault.check()
        except Exception:
            return Answer(503)
        container, name = _split(asked.path)
        if asked.method != "PUT" or not name:
            return None
        code = self._refused_upload(asked, container)
        return None if code is None else Answer(code)

    def _refused_upload(self, asked: Asked, container: str) -> int | None:
        if container not in self.containers:
            return 404
        if self.full:
            return 507
        if "content-length" in asked.headers:
            return 413 if int(asked.headers["content-length"]) > self.largest else None
        return None if asked.chunked else 411

    def tick(self) -> int:
        """The timestamp of a request."""
        return next(self._ticks)

    def answer(self, asked: Asked, body: bytes, born: int) -> Answer | Stream:
        if asked.path == "/info":
            return _json_answer(
                {
                    "swift": {"max_file_size": self.largest},
                    "slo": {"max_manifest_segments": self.entries},
                }
            )
        if asked.path.startswith("/auth/"):
            return self._authenticate(asked)
        container, name = _split(asked.path)
        if not container:
            return self._list_account(asked)
        if not name:
            return self._container(asked, container)
        method = getattr(self, f"_{asked.method.lower()}_object")
        answer: Answer | Stream = method(asked, container, name, body, born)
        return answer

    def _authenticate(self, asked: Asked) -> Answer:
        given = (
            asked.headers.get("x-auth-user", asked.headers.get("x-storage-user")),
            asked.headers.get("x-auth-key", asked.headers.get("x-storage-pass")),
        )
        if given != (USER, KEY):
            return Answer(401)
        token = f"AUTH_tk{len(self.asked)}"
        self.tokens.add(token)
        headers = {
            "X-Auth-Token": token,
            "X-Storage-Token": token,
            "X-Storage-Url": self.urls[asked.proxy] + ACCOUNT,
            "X-Auth-Token-Expires": "86400",
        }
        return Answer(200, headers)

    def _list_account(self, asked: Asked) -> Answer:
        prefix = asked.query.get("prefix", "")
        names = sorted(name for name in self.containers if name.startswith(prefix))
        return _json_answer([{"name": name} for name in names])

    def _container(self, asked: Asked, container: str) -> Answer:
        if asked.method == "PUT":
            return self._put_container(asked, container)
        if container not in self.containers:
            return Answer(404)
        if asked.method == "HEAD":
            return Answer(204)
        return self._list_container(asked, container)

    def _put_container(self, asked: Asked, container: str) -> Answer:
        policy = asked.headers.get("x-storage-policy")
        if policy is not None and policy not in self.known_policies:
            return Answer(400)
        if container in self.containers:
            same = policy in (None, self.policies[container])
            return Answer(202 if same else 409)
        self.containers[container] = {}
        self.policies[container] = policy
        return Answer(201)

    def _list_container(self, asked: Asked, container: str) -> Answer:
        paths = set(self.objects()) - self._unlisted | self._rows
        names = [path.partition("/")[2] for path in paths if _is_in(path, container)]
        prefix, marker = asked.query.get("prefix", ""), asked.query.get("marker", "")
        names = sorted(n for n in names if n.startswith(prefix) and n > marker)
        return _json_answer([{"name": name} for name in names[: self.page]])

    def _find(self, asked: Asked, container: str, name: str) -> Stored | None:
        path = f"{container}/{name}"
        stored = self.containers.get(container, {}).get(name)
        if not asked.newest:
            if path in self.stale:
                return None
            stored = stored or self._dead.get(path)
        if stored is None:
            return None
        if stored.delete_at is not None and stored.delete_at <= self.now:
            return None
        return stored

    def _keep(self, path: str, stored: Stored) -> None:
        """Keep an object, unless something newer is known of its name."""
        container, _, name = path.partition("/")
        if self._graves.get(path, 0) > stored.born:
            return
        self.containers[container][name] = stored
        if self.lagging:
            self._unlisted.add(path)

    def _put_object(
        self, asked: Asked, container: str, name: str, body: bytes, born: int
    ) -> Answer:
        path = f"{container}/{name}"
        if asked.query.get("multipart-manifest") == "put":
            return self._put_manifest(asked, path, json.loads(body), born)
        etag = md5(body)
        if asked.headers.get("etag", etag) != etag:
            return Answer(422)
        if len(body) > self.largest:
            return Answer(413)
        self._keep(path, Stored(body, etag, born))
        return Answer(201, {"ETag": etag})

    def _put_manifest(
        self, asked: Asked, path: str, entries: list[dict[str, Any]], born: int
    ) -> Answer:
        if len(entries) > self.entries:
            return Answer(413)
        listed, errors = [], []
        for entry in entries:
            found = self.containers.get(_split_path(entry)[0], {}).get(
                _split_path(entry)[1]
            )
            if found is None:
                errors.append([entry["path"], "404 Not Found"])
            elif found.etag != entry["etag"]:
                errors.append([entry["path"], "Etag Mismatch"])
            elif self.length(found) != entry["size_bytes"]:
                errors.append([entry["path"], "Size Mismatch"])
            else:
                listed.append(_entry(entry, found))
        if errors:
            return _report(asked, "400 Bad Request", errors)
        etag = md5("".join(entry["etag"] for entry in entries).encode("ascii"))
        self._keep(path, Stored(b"", etag, born, listed))
        return _report(asked, "201 Created", [], etag)

    def _post_object(
        self, asked: Asked, container: str, name: str, body: bytes, born: int
    ) -> Answer:
        stored = self._find(asked, container, name)
        if stored is None:
            return Answer(404)
        after = asked.headers.get("x-delete-after")
        stored.delete_at = None if after is None else self.now + int(after)
        return Answer(202)

    def _delete_object(
        self, asked: Asked, container: str, name: str, body: bytes, born: int
    ) -> Answer:
        path = f"{container}/{name}"
        if asked.query.get("multipart-manifest") == "delete":
            return self._delete_manifest(asked, path, born)
        found = self._find(asked, container, name)
        self._bury(path, born)
        return Answer(204 if found is not None else 404)

    def _bury(self, path: str, born: int) -> None:
        container, _, name = path.partition("/")
        self._graves[path] = born
        if self.ghosts and name in self.containers.get(container, {}):
            self._rows.add(path)
        else:
            self._rows.discard(path)
        dead = self.containers.get(container, {}).pop(name, None)
        if dead is not None and self.haunted:
            self._dead[path] = dead

    def _delete_manifest(self, asked: Asked, path: str, born: int) -> Answer:
        container, _, name = path.partition("/")
        stored = self.containers.get(container, {}).get(name)
        if stored is None:
            return _removed(0, 1, [])
        if stored.manifest is None:
            return _removed(0, 0, [[f"/{path}", "Not an SLO manifest"]])
        paths = [path, *self._all_parts(stored)]
        there = [one for one in paths if one in self.objects()]
        for one in there:
            self._bury(one, born)
        return _removed(len(there), len(paths) - len(there), [])

    def _all_parts(self, stored: Stored) -> Iterator[str]:
        for entry in stored.manifest or ():
            path = entry["name"][1:]
            yield path
            if entry.get("sub_slo") and path in self.objects():
                yield from self._all_parts(self.objects()[path])

    def _head_object(
        self, asked: Asked, container: str, name: str, body: bytes, born: int
    ) -> Answer:
        stored = self._find(asked, container, name)
        if stored is None:
            return Answer(404)
        headers = self._headers(stored)
        return Answer(200, {**headers, "Content-Length": str(self.length(stored))})

    def _get_object(
        self, asked: Asked, container: str, name: str, body: bytes, born: int
    ) -> Answer | Stream:
        stored = self._find(asked, container, name)
        if stored is None:
            return Answer(404)
        if asked.query.get("multipart-manifest") == "get" and stored.manifest:
            headers = {"X-Static-Large-Object": "True"}
            return _json_answer(stored.manifest, headers)
        wanted = asked.headers.get("if-match")
        if wanted is not None and wanted.strip('"') != stored.etag:
            return Answer(412)
        return self._get_range(asked, stored)

    def _get_range(self, asked: Asked, stored: Stored) -> Answer | Stream:
        size = self.length(stored)
        start, stop, code = 0, size, 200
        headers = self._headers(stored)
        if "range" in asked.headers:
            first, _, last = (
                asked.headers["range"].removeprefix("bytes=").partition("-")
            )
            start, stop, code = int(first), min(int(last or size) + 1, size), 206
            if start >= size:
                return Answer(416, {"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        leaves = list(self._leaves(stored))
        if stored.manifest is not None and not self._first_is_good(leaves, start):
            return Answer(409)
        return Stream(code, headers, stop - start, self._read(leaves, start, stop))

    def _headers(self, stored: Stored) -> dict[str, str]:
        headers = {"ETag": stored.etag, **stored.headers}
        if stored.manifest is not None:
            headers["ETag"] = f'"{stored.etag}"'
            headers["X-Static-Large-Object"] = "True"
        if stored.delete_at is not None:
            headers["X-Delete-At"] = str(int(stored.delete_at))
        return headers

    def length(self, stored: Stored) -> int:
        """Bytes of what is read."""
        if stored.manifest is None:
            return len(stored.data)
        return sum(entry["bytes"] for entry in stored.manifest)

    def _leaves(self, stored: Stored) -> Iterator[tuple[Stored | dict[str, Any], int]]:
        """The plain objects of which a piece is made, and their sizes."""
        if stored.manifest is None:
            yield stored, len(stored.data)
            return
        for entry in stored.manifest:
            part = self.objects().get(entry["name"][1:])
            if entry.get("sub_slo") and part is not None:
                yield from self._leaves(part)
            else:
                yield entry, entry["bytes"]

    def _data(self, leaf: Stored | dict[str, Any]) -> bytes | None:
        """The bytes of one now, ``None`` if they are gone or others."""
        if isinstance(leaf, Stored):
            return leaf.data
        stored = self.objects().get(leaf["name"][1:])
        if stored is None or stored.etag != leaf["hash"]:
            return None
        if stored.delete_at is not None and stored.delete_at <= self.now:
            return None
        return stored.data

    def _first_is_good(self, leaves: Sequence[tuple[Any, int]], start: int) -> bool:
        for leaf, size in leaves:
            if start < size:
                return self._data(leaf) is not None
            start -= size
        return True

    def _read(
        self, leaves: Sequence[tuple[Any, int]], start: int, stop: int
    ) -> Iterator[bytes]:
        """Read one segment after the other; end where one is gone."""
        begin = 0
        if self.short is not None:
            stop = min(stop, self.short)
        for leaf, size in leaves:
            low, high = max(start - begin, 0), min(stop - begin, size)
            begin += size
            if low >= high:
                continue
            data = self._data(leaf)
            if data is None:
                return
            for at in range(low, high, CHUNK):
                yield data[at : min(at + CHUNK, high)]


def _split(path: str) -> tuple[str, str]:
    container, _, name = path.removeprefix(ACCOUNT).lstrip("/").partition("/")
    return container, name


def _split_path(entry: dict[str, Any]) -> tuple[str, str]:
    container, _, name = entry["path"].lstrip("/").partition("/")
    return container, name


def _is_in(path: str, container: str) -> bool:
    return path.partition("/")[0] == container


def _entry(entry: dict[str, Any], found: Stored) -> dict[str, Any]:
    """An entry of a manifest as it is stored."""
    stored = {
        "name": entry["path"],
        "hash": entry["etag"],
        "bytes": entry["size_bytes"],
    }
    if found.manifest is not None:
        stored["sub_slo"] = True
    return stored


def _json_answer(value: Any, headers: dict[str, str] | None = None) -> Answer:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(200, {**kind, **(headers or {})}, json.dumps(value).encode("ascii"))


def _report(asked: Asked, status: str, errors: list[Any], etag: str = "") -> Answer:
    """What came of a manifest; with heartbeats the status is in the body alone."""
    report = {"Response Status": status, "Errors": errors, "Etag": etag}
    body = json.dumps(report).encode("ascii")
    if asked.query.get("heartbeat") == "on":
        return Answer(202, {"Content-Type": "application/json"}, b" \r\n\r\n" + body)
    return Answer(int(status[:3]), {"ETag": f'"{etag}"'}, body)


def _removed(deleted: int, missing: int, errors: list[Any]) -> Answer:
    return _json_answer(
        {
            "Response Status": "400 Bad Request" if errors else "200 OK",
            "Number Deleted": deleted,
            "Number Not Found": missing,
            "Errors": errors,
        }
    )
