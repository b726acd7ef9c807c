# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.guard`, which hold for the client of Twisted 26.10.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from glancetx.answers import drop
from glancetx.guard import Share
from glancetx.limits import Limits
from glancetx.outbound import RECEIVE, RECEIVE_TOGETHER, Peer

from .agents import FakeTestCase


@implementer(IBodyProducer)
class EndlessBody:
    """A request's body, written by the test itself."""

    length = 10**12
    consumer: IConsumer

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.consumer = consumer
        return Deferred()

    def pauseProducing(self) -> None:
        """Nothing is written but by the test."""

    resumeProducing = stopProducing = pauseProducing


class ShareTests(SynchronousTestCase):
    """What connections take from their sockets at once, all together."""

    def test_few(self) -> None:
        """
        While they are few, each takes as much as it was told.
        """
        share = Share(together=1000, least=10)
        for _ in range(4):
            share.join()
        self.assertEqual(share.of(250), 250)

    def test_many(self) -> None:
        """
        More of them share what all may take, and some that leave make room.
        """
        share = Share(together=1000, least=10)
        for _ in range(8):
            share.join()
        self.assertEqual(share.of(250), 125)
        for _ in range(4):
            share.leave()
        self.assertEqual(share.of(250), 250)

    def test_least(self) -> None:
        """
        However many they are, each can take the least, but never more than it was told.
        """
        share = Share(together=1000, least=10)
        for _ in range(500):
            share.join()
        self.assertEqual(share.of(250), 10)
        self.assertEqual(share.of(5), 5)


class GuardTests(FakeTestCase):
    """What stands between the client's protocol and the network."""

    def connect(self, method: bytes = b"GET") -> None:
        self.make(["127.0.0.1"])
        self.d = self.get("http://glance.example.com/", method)
        self.transport = self.reactor.accept()

    def send(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)

    def endless(self, data: bytes) -> int:
        sent = 0
        while self.transport.connected and sent < 100 * Limits().header_bytes:
            self.send(data)
            sent += len(data)
        return sent

    def test_receive_size(self) -> None:
        """
        As many bytes as was said are taken from the socket at once.
        """
        self.connect()
        self.assertEqual(self.transport.bufferSize, 65432)

    def test_quiet(self) -> None:
        """
        Connections come and go without a line in the log.
        """
        with capturedLogs() as events:
            self.connect()
            self.transport.abortConnection()
            self.reactor.advance(0)
        self.failureResultOf(self.d)
        self.assertEqual(events, [])

    def test_receive_size_with_tls(self) -> None:
        """
        Under TLS, too, it is the socket's receive size that is set.
        """
        self.make(["127.0.0.1"])
        self.get("https://glance.example.com/")
        self.assertEqual(self.reactor.accept().bufferSize, 65432)

    def test_receive_size_of_many(self) -> None:
        """
        Connections share what all may take; one that is lost leaves its part.
        """
        self.make()
        self.agent = self.outbound.agent(Peer("global"))
        transports = []
        for _ in range(16):
            self.get("http://127.0.0.1/").addErrback(lambda _: None)
            transports.append(self.reactor.accept())
        self.transport = transports[0]
        self.assertEqual(self.transport.bufferSize, RECEIVE)
        self.send(b"HTTP/1.1 200 OK\r\n")
        self.assertEqual(self.transport.bufferSize, RECEIVE_TOGETHER // 16)
        for transport in transports[1:9]:
            transport.abortConnection()
        self.reactor.advance(0)
        self.send(b"Content-Length: 5\r\n")
        self.assertEqual(self.transport.bufferSize, RECEIVE)

    def test_endless_headers(self) -> None:
        """
        A peer whose headers do not end is cut at the limit.
        """
        self.connect()
        self.send(b"HTTP/1.1 200 OK\r\n")
        sent = self.endless(b"X-Header: " + b"x" * 1000 + b"\r\n")
        self.assertLess(sent, Limits().header_bytes + 2000)
        self.assertIn("bytes of headers", self.refused(self.d))

    def test_endless_interim_answers(self) -> None:
        """
        Interim answers do not begin the count anew.
        """
        self.connect()
        sent = self.endless(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
        self.assertLess(sent, Limits().header_bytes + 2000)
        self.assertIn("bytes of headers", self.refused(self.d))

    def test_endless_line(self) -> None:
        """
        A header line without end is cut.
        """
        self.connect()
        self.send(b"HTTP/1.1 200 OK\r\nX-Header: ")
        self.assertLess(self.endless(b"x" * 1000), Limits().header_bytes)
        self.refused(self.d)

    def test_body_is_no_header(self) -> None:
        """
        Bodies are not counted as headers, whether they come with them or later.
        """
        size = 10 * Limits().header_bytes
        for at_once in (True, False):
            self.connect()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            if at_once:
                self.send(head + b"x" * (size - 1))
            else:
                self.send(head)
                self.send(b"x" * (size - 1))
            self.assertTrue(self.transport.connected)
            self.assertEqual(self.transport.producerState, "paused")
            self.assertEqual(self.successResultOf(self.d).length, size)

    def test_many_answers(self) -> None:
        """
        Each answer on a connection is counted for itself, those without a body too.
        """
        self.connect(b"HEAD")
        for _ in range(100):
            self.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000 + b"\r\n\r\n")
            self.successResultOf(self.d)
            self.d = self.get("http://glance.example.com/", b"HEAD")
        self.assertEqual(len(self.reactor.targets), 1)
        self.assertTrue(self.transport.connected)

    def test_refusal_in_mid_upload(self) -> None:
        """
        An answer that comes while the request's body is being sent is handed on when
        it is complete, though the body is not; one that is too large is cut.
        """
        for size, complete in ((1000, True), (2 * Limits().header_bytes, False)):
            self.make(["127.0.0.1"])
            body = EndlessBody()
            d = self.agent.request(b"PUT", b"http://h/images/1", bodyProducer=body)
            transport = self.reactor.accept()
            transport.protocol.dataReceived(
                b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n" % size
            )
            self.assertNoResult(d)
            self.assertEqual(transport.producerState, "producing")
            body.consumer.write(b"more of the body")
            transport.protocol.dataReceived(b"x" * (size - 1))
            self.assertEqual(transport.aborting, not complete)
            if complete:
                transport.protocol.dataReceived(b"x")
                self.assertEqual(self.successResultOf(d).code, 413)
            else:
                self.refused(d)

    def test_closing_is_aborting(self) -> None:
        """
        To want no more of an answer aborts its connection; nothing is waited for.
        """
        self.connect()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")
        drop(self.successResultOf(self.d))
        self.assertTrue(self.transport.aborting)
