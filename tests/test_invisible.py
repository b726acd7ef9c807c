# Copyright glancetx contributors. See LICENSE for details.

"""
That an image which a caller may not see is answered for as one that never was: by every
route, whatever else a request has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from .personas import PersonaCase
from .servers import RunningServer
from .test_routes import JSON, LEASE, PATCH, SENT, Sent
from .wire import Client

NEVER = "00000000-0000-4000-8000-00000000abcd"
HOLDER, OTHER = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "12")
ETAG = f'"sha256-{LEASE["digest"]["value"]}"'  # type: ignore[index]
#: What a route's other variables are: the first is there, the second is not.
VARIABLES = {
    "project": ("beta", "gamma"),
    "tag": ("x", "y", "x" * 256),
    "holder": (HOLDER, OTHER, "x"),
}
CONDITIONS = (
    {"if-match": "*"},
    {"if-match": ETAG},
    {"if-match": '"x"'},
    {"if-none-match": "*"},
    {"if-none-match": ETAG},
    {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    {"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
)
RANGES = (
    {"range": "bytes=0-0"},
    {"range": "bytes=1-1,3-3"},
    {"range": "bytes=99999-"},
    {"range": "bytes=0-0", "if-range": ETAG},
    {"content-range": "bytes 0-0/5"},
    {"content-range": "x"},
)
PROMISES = (
    {"expect": "100-continue"},
    {"content-encoding": "gzip"},
    {"content-type": "text/plain"},
    {"x-image-meta-size": "1"},
    {"x-image-meta-checksum": "x"},
    {"x-image-meta-name": "x"},
    {"x-openstack-image-size": "1"},
)
BODIES = (b"", b"{", b"[]", b"{}", b'{"member": ""}', b'{"status": "x"}', b"\xff")
QUERIES = ("force=true", "force=x", "layout=own", "layout=x", "gtx_sig=x", "x=%00")
#: Changes of a record that is not as they need it.
CHANGES = (
    b'[{"op": "remove", "path": "/none"}]',
    b'[{"op": "replace", "path": "/visibility", "value": "public"}]',
    b'[{"op": "replace", "path": "/disk_format", "value": "iso"}]',
    b'[{"op": "replace", "path": "/owner", "value": "gamma"}]',
    b'[{"op": "replace", "path": "/id", "value": "x"}]',
)
#: Where else an image may be named.
NAMING: tuple[tuple[str, str, dict[str, str], bytes | None], ...] = (
    ("GET", "/images?marker=ID", {}, None),
    ("GET", "/images/detail?marker=ID", {}, None),
    ("GET", "/v2/images?marker=ID", {}, None),
    ("GET", "/v2/images?id=ID&visibility=all", {}, None),
    ("GET", "/v2/images?id=in:ID&visibility=shared&member_status=all", {}, None),
    ("GET", "/v2/images?parent_id=ID", {}, None),
    ("POST", "/images", {"x-image-meta-parent_id": "ID"}, b""),
    ("POST", "/images", {"x-image-meta-parent_id": "URI/ID"}, b"bytes"),
    ("POST", "/v2/images", JSON, b'{"parent_id": "ID"}'),
    ("POST", "/v2/images", JSON, b'{"os_glance_parent_id": "URI/ID"}'),
    ("POST", "/v2/images", JSON, b'{"parent_id": "ID", "visibility": "public"}'),
)


@frozen
class Asked:
    """A request: ``ID`` in it is the image's id, ``URI`` what its URI has before it."""

    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes | None = None

    def lines(self, length: int) -> str:
        """Its head, but for who asks."""
        headers = {"host": "zone", "x-openstack-request-id": "same", **self.headers}
        if self.body is not None:
            headers["content-length"] = str(length)
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines)


class Conversation:
    """Asks about one image, one request after the other. Blocks."""

    def __init__(self, server: RunningServer, token: str, image_id: str) -> None:
        self._server = server
        self._client = Client(server.port)
        self._token = f"x-auth-token: {token}" if token else "x-none: x"
        self._image_id = image_id

    def all(self, requests: Sequence[Asked]) -> list[str]:
        """What the server says to each, but for the date and the id."""
        try:
            return [self._ask(one) for one in requests]
        finally:
            self._client.__exit__()

    def _ask(self, asked: Asked) -> str:
        body = self._about((asked.body or b"").decode("latin-1"))
        head = self._about(f"{asked.lines(len(body))}\r\n{self._token}\r\n\r\n")
        self._client.send(head if "expect" in asked.headers else head + body)
        answers = [self._client.head()]
        while answers[-1][0] < 200:
            self._client.send(body)
            answers.append(self._client.head())
        code, headers = answers[-1]
        text = b""
        if asked.method != "HEAD" and code not in (204, 304):
            text = self._client.take(int(headers[b"content-length"]))
        del headers[b"date"]
        if headers.pop(b"connection", b"") == b"close":  # says how fast a body came
            self._client.__exit__()
            self._client = Client(self._server.port)
        return repr((answers, text)).replace(self._image_id, "ID")

    def _about(self, text: str) -> bytes:
        uri = self._server.uri("")[:-1]
        text = text.replace("URI", uri).replace("ID", self._image_id)
        return text.encode("latin-1")


