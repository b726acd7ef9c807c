# Copyright glancetx contributors. See LICENSE for details.

"""
Servers for tests of clients: they say what a test tells them to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from glancetx.client import ImageClient, Server

__all__ = [
    "Answer",
    "ClientCase",
    "FakeServer",
    "Piece",
    "RawServer",
    "Seen",
    "image_id",
    "reactor",
]

reactor: Any = _reactor


def image_id(number: int) -> str:
    """The id of a test's nth image."""
    return f"00000000-0000-4000-8000-{number:012d}"


@define
class Seen:
    """One request that a fake server saw."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@define
class Piece:
    """An image of a fake server; ``digest`` may be told to lie."""

    number: int
    data: bytes
    parent: str | None = None
    digest: str = ""
    meta: dict[str, str] = field(factory=dict)

    @property
    def sha256(self) -> str:
        return self.digest or hashlib.sha256(self.data).hexdigest()

    @property
    def headers(self) -> dict[str, str]:
        found = {
            "id": image_id(self.number),
            "status": "active",
            "size": str(len(self.data)),
            "os_hash_algo": "sha256",
            "os_hash_value": self.sha256,
            "disk_format": "raw",
            "is_public": "False",
        }
        if self.parent:
            found["parent_id"] = self.parent
        return {
            "ETag": f'"sha256-{self.sha256}"',
            **{f"X-Image-Meta-{k}": v for k, v in (found | self.meta).items()},
        }


async def listen(case: TestCase, factory: Any) -> str:
    """Listen on loopback until the test is over; gives the URL."""
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port: IListeningPort = await endpoint.listen(factory)
    case.addCleanup(port.stopListening)
    return f"http://127.0.0.1:{port.getHost().port}"  # type: ignore[attr-defined]


class ClientCase(TestCase):
    """A test with clients that are closed at its end."""

    def client(self, *servers: str | Server) -> ImageClient:
        """A client of the first server that trusts the others."""
        client = ImageClient(reactor, servers[0], servers[1:])
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    async def failure(
        self, kind: type[BaseException], call: Coroutine[Any, Any, Any]
    ) -> Any:
        """The error that a call ends with."""
        return await self.assertFailure(Deferred.fromCoroutine(call), kind)


@define
class Answer:
    """
    What a fake server says.

    :ivar cut: break off after so many bytes of the body, less than 64 KiB: with more
        twisted.web's channel would be paused, and never close.
    :ivar hang: call this, and never answer.
    """

    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    cut: int | None = None
    hang: Callable[[], object] | None = None

    @classmethod
    def of(cls, value: Any, code: int = 200) -> Answer:
        """An answer in JSON."""
        return cls(code, json.dumps(value).encode("utf-8"))

    @classmethod
    def refusal(cls, code: int, message: str) -> Answer:
        """A refusal as our servers word it."""
        return cls.of({"problem": {"message": message, "code": code}}, code)


class FakeServer(Resource):
    """
    Answers as told, and remembers what it was asked.

    :ivar answers: what to say, by method and path with its query; a list is used up
        but for its last.
    :ivar seen: every request.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[Seen] = []
        self.url = ""

    async def start(self, case: TestCase) -> FakeServer:
        """Listen until the test is over."""
        self.url = await listen(case, Site(self))
        return self

    def say(self, request: str, *answers: Answer) -> None:
        """What to answer to e.g. ``GET /images/detail?limit=100``."""
        self.answers[request] = list(answers)

    def offer(self, *pieces: Piece) -> None:
        """Have images, alone and as the chain of the first."""
        offset, chain, stream = 0, [], b""
        for piece in pieces:
            one = image_id(piece.number)
            headers = piece.headers
            self.say(f"HEAD /images/{one}", Answer(headers=headers))
            self.say(f"GET /images/{one}", Answer(body=piece.data, headers=headers))
            found: dict[str, Any] = {
                "id": one,
                "uri": f"{self.url}/images/{one}",
                "name": None,
            }
            found |= {"disk_format": "raw", "size": len(piece.data), "offset": offset}
            chain.append(
                found | {"os_hash_algo": "sha256", "os_hash_value": piece.sha256}
            )
            stream += piece.data
            offset = len(stream)
        first = f"/images/{image_id(pieces[0].number)}"
        self.say(f"GET {first}/chain", Answer.of({"chain": chain, "size": offset}))
        self.say(f"GET {first}/stream", Answer(body=stream, headers={"ETag": '"all"'}))

    def asked(self, request: str) -> list[Seen]:
        """The requests that were this."""
        return [one for one in self.seen if f"{one.method} {one.path}" == request]

    def render(self, request: Request) -> int | bytes:
        assert request.content is not None
        method, path = request.method.decode("ascii"), request.uri.decode("ascii")
        headers = {
            name.decode("ascii").lower(): values[-1].decode("utf-8")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.seen.append(Seen(method, path, headers, request.content.read()))
        answers = self.answers.get(f"{method} {path}", [Answer.refusal(404, "no such")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return self._give(request, answer, headers.get("range"))

    def _give(self, request: Request, answer: Answer, asked: str | None) -> int | bytes:
        body, code = answer.body, answer.code
        if answer.hang is not None:
            answer.hang()
            return NOT_DONE_YET
        for name, value in answer.headers.items():
            raw = [value.encode("utf-8")]
            request.responseHeaders.setRawHeaders(name.encode("ascii"), raw)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
        if match is not None and code == 200:
            start, last = map(int, match.groups())
            place = b"bytes %d-%d/%d" % (start, last, len(body))
            request.setHeader(b"Content-Range", place)
            body, code = body[start : last + 1], 206
        request.setResponseCode(code)
        if request.method != b"HEAD":
            request.setHeader(b"Content-Length", b"%d" % len(body))
        if answer.cut is None:
            return body
        request.write(body[: answer.cut])
        assert request.transport is not None
        request.transport.loseConnection()
        return NOT_DONE_YET


class _Raw(Protocol):
    def connectionMade(self) -> None:
        assert isinstance(self.factory, RawServer)
        self._server = self.factory
        self._step = 0
        self._heard = b""

    def dataReceived(self, data: bytes) -> None:
        self._server.heard += len(data)
        self._heard = (self._heard + data)[-65536:]
        while self._step < len(self._server.script):
            wanted, say = self._server.script[self._step]
            if isinstance(wanted, int):
                heard = self._server.heard >= wanted
            else:
                heard = wanted in self._heard
            if not heard:
                return
            self._step += 1
            say(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._server.lost.called:
            self._server.lost.callback(None)


class RawServer(Factory):
    """
    Speaks in bytes: when it has heard something, it does something.

    :ivar script: the bytes or their number that are waited for, and what is then
        done with the transport.
    :ivar heard: how many bytes came.
    :ivar lost: fires when the client has left.
    """

    noisy = False
    protocol = _Raw

    def __init__(self, *script: tuple[bytes | int, Callable[[Any], object]]) -> None:
        self.script = script
        self.heard = 0
        self.lost: Deferred[None] = Deferred()

    async def start(self, case: TestCase) -> str:
        """Listen until the test is over; gives the URL."""
        return await listen(case, self)
