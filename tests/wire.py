# Copyright glancetx contributors. See LICENSE for details.

"""
Both ends of a wire, for tests of our channel, request and site: a site in memory
with a clock of its own, and a raw blocking client for loopback TCP.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import frozen
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from glancetx.limits import Limits
from glancetx.web.channel import Channel
from glancetx.web.request import Request
from glancetx.web.site import Observer, Site

reactor: Any = _reactor
T = TypeVar("T")

MIB = 1024 * 1024
WIRE_SECONDS = 60
"""After which a raw client gives up, so that a hanging server fails its test."""


class Route(Resource):
    """Calls one function for every request, as a Klein application does."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], object]) -> None:
        """
        :param answer: returns the whole body; or a coroutine or ``None``, and then
            finishes the request itself.
        """
        super().__init__()
        self._answer = answer
        self.failures: list[Failure] = []

    def render(self, request: Any) -> Any:
        result = self._answer(request)
        if isinstance(result, bytes):
            request.setHeader(b"Content-Length", b"%d" % len(result))
            request.write(result)
            request.finish()
        elif result is not None:
            task: Deferred[None] = Deferred.fromCoroutine(cast(Any, result))
            request.notifyFinish().addErrback(lambda _: task.cancel())
            task.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: Request) -> None:
        self.failures.append(failure)
        request.processingFailed(failure)


def path_answer(request: Request) -> bytes:
    """An answer that says which request it is for."""
    return request.method + b" " + request.path + b"\n"


class Counts:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.bytes_received = 0
        self.bytes_sent: dict[str, int] = {}

    def request(self, method: str, code: int) -> None:
        self.done.append((method, code))

    def received(self, count: int) -> None:
        self.bytes_received += count

    def sent(self, layout: str, count: int) -> None:
        self.bytes_sent[layout] = self.bytes_sent.get(layout, 0) + count


class Memory:
    """A site in memory, with connections to it, and a clock that tests turn."""

    def __init__(
        self,
        answer: IResource | Callable[[Request], object] = path_answer,
        limits: Limits | None = None,
        access_log: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.clock = Clock()
        if not IResource.providedBy(answer):
            answer = self.route = Route(answer)
        self.site = Site(
            answer, limits or Limits(), self.clock, None, access_log, observer
        )
        self.site.startFactory()

    def connect(self) -> Line:
        """A new connection."""
        return Line(self.site)


class Line:
    """
    One connection to a site in memory.

    :ivar channel: the server's end.
    """

    def __init__(self, site: Site) -> None:
        self.channel: Channel = site.buildProtocol(None)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """The client sends; nothing arrives while the server does not read."""
        if self.reading:
            self.channel.dataReceived(data)

    @property
    def reading(self) -> bool:
        """Whether the server reads."""
        return bool(self.transport.producerState == "producing")

    @property
    def closed(self) -> bool:
        """Whether the server closed, in order or not."""
        return bool(self.transport.disconnecting)

    @property
    def aborted(self) -> bool:
        """Whether the server broke the connection."""
        return bool(self.transport.disconnected)

    def received(self) -> bytes:
        """All that the server wrote."""
        return bytes(self.transport.value())

    def leave(self) -> None:
        """The client is gone."""
        self.transport.loseConnection()
        self.channel.connectionLost(Failure(ConnectionResetError()))


@frozen
class Answer:
    """One answer, as a client read it."""

    code: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """A raw blocking client. Use it in a thread."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        """:param receive_buffer: bytes; small to be a reader that is soon full."""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WIRE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send everything."""
        self.socket.sendall(data)

    def answer(self, head: bool = False) -> Answer:
        """
        The next answer, interim ones left out.

        :param head: the request was a HEAD.
        :raises EOFError: if the connection ended before the answer did.
        """
        code, headers = self.head()
        while code // 100 == 1:
            code, headers = self.head()
        if head or code in (204, 304):
            return Answer(code, headers, b"")
        if headers.get(b"transfer-encoding") == b"chunked":
            return Answer(code, headers, self._chunks())
        return Answer(code, headers, self.take(int(headers[b"content-length"])))

    def head(self) -> tuple[int, dict[bytes, bytes]]:
        """Status and headers of what comes next."""
        code = int(self._line().split(b" ")[1])
        headers = {}
        while line := self._line():
            name, value = line.split(b": ", 1)
            headers[name.lower()] = value
        return code, headers

    def take(self, count: int) -> bytes:
        """So many bytes."""
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError(f"{len(data)} of {count} bytes")
        return data

    def rest(self) -> bytes:
        """All bytes until the server closes in order."""
        return self._file.read()

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self._line(), 16):
            data += self.take(size)
            self._line()
        self._line()
        return data

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"the line ended after {line!r}")
        return line[:-2]


@implementer(IPushProducer)
class Recorder:
    """A producer that remembers what it is told."""

    def __init__(self, on_stop: Callable[[], object] = lambda: None) -> None:
        self.told: list[str] = []
        self._on_stop = on_stop

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")
        self._on_stop()


class WireTests(TestCase):
    """What tests over loopback TCP have in common."""

    def serve(
        self,
        resource: IResource | Callable[[Request], object],
        limits: Limits | None = None,
        clock: IReactorTime | None = None,
        threads: ThreadPool | None = None,
        **options: Any,
    ) -> Site:
        """Serve until the test is over; the port is :attr:`port`."""
        if not IResource.providedBy(resource):
            resource = self.route = Route(resource)
        site = Site(resource, limits or Limits(), clock or reactor, threads, **options)
        self.site = site
        listening = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.port: int = listening.getHost().port

        async def stop() -> None:
            await listening.stopListening()
            await site.drain(WIRE_SECONDS)

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return site

    async def all_closed(self) -> None:
        """Wait until the server has no connection left."""
        while self.site.channels:
            await deferLater(reactor, 0)

    def client(self, work: Callable[[Client], T], **options: Any) -> Deferred[T]:
        """Do a client's work in a thread."""

        def run() -> T:
            with Client(self.port, **options) as client:
                return work(client)

        return deferToThread(run)


class FileWireTests(WireTests):
    """Routes that send a file of so many bytes."""

    size = 8 * MIB

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.data = os.urandom(MIB) * (self.size // MIB)
        self.path.write_bytes(self.data)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def send(
        self, work: Callable[[Any], Awaitable[object]], length: int | None = None
    ) -> None:
        """Serve answers that ``work`` writes, of so many bytes in all."""

        async def answer(request: Request) -> None:
            size = self.size if length is None else length
            request.setHeader(b"Content-Length", b"%d" % size)
            await work(request)
            request.finish()

        self.serve(answer, threads=reactor.getThreadPool())


def codes(data: bytes) -> list[int]:
    """The statuses of all answers in what a server wrote."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data)]


def get(path: bytes = b"/", method: bytes = b"GET", *headers: bytes) -> bytes:
    """A request without a body."""
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: zone", *headers, b"", b""]
    return b"\r\n".join(lines)


def put(body: bytes, path: bytes = b"/", *headers: bytes) -> bytes:
    """A request with a body of known length."""
    return get(path, b"PUT", b"Content-Length: %d" % len(body), *headers) + body


def chunked(*chunks: bytes) -> bytes:
    """A chunked body."""
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join(parts) + b"0\r\n\r\n"
