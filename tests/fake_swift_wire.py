# Copyright glancetx contributors. See LICENSE for details.

"""
The proxies of :class:`~tests.fake_swift.FakeSwift`: HTTP on loopback, and what goes
wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from attrs import define, field, frozen
from twisted.internet import protocol
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IPullProducer
from twisted.python.failure import Failure
from twisted.web.http import (
    RESPONSES,
    _ChunkedTransferDecoder,
    _IdentityTransferDecoder,
)
from zope.interface import implementer

__all__ = ["Answer", "Asked", "Cluster", "Proxy", "Stream", "Trouble"]

reactor: Any = _reactor


@frozen
class Asked:
    """One request that came; names of headers in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    proxy: int

    @property
    def newest(self) -> bool:
        return self.headers.get("x-newest") == "true"

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"


@define
class Trouble:
    """
    What goes wrong with requests of a method whose paths have a text in them.

    :ivar times: how often.
    :ivar skip: how many requests go well before.
    :ivar say: the status of the answer, sent as soon as the headers are there.
    :ivar cut: how many bytes of the body pass, in or out, before the connection ends.
    :ivar clean: it ends as if all were well.
    :ivar etag: what the answer says that was stored.
    :ivar report: the status in the body of a 202 or 200.
    :ivar silent: no answer comes.
    :ivar call: called when the request comes.
    """

    method: str
    path: str = ""
    times: int = 1
    skip: int = 0
    say: int | None = None
    cut: int | None = None
    clean: bool = False
    etag: str | None = None
    report: str | None = None
    silent: bool = False
    call: Callable[[], object] | None = None


@frozen
class Answer:
    """What is said, all of it there."""

    code: int
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""


class Cluster(Protocol):
    """
    What is behind the proxies.

    :ivar asked: what came, in order.
    :ivar active: how many requests are not answered yet.
    :ivar deaf: the bodies of requests are not read.
    """

    asked: list[Asked]
    active: int
    deaf: bool

    def tick(self) -> int:
        """The timestamp of a request."""

    def trouble(self, asked: Asked) -> Trouble | None:
        """What goes wrong with it."""

    def refusal(self, asked: Asked) -> Answer | None:
        """What is said before the body is read."""

    def answer(self, asked: Asked, body: bytes, born: int) -> Answer | Stream:
        """What is said behind it."""


@frozen
class Stream:
    """An answer whose body is read as it is taken."""

    code: int
    headers: dict[str, str]
    length: int
    chunks: Iterator[bytes]


@implementer(IPullProducer)
class _Flow:
    """A body on its way to a client that may be slow."""

    def __init__(
        self, connection: _Connection, stream: Stream, trouble: Trouble | None
    ) -> None:
        self._connection = connection
        self._chunks = stream.chunks
        self._left = stream.length
        self._trouble = trouble
        self._sent = 0

    def resumeProducing(self) -> None:
        transport = self._connection.transport
        data = next(self._chunks, b"")
        cut = self._trouble.cut if self._trouble is not None else None
        if cut is not None and self._sent + len(data) >= cut:
            transport.write(data[: cut - self._sent])
            return self._end(cut=True)
        transport.write(data)
        self._sent += len(data)
        if self._sent == self._left or not data:
            self._end(cut=self._sent < self._left)

    def stopProducing(self) -> None:
        pass

    def _end(self, cut: bool) -> None:
        self._connection.transport.unregisterProducer()
        if not cut:
            return self._connection.over()
        if self._trouble is not None and not self._trouble.clean:
            self._connection.transport.abortConnection()
        else:
            self._connection.transport.loseConnection()


