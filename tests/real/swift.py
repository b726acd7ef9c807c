# Copyright glancetx contributors. See LICENSE for details.

"""
A real Swift on loopback, with files of its own, whose parts can be made to fail.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import secrets
import shutil
import socket
from collections.abc import Mapping
from functools import cache
from hashlib import md5
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request

from attrs import frozen

from .keystone import REGION, Keystone, direct
from .programs import Program, interpreter, missing, quiet_port
from .swift_settings import Settings

__all__ = ["Answer", "RealSwift", "missing_swift", "shared_swift"]

SERVER = Path(__file__).with_name("swift_server.py")
SECONDS = 60
ACCOUNT = "AUTH_test"
OBJECTS = [f"object{number}" for number in range(1, 5)]
PROXIES = ["proxy1", "proxy2"]
NAMES = ["memcached", "account", "container", *OBJECTS, *PROXIES]
GIB = 1024 * 1024 * 1024


@cache
def missing_swift() -> str | None:
    """Why tests that need it are skipped, or ``None``."""
    reason = missing("swift")
    if reason is None and shutil.which("memcached") is None:
        reason = "memcached is not installed; see tests/real/install"
    if reason is None:
        with NamedTemporaryFile() as file:
            try:
                os.setxattr(file.name, "user.swift.metadata", b"x" * 200)
            except OSError as error:
                reason = f"{file.name} can have no extended attributes: {error}"
    return reason


@frozen
class Answer:
    """What a proxy said."""

    code: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RealSwift:
    """
    One Swift, until it is removed: 2 proxies, 4 object servers with a disk each in 2
    regions, 3 of which have each object, one account and one container server.

    :ivar auth_urls: where a token is had, at each proxy; ``auth_url`` is the first.
    :ivar user: with ``key``, whose token; his is the whole account.
    :ivar proxies: the URLs of the proxies.
    """

    user, key = "test:tester", "testing"

    def __init__(
        self,
        keystone: Keystone | None = None,
        max_file_size: int = 5 * GIB + 2,
        token_seconds: int = 86400,
        node_seconds: int = 5,
        durable: bool = False,
        parent: Path | None = None,
    ) -> None:
        """
        :param keystone: whose tokens are good, too, and whose catalogue names it.
        :param durable: write what it keeps to the disk before it says so.
        :param parent: the folder for its own; ``None`` for that of temporary files.
        """
        self._folder = Path(mkdtemp(prefix="glancetx-swift-", dir=parent))
        atexit.register(self.remove)
        ports = {name: quiet_port() for name in NAMES}
        self._settings = Settings(
            folder=str(self._folder),
            ports=ports,
            salt=secrets.token_hex(8),
            keystone=keystone,
            max_file_size=max_file_size,
            token_seconds=token_seconds,
            node_seconds=node_seconds,
        )
        self.proxies = [f"http://127.0.0.1:{ports[name]}" for name in PROXIES]
        self.auth_urls = [f"{proxy}/auth/v1.0" for proxy in self.proxies]
        self.auth_url = self.auth_urls[0]
        self._numbers = count(1)
        self._dead: set[str] = set()
        self._full: set[int] = set()
        self._token: str | None = None
        self._make_files()
        said = {"folder": str(self._folder), "ports": ports, "durable": durable}
        command = [interpreter("swift"), "-P", "-W", "ignore", str(SERVER)]
        self._program = Program([*command, json.dumps(said)], {}, self._folder)
        self._program.says("loaded")
        self._order("start", *NAMES)
        if keystone is not None:
            _offer(keystone, f"{self.proxies[0]}/v1/KEY_$(project_id)s")

    def store(self, **options: object) -> str:
        """The table of a configuration whose only store is in it, with more options."""
        options = {
            "backend": "swift",
            "auth": "v1",
            "auth_url": self.auth_urls,
            "proxies": self.proxies,
            "user": self.user,
            "key": self.key,
            "grace_seconds": 0,
            **options,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        return "\n".join(["[stores.main]", *lines, ""])

    def output(self, name: str) -> str:
        """The log of one of its processes."""
        file = self._folder / "log" / name
        return file.read_text("utf-8", "replace") if file.exists() else ""

    @property
    def pids(self) -> list[int]:
        """Its processes, those of the servers alone."""
        pid = self._program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        return [int(child) for child in children.split()]

    def remove(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.remove)
        if hasattr(self, "_program"):
            self._program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    # What can go wrong with it. Objects, disks and proxies are counted from 1.

    def kill_object(self, *numbers: int) -> None:
        """Kill object servers."""
        self._kill("object", numbers)

    def start_object(self, *numbers: int) -> None:
        """Start object servers again."""
        self._start("object", numbers)

    def kill_proxy(self, *numbers: int) -> None:
        """Kill proxies."""
        self._kill("proxy", numbers)

    def start_proxy(self, *numbers: int) -> None:
        """Start proxies again."""
        self._start("proxy", numbers)

    def pause(self, *names: str) -> None:
        """Let processes be silent, e.g. ``object2``, ``container``, ``proxy1``."""
        self._order("send", "STOP", *names)

    def resume(self, *names: str) -> None:
        """Let them go on."""
        self._order("send", "CONT", *names)

    def fail_disk(self, number: int) -> None:
        """Take the disk of an object server away: it answers 507."""
        self._disk(number).rename(self._disk(number).with_name("failed"))

    def heal_disk(self, number: int) -> None:
        """Put it back."""
        self._disk(number).with_name("failed").rename(self._disk(number))

    def fill_disk(self, *numbers: int) -> None:
        """Let disks be full: 507 for objects whose size is said beforehand."""
        self._full.update(numbers)
        self._reserve("100%", numbers)

    def free_disk(self, *numbers: int) -> None:
        """Let them have room again."""
        self._reserve("0", numbers)
        self._full.difference_update(numbers)

    def expire_tokens(self) -> None:
        """Let no token be good any more, that of :meth:`ask` included."""
        port = self._settings.ports["memcached"]
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.sendall(b"flush_all\r\n")
            assert connection.recv(100) == b"OK\r\n"
        self._token = None

    def lose(self, container: str, name: str) -> int:
        """
        Remove the files of one object from all disks, behind the back of all servers.

        :returns: how many replicas there were.
        """
        salt = self._settings.salt
        path = f"{salt}/{ACCOUNT}/{container}/{name}{salt}"
        hashed = md5(path.encode(), usedforsecurity=False).hexdigest()
        found = list(self._folder.glob(f"srv/*/*/objects*/*/*/{hashed}"))
        for folder in found:
            shutil.rmtree(folder)
        return len(found)

    def repair(self) -> None:
        """Let everything work again; what was paused has to be resumed before."""
        self._order("start", *self._dead)
        self._dead.clear()
        for number in range(1, 5):
            if not self._disk(number).exists():
                self.heal_disk(number)
        self.free_disk(*self._full)

    # What its daemons do sooner or later.

    def update(self) -> None:
        """Tell containers of objects that they could not be told of."""
        self._once("swift.obj.updater", *OBJECTS)

    def replicate(self) -> None:
        """
        Bring what was written, and removed, to the replicas that missed it.

        A replicator tells one server of each other region; that one tells its neighbour
        the next time.
        """
        for _ in range(2):
            self._once("swift.obj.replicator", *OBJECTS)

    def expire(self) -> None:
        """Remove objects whose time is over, from the listings, too."""
        self._once("swift.container.updater", "container")  # for the expirer's own
        self._once("swift.obj.expirer", "expirer")

    # What is in it.

    def files(self) -> list[str]:
        """The files with the bytes of objects on all disks, deleted ones left out."""
        return sorted(
            str(path.relative_to(self._folder))
            for path in self._folder.glob("srv/*/*/objects*/*/*/*/*")
            if path.suffix == ".data"
        )

    def names(self, prefix: str = "") -> list[str]:
        """``container/object`` of what these files are, in containers so named."""
        found = set()
        for file in self.files():
            metadata = os.getxattr(self._folder / file, "user.swift.metadata")
            name = pickle.loads(metadata)[b"name"].decode("utf-8")
            found.add(name.removeprefix(f"/{ACCOUNT}/"))
        return sorted(name for name in found if name.startswith(prefix))

    def listing(self, container: str, prefix: str = "") -> list[str]:
        """The names in a container; of the containers, if its name is empty."""
        names: list[str] = []
        while True:
            marker = names[-1] if names else ""
            query = urlencode({"format": "json", "prefix": prefix, "marker": marker})
            path = f"/{quote(container)}" if container else ""
            answer = self.ask("GET", f"{path}?{query}", {"X-Newest": "true"})
            page = answer.json if answer.body else []
            if not page:
                return names
            names += [entry["name"] for entry in page]

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        proxy: int = 1,
    ) -> Answer:
        """One request for what is below the account, e.g. ``/container/object``."""
        self._token = self._token or self.token()
        request = Request(
            f"{self.proxies[proxy - 1]}/v1/{ACCOUNT}{path}",
            body,
            {"X-Auth-Token": self._token, **(headers or {})},
            method=method,
        )
        try:
            with direct.open(request, timeout=SECONDS) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def token(self) -> str:
        """A token of the user."""
        headers = {"X-Auth-User": self.user, "X-Auth-Key": self.key}
        request = Request(self.auth_url, headers=headers)
        with direct.open(request, timeout=SECONDS) as response:
            return str(response.headers["X-Auth-Token"])

    def _once(self, module: str, *names: str) -> None:
        self._order("once", module, *(f"{name}.conf" for name in names))

    def _order(self, verb: str, *names: str) -> None:
        number = next(self._numbers)
        self._program.tell(json.dumps([number, verb, *names]))
        said = self._program.says(rf"(?m)^{number} (done|failed)$")
        assert said[1] == "done", self._program.output

    def _kill(self, kind: str, numbers: tuple[int, ...]) -> None:
        names = {f"{kind}{number}" for number in numbers}
        self._dead |= names
        self._order("send", "KILL", *names)

    def _start(self, kind: str, numbers: tuple[int, ...]) -> None:
        names = {f"{kind}{number}" for number in numbers}
        self._order("start", *names)
        self._dead -= names

    def _reserve(self, reserve: str, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            name = f"object{number}"
            text = self._settings.server(name, reserve)
            (self._folder / "etc" / f"{name}.conf").write_text(text, encoding="ascii")
        self.kill_object(*numbers)
        self.start_object(*numbers)

    def _disk(self, number: int) -> Path:
        return self._folder / "srv" / f"object{number}" / f"d{number}"

    def _make_files(self) -> None:
        for folder in ("etc", "log"):
            (self._folder / folder).mkdir()
        for name in ("account", "container", *OBJECTS):
            (self._folder / "recon" / name).mkdir(parents=True)
        (self._folder / "recon" / "expirer").mkdir()
        for number in range(1, 5):
            self._disk(number).mkdir(parents=True)
            for name in ("account", "container"):
                path = self._folder / "srv" / name / f"d{number}"
                path.mkdir(parents=True)
        for file, text in self._settings.files():
            (self._folder / "etc" / file).write_text(text, encoding="ascii")


def _offer(keystone: Keystone, url: str) -> None:
    """Say in a Keystone's catalogue where the Swift is."""
    if not keystone.ask("GET", "/services?type=object-store").body["services"]:
        wanted = {"service": {"type": "object-store", "name": "swift"}}
        service = keystone.ask("POST", "/services", wanted).body["service"]["id"]
        endpoint = {"service_id": service, "interface": "public", "url": url}
        wanted = {"endpoint": {**endpoint, "region_id": REGION}}
        keystone.ask("POST", "/endpoints", wanted)
    keystone.publish("object-store", url)


@cache
def shared_swift() -> RealSwift:
    """That of all tests of a process, each of which repairs what it has broken."""
    return RealSwift()