class InvisibleTests(PersonaCase):
    """Every route that takes an image, and every place that names one"""

    timeout = 240
    server: RunningServer

    async def start(self) -> None:
        """Make images of every kind that strangers of the project gamma do not see."""
        self.server = await self.serve(identity=self.identity)
        shared = await self.image()
        self.hidden = {
            "private": await self.image(visibility="private", protected=True),
            "shared with others": shared,
            "shared no longer": await self.image(),
            "queued": await self.image(None),
            "deactivated child": await self.image(parent_id=shared),
            "deleted": await self.image(),
        }
        unshared = f"/v2/images/{self.hidden['shared no longer']}"
        await self.do("POST", f"{unshared}/members", {"member": "gamma"})
        hiding = [{"op": "replace", "path": "/visibility", "value": "private"}]
        await self.do("PATCH", unshared, hiding, **PATCH)
        child = f"/v2/images/{self.hidden['deactivated child']}"
        await self.do("POST", f"{child}/actions/deactivate")
        deleted = f"/v2/images/{self.hidden['deleted']}?force=true"
        await self.do("DELETE", deleted, who="admin")

    async def image(self, data: bytes | None = b"bytes", **fields: Any) -> str:
        """An image of the owner, with all that may hang at one."""
        fields["tags"] = ["x"]
        image_id = await self.make(self.server, "owner", fields, data)
        if fields.get("visibility") != "private":
            members = f"/v2/images/{image_id}/members"
            await self.do("POST", members, {"member": "beta"})
        if data is not None:
            lease = f"/images/{image_id}/leases/{HOLDER}"
            await self.do("PUT", lease, LEASE, who="admin")
        return image_id

    async def do(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: str = "owner",
        **headers: str,
    ) -> bytes:
        """Do what must succeed."""
        reply = await self.ask(self.server, who, method, path, body, **headers)
        self.assertLess(reply.code, 300, reply)
        return reply.body

    async def look(self) -> list[bytes]:
        """All that there is, as an admin sees it."""
        pages = [await self.do("GET", "/v2/images", who="admin")]
        for kind, image_id in self.hidden.items():
            if kind != "deleted":
                image = f"/v2/images/{image_id}"
                pages.append(await self.do("GET", image, who="admin"))
            if kind.startswith("shared with"):
                pages.append(await self.do("GET", f"{image}/members", who="admin"))
        return pages

    def routes(self) -> Iterator[tuple[Asked, Sent]]:
        """A request of each, and what makes it a good one."""
        for route in self.server.parts.routes.all:
            if "<image_id>" not in route.path:
                continue
            sent = SENT.get((route.method, route.path), Sent())
            path = route.path.replace("<image_id>", "ID")
            data = sent.data
            if data is None and route.method in ("PUT", "POST"):
                data = b""
            yield Asked(route.method, path, sent.headers, data), sent
            if route.method == "GET":
                yield Asked("HEAD", path), sent

    def requests(self) -> Iterator[Asked]:
        """Good ones and bad ones of every route, and those that name an image."""
        for route, sent in self.routes():
            name = next((one for one in VARIABLES if f"<{one}>" in route.path), "")
            goods = [
                evolve(route, path=route.path.replace(f"<{name}>", value))
                for value in VARIABLES.get(name, ("",))
            ]
            yield from goods
            good = goods[0]
            for query in QUERIES:
                yield evolve(good, path=f"{good.path}?{query}")
            more = [*CONDITIONS]
            if good.method in ("GET", "PUT"):
                more += RANGES
            if good.body is not None:
                more += PROMISES
            for headers in more:
                yield evolve(good, headers=good.headers | headers)
            if not isinstance(sent.body, bytes | None):
                for body in (*BODIES, *(CHANGES if good.method == "PATCH" else ())):
                    yield evolve(good, body=body)
        for named in NAMING:
            yield Asked(*named)

    async def check(self, who: str, code: int, *kinds: str) -> None:
        """
        Whoever sees none of the images hears the same of all of them.

        :param code: what a good request comes to.
        """
        requests = list(self.requests())

        def converse(image_id: str) -> list[str]:
            talk = Conversation(self.server, self.tokens[who], image_id)
            return talk.all(requests)

        before = await self.look()
        never, *others = await gatherResults(
            deferToThread(converse, one)
            for one in (NEVER, *(self.hidden[kind] for kind in kinds))
        )
        for kind, said in zip(kinds, others, strict=True):
            for asked, one, expected in zip(requests, said, never, strict=True):
                self.assertEqual(one, expected, (kind, asked))
        self.assertEqual(await self.look(), before)
        answers = dict(zip(map(repr, requests), never, strict=True))
        for route, _ in self.routes():
            if "<" not in route.path:
                self.assertIn(f"[({code}, ", answers[repr(route)], route)

    async def test_stranger(self) -> None:
        """
        Who is known hears that there is no such image, or what is wrong with his
        request, and changes nothing.
        """
        await self.start()
        await self.check("stranger", 404, *self.hidden)

    async def test_nobody(self) -> None:
        """
        Who shows no token hears that he must.
        """
        await self.start()
        await self.check("nobody", 401, "private", "queued", "deleted")