class _Connection(protocol.Protocol):
    """One connection to a proxy."""

    transport: Any

    def __init__(self, swift: Cluster, proxy: Proxy) -> None:
        self.proxy = proxy
        self._swift = swift
        self._buffer = b""
        self._asked: Asked | None = None
        self._trouble: Trouble | None = None
        self._decoder: Any = None
        self._body: list[bytes] = []
        self._received = 0
        self._born = 0
        self._deaf = False

    def dataReceived(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._decoder is not None:
            self._decoder.dataReceived(data)
            return
        self._buffer += data
        if self._asked is None and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._begin(_parse(head, self.proxy.number))

    def _begin(self, asked: Asked) -> None:
        swift = self._swift
        self._asked = asked
        swift.asked.append(asked)
        swift.active += 1
        self._born = swift.tick()
        self._trouble = trouble = swift.trouble(asked)
        if trouble is not None and trouble.call is not None:
            trouble.call()
        refusal = swift.refusal(asked)
        if trouble is not None and trouble.say is not None:
            refusal = Answer(trouble.say)
        length = asked.headers.get("content-length")
        if refusal is not None:
            return self._refuse(refusal, length is not None or asked.chunked)
        if length is not None and int(length):
            self._decoder = _IdentityTransferDecoder(
                int(length), self._take, self._complete
            )
        elif asked.chunked:
            self._decoder = _ChunkedTransferDecoder(self._take, self._complete)
        else:
            return self._complete()
        if swift.deaf:
            self.transport.pauseProducing()
        rest, self._buffer = self._buffer, b""
        if rest:
            self._decoder.dataReceived(rest)

    def _refuse(self, answer: Answer, body_follows: bool) -> None:
        self._say(answer)
        if body_follows:
            self._deaf = True
            self.transport.loseConnection()
        else:
            self.over()

    def _take(self, data: bytes) -> None:
        self._body.append(data)
        self._received += len(data)
        cut = self._trouble.cut if self._trouble is not None else None
        if cut is not None and self._received >= cut:
            self._deaf = True
            self.transport.abortConnection()

    def _complete(self, rest: bytes = b"") -> None:
        asked, trouble = self._asked, self._trouble
        if asked is None or self._deaf or trouble is not None and trouble.silent:
            return
        self._decoder = None
        body, self._body = b"".join(self._body), []
        answer = self._swift.answer(asked, body, self._born)
        if isinstance(answer, Stream):
            self._head(answer.code, answer.headers, answer.length)
            flow = _Flow(self, answer, trouble)
            self.transport.registerProducer(flow, False)
            return
        if trouble is not None and trouble.etag is not None:
            answer.headers["ETag"] = trouble.etag
        if trouble is not None and trouble.report is not None:
            answer = _with_status(answer, trouble.report)
        self._say(answer)
        self.over()

    def _say(self, answer: Answer) -> None:
        self._head(answer.code, answer.headers, len(answer.body))
        if self._asked is not None and self._asked.method != "HEAD":
            self.transport.write(answer.body)

    def _head(self, code: int, headers: dict[str, str], length: int) -> None:
        all_headers = {"Content-Length": str(length), **headers}
        lines = [f"HTTP/1.1 {code} {RESPONSES.get(code, b'?').decode('ascii')}"]
        lines += [f"{name}: {value}" for name, value in all_headers.items()]
        if code == 204:  # noqa: PLR2004
            lines = [line for line in lines if not line.startswith("Content-Length")]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def over(self) -> None:
        """The answer is out; another request may come."""
        self._gone()
        self._trouble = None
        self._received = 0
        if self._buffer:
            rest, self._buffer = self._buffer, b""
            self.dataReceived(rest)

    def _gone(self) -> None:
        if self._asked is not None:
            self._asked = None
            self._swift.active -= 1

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._gone()
        self.proxy.lost(self)


def _with_status(answer: Answer, status: str) -> Answer:
    report = {**json.loads(answer.body), "Response Status": status}
    report["Errors"] = [["/somewhere", "because a test says so"]]
    return Answer(answer.code, answer.headers, json.dumps(report).encode("ascii"))


def _parse(head: bytes, proxy: int) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    values = dict(parse_qsl(query, keep_blank_values=True))
    return Asked(method, unquote(path), values, headers, proxy)


class Proxy(protocol.Factory):
    noisy = False

    def __init__(self, swift: Cluster, number: int) -> None:
        self.number = number
        self._swift = swift
        self._port = 0
        self._listening: Any = None
        self._connections: set[_Connection] = set()
        self._emptied: Deferred[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def buildProtocol(self, addr: IAddress | None) -> protocol.Protocol:
        connection = _Connection(self._swift, self)
        self._connections.add(connection)
        return connection

    def lost(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def listen(self) -> None:
        self._listening = reactor.listenTCP(self._port, self, interface="127.0.0.1")
        self._port = self._listening.getHost().port

    async def stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        self.cut()
        if self._connections:
            self._emptied = Deferred()
            await self._emptied

    def cut(self) -> None:
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abortConnection()
