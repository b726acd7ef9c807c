# Copyright glancetx contributors. See LICENSE for details.

"""
A forged origin: it describes its images as a glancetx does, and dies while it sends.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from attrs import Factory as Default
from attrs import define
from twisted.internet.interfaces import IAddress, IPullProducer
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from tests.loopback import Asked
from tests.players import Played, image_id

__all__ = [
    "BEFORE",
    "EVER",
    "End",
    "Fault",
    "FaultyOrigin",
    "Framing",
    "Parent",
    "image_id",
]

BEFORE = -1
"""Where a server dies that sends not even a status."""

EVER = 10**9
"""How often a server dies that never recovers."""

CHUNK = 65536


class End(Enum):
    """How a server dies."""

    FIN = "fin"
    RST = "rst"
    STALL = "stall"


class Framing(Enum):
    """How a reader may know where a body ends."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@define
class Fault:
    """
    A death.

    :ivar at: bytes of the piece before this offset are sent, none behind.
    :ivar times: how many answers die so.
    """

    at: int
    end: End
    times: int = EVER


@define
class Parent(Played):
    """
    An image, and how its bytes are sent.

    :ivar faults: the first one goes on for so many answers as it says, then the next.
    :ivar sent: bytes that are sent instead of those that are described.
    :ivar etags: what GETs say in turn instead of the right one, the last for ever.
    :ivar code: the status of every answer, if that is an error.
    """

    framing: Framing = Framing.LENGTH
    faults: list[Fault] = Default(list)
    sent: bytes | None = None
    etags: list[str] = Default(list)
    code: int | None = None

    @property
    def bytes(self) -> bytes:
        return self.data if self.sent is None else self.sent

    def etag(self) -> str:
        """What the next GET says."""
        if len(self.etags) > 1:
            return self.etags.pop(0)
        return self.etags[0] if self.etags else self.right_etag

    @property
    def right_etag(self) -> str:
        return f'"sha256-{self.digest}"'

    def fault(self, stop: int) -> Fault | None:
        """What happens to an answer with the bytes up to ``stop``."""
        if not self.faults or self.faults[0].at > stop:
            return None
        found = self.faults[0]
        found.times -= 1
        if not found.times:
            del self.faults[0]
        return found


@implementer(IPullProducer)
class _Sending:
    """Sends what the transport takes; then calls back, when all of it is out."""

    def __init__(
        self, transport: Any, chunks: Iterator[bytes], done: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._chunks = chunks
        self._done = done

    def resumeProducing(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._transport.unregisterProducer()
            self._done()
        else:
            self._transport.write(chunk)

    def stopProducing(self) -> None:
        pass


class _Connection(Protocol):
    """One request, one answer."""

    factory: FaultyOrigin
    transport: Any

    def __init__(self) -> None:
        self._buffer = b""

    def connectionMade(self) -> None:
        if self.factory.send_buffer is not None:
            option = socket.SO_SNDBUF, self.factory.send_buffer
            self.transport.getHandle().setsockopt(socket.SOL_SOCKET, *option)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        asked = Asked.parse(head)
        if len(body) < int(asked.headers.get("content-length", 0)):
            return
        if "/leases/" in asked.target:
            self.factory.leased.append(asked)
            self._lease()
            return
        self.factory.asked.append(asked)
        parent = self.factory.parents.get(asked.target.split("/")[2])
        if parent is None:
            self._refuse(404)
        elif parent.code is not None:
            self._refuse(parent.code)
        elif asked.method == "HEAD":
            self._describe(parent)
        else:
            self._send(parent, asked)

    def _lease(self) -> None:
        """Give whatever lease is wished for."""
        answer = b'{"lease": {}}'
        lines = ["Content-Type: application/json", f"Content-Length: {len(answer)}"]
        self.transport.write(_head(201, *lines) + answer)
        self.transport.loseConnection()

    def _refuse(self, code: int) -> None:
        lines = ["Content-Length: 0", f"Location: {self.factory.elsewhere}"]
        self.transport.write(_head(code, *lines))
        self.transport.loseConnection()

    def _describe(self, parent: Parent) -> None:
        said = dict(parent.said)
        if parent.parent is not None:
            said["parent_id"] = parent.parent
        lines = [f"X-Image-Meta-{name}: {value}" for name, value in said.items()]
        self.transport.write(_head(200, *lines, f"ETag: {parent.right_etag}"))
        self.transport.loseConnection()

    def _send(self, parent: Parent, asked: Asked) -> None:
        data = parent.bytes
        start, stop = _range(asked, len(data))
        fault = parent.fault(stop)
        if fault is not None and fault.at == BEFORE:
            self._die(fault.end)
            return
        last = stop if fault is None else min(stop, max(start, fault.at))
        lines = [f"ETag: {parent.etag()}"]
        if parent.framing is Framing.LENGTH:
            lines.append(f"Content-Length: {stop - start}")
        elif parent.framing is Framing.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        code = 200
        if "range" in asked.headers:
            code = 206
            lines.append(f"Content-Range: bytes {start}-{stop - 1}/{len(data)}")
        chunks = self._chunks(_head(code, *lines), parent, start, last, fault is None)
        end = End.FIN if fault is None else fault.end
        sending = _Sending(self.transport, chunks, lambda: self._die(end))
        self.transport.registerProducer(sending, False)

    def _chunks(
        self, head: bytes, parent: Parent, start: int, stop: int, whole: bool
    ) -> Iterator[bytes]:
        chunked = parent.framing is Framing.CHUNKED
        yield head
        for offset in range(start, stop, CHUNK):
            chunk = parent.bytes[offset : min(stop, offset + CHUNK)]
            self.factory.sent += len(chunk)
            yield b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk
        if chunked and whole:
            yield b"0\r\n\r\n"

    def _die(self, end: End) -> None:
        if end is End.FIN:
            self.transport.loseConnection()
        elif end is End.RST:
            linger = struct.pack("ii", 1, 0)
            handle = self.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abortConnection()


class FaultyOrigin(Factory):
    """
    The server; give it to a :class:`~tests.loopback.Loopback`.

    :ivar asked: what came, in order, but for what is about leases.
    :ivar leased: that.
    :ivar sent: bytes of pieces that were taken from it.
    :ivar elsewhere: where its refusals lead.
    :ivar send_buffer: bytes of its kernel's buffer for each connection.
    """

    noisy = False

    def __init__(self, *parents: Parent) -> None:
        self.parents = {parent.id: parent for parent in parents}
        self.asked: list[Asked] = []
        self.leased: list[Asked] = []
        self.sent = 0
        self.elsewhere = ""
        self.send_buffer: int | None = None

    def add(self, parent: Parent) -> None:
        """Have an image, instead of the one that had its id."""
        self.parents[parent.id] = parent

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = _Connection()
        protocol.factory = self
        return protocol


def _head(code: int, *lines: str) -> bytes:
    every = [f"HTTP/1.1 {code} OK", "Connection: close", *lines, "", ""]
    return "\r\n".join(every).encode("utf-8")


def _range(asked: Asked, size: int) -> tuple[int, int]:
    text = asked.headers.get("range")
    if text is None:
        return 0, size
    first, last = text.removeprefix("bytes=").split("-")
    return int(first), int(last) + 1
