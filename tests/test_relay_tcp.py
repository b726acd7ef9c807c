# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay` that only real connections can make.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from random import Random
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.python.filepath import FilePath
from twisted.python.threadpool import ThreadPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from glancetx.errors import PieceCorrupt, ReaderGone
from glancetx.streaming import relay
from glancetx.streaming.digest import Digests
from glancetx.streaming.relay import RemotePiece
from glancetx.streaming.verify import Check
from glancetx.testing.consumers import RecordingConsumer

from .agents import TcpTestCase
from .certificates import make_certificate
from .loopback import Asked
from .relays import ETAG, sha256

DATA = Random(1).randbytes(1_000_000)

Cut = Callable[[Any], None]


def close(transport: Any) -> None:
    """End the connection when all was sent."""
    transport.loseConnection()


def reset(transport: Any) -> None:
    """Reset the connection, also if some bytes did not arrive yet."""
    linger = struct.pack("ii", 1, 0)
    transport.socket.setsockopt(SOL_SOCKET, SO_LINGER, linger)
    transport.loseConnection()


class RelayTcpTestCase(TcpTestCase):
    """Reads a piece from a server that keeps or breaks its promises."""

    framing = "length"

    def setUp(self) -> None:
        super().setUp()
        self.patch(relay, "BACKOFF", 0)
        threads = ThreadPool(0, 2)
        threads.start()
        self.addCleanup(threads.stop)
        self.digests = Digests(reactor, threads)  # type: ignore[arg-type]
        self.data = DATA
        self.consumer = RecordingConsumer()
        self.breaks: list[tuple[int, Cut]] = []

    def answer(self, asked: Asked, transport: Any) -> bytes:
        """What was asked for; if there are breaks left, so much of it and no more."""
        start, stop = 0, len(self.data)
        status, headers = "200 OK", [f"ETag: {ETAG}"]
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", "")):
            start, stop = int(found[1]), int(found[2]) + 1
            status = "206 Partial Content"
            total = len(self.data)
            headers.append(f"Content-Range: bytes {start}-{stop - 1}/{total}")
        frame, body = self.frame(self.data[start:stop])
        head = "\r\n".join([f"HTTP/1.1 {status}", *headers, *frame, "", ""])
        if self.breaks:
            count, cut = self.breaks.pop(0)
            transport.write(head.encode("ascii") + body[:count])
            cut(transport)
            return b""
        if self.framing == "close":
            transport.write(head.encode("ascii") + body)
            close(transport)
            return b""
        return head.encode("ascii") + body

    def frame(self, body: bytes) -> tuple[list[str], bytes]:
        if self.framing == "length":
            return [f"Content-Length: {len(body)}"], body
        if self.framing == "chunked":
            chunks = [body[i : i + 70_000] for i in range(0, len(body), 70_000)]
            framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
            return ["Transfer-Encoding: chunked"], framed + b"0\r\n\r\n"
        return ["Connection: close"], body

    def piece(self, **options: Any) -> RemotePiece:
        def ask(start: int, stop: int) -> Deferred[IResponse]:
            headers = Headers({b"accept-encoding": [b"identity"]})
            if (start, stop) != (0, len(DATA)):
                headers.addRawHeader(b"range", b"bytes=%d-%d" % (start, stop - 1))
            return self.agent.request(b"GET", f"{self.server.url}/x".encode(), headers)

        return RemotePiece(
            "piece",
            len(DATA),
            ask,
            self.digests,
            reactor,
            checks=[Check(0, len(DATA), sha256(DATA))],
            etag=ETAG.encode(),
            **options,
        )

    def start(self) -> Deferred[None]:
        return self.piece().produce(self.consumer, 0, len(DATA))

    async def read(self) -> None:
        await self.start()
        self.assertEqual(bytes(self.consumer.received), DATA)
        self.assertEqual(self.consumer.broken, [])


class LengthTests(RelayTcpTestCase):
    """A server that announces lengths."""

    async def test_whole(self) -> None:
        """
        The bytes are the right ones, and the connection is used again.
        """
        for _ in range(3):
            self.consumer = RecordingConsumer()
            await self.read()
        self.assertEqual(self.server.accepted, 1)

    async def broken(self, cut: Cut) -> None:
        last = len(DATA) - 1
        self.breaks = [(0, cut), (1, cut), (300_000, cut), (200_000, cut)]
        await self.read()
        self.consumer = RecordingConsumer()
        self.breaks = [(last, cut), (0, cut)]
        await self.read()

    async def test_closed(self) -> None:
        """
        However often the connection is closed, what is missing is asked for.
        """
        await self.broken(close)

    async def test_reset(self) -> None:
        """
        However often it is reset, nothing is lost, and nothing comes twice.
        """
        await self.broken(reset)

    async def test_wrong(self) -> None:
        """
        Wrong bytes are never given away to the end, and the connection is closed.
        """
        self.data = DATA[:-1] + bytes([DATA[-1] ^ 1])
        await self.assertFailure(self.start(), PieceCorrupt)
        self.assertLess(len(self.consumer.received), len(DATA))

    async def test_reader_leaves(self) -> None:
        """
        When the reader leaves, the server's connection is closed at once.
        """
        d = self.start()
        await self.consumer.reached(1000)
        self.consumer.leave()
        await self.assertFailure(d, ReaderGone)
        await self.server.emptied()

    async def test_paused_reader_leaves(self) -> None:
        """
        It is closed as well if nothing was read from it any more.
        """
        d = self.start()
        self.consumer.on_write = RecordingConsumer.pause
        await self.consumer.reached(1000)
        self.consumer.leave()
        await self.assertFailure(d, ReaderGone)
        await self.server.emptied()

    async def test_other_answer(self) -> None:
        """
        An answer that is not the right one is not read to its end.
        """
        self.data = DATA + b"more"
        await self.assertFailure(self.start(), PieceCorrupt)
        await self.server.emptied()

    async def test_slow_reader(self) -> None:
        """
        A reader that takes a chunk at a time gets every one of them.
        """
        self.consumer.on_write = self.breathe
        await self.read()
        self.assertEqual(self.consumer.surplus, 0)

    def breathe(self, consumer: RecordingConsumer) -> None:
        consumer.pause()
        reactor.callLater(0, consumer.resume)


class ChunkedTests(LengthTests):
    """A server that sends chunks, and announces no length."""

    framing = "chunked"


class CloseTests(RelayTcpTestCase):
    """A server that marks the end of a body by the end of the connection."""

    framing = "close"

    async def test_whole(self) -> None:
        """
        As the length is known from elsewhere, that is an answer, too.
        """
        await self.read()

    async def test_broken(self) -> None:
        """
        What ends early by that is noticed, and gone on with.
        """
        self.breaks = [(0, close), (300_000, close), (1, reset)]
        await self.read()


class TlsTests(LengthTests):
    """A server that speaks TLS."""

    def setUp(self) -> None:
        self.ca_file = make_certificate(self.mktemp())
        pem = FilePath(self.ca_file).getContent()
        self.context = PrivateCertificate.loadPEM(pem).options()
        super().setUp()
