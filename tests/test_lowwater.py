# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.lowwater`, in the connections that are opened.
"""

from __future__ import annotations

import socket

from twisted.internet.ssl import PrivateCertificate
from twisted.python.filepath import FilePath
from twisted.web.client import readBody
from twisted.web.iweb import IResponse

from glancetx.lowwater import AFTER, MARK, SECONDS
from glancetx.outbound import RECEIVE_TOGETHER, Peer

from .agents import FakeTestCase, TcpTestCase
from .certificates import make_certificate

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNK = bytes(64 * 1024)


def option(count: int) -> tuple[int, int, int]:
    return socket.SOL_SOCKET, socket.SO_RCVLOWAT, count


LIFTED, LOWERED = option(MARK), option(1)


class LowWaterMarkTests(FakeTestCase):
    """What the kernel is told, and when."""

    size = 2 * AFTER

    def setUp(self) -> None:
        self.make()
        self.agent = self.outbound.agent(Peer("global"))
        self.ask()
        self.transport = self.reactor.accept()
        self.options = self.transport.socket.options

    def ask(self) -> None:
        self.answer = self.get("http://127.0.0.1/")

    def send(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)

    def begin(self, size: int) -> None:
        self.send(HEAD % self.size)
        readBody(self.successResultOf(self.answer)).addErrback(lambda _: None)
        for _ in range(size // len(CHUNK)):
            self.send(CHUNK)

    def test_short(self) -> None:
        """
        A short answer never waits.
        """
        self.begin(AFTER - len(CHUNK))
        self.assertEqual(self.options, [])

    def test_long(self) -> None:
        """
        Much of a long one is waited for, once; what comes no more is not.
        """
        self.begin(AFTER + len(CHUNK))
        self.assertEqual(self.options, [LIFTED])
        self.send(CHUNK)
        self.assertEqual(self.options, [LIFTED])
        self.reactor.advance(SECONDS)
        self.assertEqual(self.options, [LIFTED, LOWERED])
        self.send(CHUNK)
        self.assertEqual(self.options, [LIFTED, LOWERED, LIFTED])

    def test_steady(self) -> None:
        """
        As long as bytes come the mark stays.
        """
        self.begin(AFTER + len(CHUNK))
        for _ in range(10):
            self.reactor.advance(SECONDS / 2)
            self.send(CHUNK)
        self.assertEqual(self.options, [LIFTED])

    def test_next(self) -> None:
        """
        The next answer on the connection does not wait, however long the last one was.
        """
        self.begin(self.size)
        self.assertEqual(self.options, [LIFTED])
        self.ask()
        self.assertEqual(len(self.reactor.targets), 1)
        self.assertEqual(self.options, [LIFTED, LOWERED])
        self.begin(len(CHUNK))
        self.assertEqual(self.options, [LIFTED, LOWERED])

    def test_many_connections(self) -> None:
        """
        No more is waited for than is read at once: what is left would wait again.
        """
        others = []
        for _ in range(31):
            self.get("http://127.0.0.1/").addErrback(lambda _: None)
            others.append(self.reactor.accept())
        share = RECEIVE_TOGETHER // 32
        self.assertLess(share, MARK)
        self.begin(AFTER + len(CHUNK))
        self.assertEqual(self.options, [option(share)])
        for other in others:
            other.abortConnection()
        self.reactor.advance(0)
        self.send(CHUNK)
        self.assertEqual(self.options, [option(share), LIFTED])

    def test_lost(self) -> None:
        """
        Of a connection that is gone nothing is left.
        """
        self.begin(AFTER + len(CHUNK))
        self.transport.abortConnection()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.options, [LIFTED])


class TailTests(TcpTestCase):
    """The ends of long answers, which are less than is waited for."""

    sizes = (AFTER + MARK + 1, AFTER + 1, 10, 2 * AFTER + MARK - 1)

    async def ask(self, size: int) -> IResponse:
        return await self.get(HEAD % size + bytes(size))

    async def test_tails(self) -> None:
        """
        They come, though the connection stays open.
        """
        for size in self.sizes:
            response = await self.ask(size)
            self.assertEqual(len(await readBody(response)), size)
        self.assertEqual(self.server.accepted, 1)


class TlsTailTests(TailTests):
    """The same with TLS."""

    host = "localhost"

    def setUp(self) -> None:
        self.ca_file = make_certificate(self.mktemp())
        pem = FilePath(self.ca_file).getContent()
        self.context = PrivateCertificate.loadPEM(pem).options()
        super().setUp()
