# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.keystone`: what only real connections show.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from glancetx.errors import IdentityUnavailable
from glancetx.identity.keystone import Keystone
from glancetx.identity.keystone_calls import LARGEST_ANSWER
from glancetx.interfaces import Credentials
from glancetx.limits import Limits
from glancetx.outbound import Outbound, Peer
from glancetx.times import utcnow

from .certificates import make_certificate
from .fake_keystone import FakeKeystone
from .loopback import Asked, Loopback, RawServer

reactor: Any = _reactor


class TcpCase(TestCase):
    """Asks by a connection, with a clock that does not move by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.outbound = Outbound(reactor, Limits())
        self.addCleanup(self.outbound.stop)

    def make(self, fake: FakeKeystone, **config: Any) -> Keystone:
        config = {"auth_url": fake.url, **config}
        agent = self.outbound.agent(Peer("Keystone", ca_file=config.get("ca_file")))
        return Keystone(fake.config(**config), agent, self.clock, utcnow, Limits())

    def identify(self, keystone: Keystone, token: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(keystone.identify(Credentials(token)))

    async def unavailable(self, keystone: Keystone, token: str = "token") -> str:
        """The reason that the log has, for which nobody is let in."""
        with capturedLogs() as events:
            d = self.identify(keystone, token)
            error: Any = await self.assertFailure(d, IdentityUnavailable)
        self.assertEqual(error.reason, "Keystone gives no answer that can be used")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        reason: str = events[0]["reason"]
        return reason


class StoppedTests(TcpCase):
    """A Keystone that comes and goes."""

    async def test_stopped(self) -> None:
        """
        While it is away those of whom it spoke are let in and no others; when it is
        back all are, and nobody has to wait for it.
        """
        fake = await FakeKeystone().start(self)
        keystone = self.make(fake)
        token, other = fake.give(), fake.give("bob")
        self.assertEqual((await self.identify(keystone, token)).user, "alice")
        await fake.stop()
        reason = await self.unavailable(keystone, other)
        self.assertIn("refuses connections", reason)
        self.assertEqual((await self.identify(keystone, token)).user, "alice")
        self.clock.advance(60)
        d = self.identify(keystone, token)
        await self.assertFailure(d, IdentityUnavailable)
        await fake.start(self)
        self.assertEqual((await self.identify(keystone, token)).user, "alice")
        self.assertEqual((await self.identify(keystone, other)).user, "bob")

    async def test_never_there(self) -> None:
        """
        A server can start before its Keystone does.
        """
        fake = await FakeKeystone().start(self)
        await fake.stop()
        keystone = self.make(fake)
        self.assertIn("refuses connections", await self.unavailable(keystone))
        await fake.start(self)
        self.assertEqual((await self.identify(keystone, fake.give())).user, "alice")

    async def test_hung(self) -> None:
        """
        A question that is given up does not stay open.
        """
        fake = await FakeKeystone().start(self)
        keystone = self.make(fake)
        await self.identify(keystone, fake.give())
        asked: Deferred[None] = Deferred()
        answer = fake.render

        def hang(request: Any) -> int | bytes:
            reactor.callLater(0, asked.callback, None)
            return answer(request)

        self.patch(fake, "render", hang)
        fake.hang = True
        d = self.identify(keystone, fake.give())
        await asked
        [(request, _)] = fake.hanging
        gone = request.notifyFinish()
        self.clock.advance(5)
        await self.assertFailure(d, IdentityUnavailable)
        await self.assertFailure(gone, Exception)


class BrokenTests(TcpCase):
    """Answers that break."""

    async def ask(self, answer: bytes, end: bool = False) -> str:
        """What the log says of such an answer."""

        def give(asked: Asked, transport: Any) -> bytes:
            if end:
                transport.write(answer)
                transport.loseConnection()
                return b""
            return answer

        server = Loopback(reactor, RawServer(give))
        self.addCleanup(server.stop)
        return await self.unavailable(self.make(FakeKeystone(), auth_url=server.url))

    async def test_cut(self) -> None:
        """
        An answer that breaks off, or ends by closing, is none.
        """
        head = b"HTTP/1.1 201 Created\r\nX-Subject-Token: x\r\n"
        for answer in (
            b"",
            head,
            head + b"Content-Length: 100\r\n\r\n{",
            head + b"\r\n" + b'{"token": {}}',
        ):
            await self.ask(answer, end=True)

    async def test_stalls(self) -> None:
        """
        An answer of which nothing more comes is given up in time, and its connection
        closed.
        """
        asked: Deferred[None] = Deferred()

        def give(_: Asked, transport: Any) -> bytes:
            asked.callback(None)
            head = b"HTTP/1.1 201 Created\r\nX-Subject-Token: x\r\n"
            return head + b"Content-Length: 100\r\n\r\n{"

        server = Loopback(reactor, RawServer(give))
        self.addCleanup(server.stop)
        d = self.identify(self.make(FakeKeystone(), auth_url=server.url), "token")
        await asked
        for _ in range(10):
            await deferLater(reactor, 0)
        self.assertFalse(d.called)
        self.clock.advance(5)
        await self.assertFailure(d, IdentityUnavailable)
        await server.emptied()

    async def test_no_http(self) -> None:
        """
        Nor is what is no HTTP.
        """
        self.assertIn("no proper HTTP", await self.ask(b"SSH-2.0-x\r\n\r\n\r\n"))

    async def test_large(self) -> None:
        """
        Nor is one that is larger than any could be.
        """
        body = b" " * (LARGEST_ANSWER + 1)
        head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.assertIn("larger than", await self.ask(head + body))

    async def test_encoded(self) -> None:
        """
        Nor is one that is compressed, which was not asked for.
        """
        head = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\n"
        self.assertIn("encoded", await self.ask(head + b"Content-Length: 1\r\n\r\nx"))


class TlsTests(TcpCase):
    """Keystone by ``https``."""

    def serve(self) -> tuple[FakeKeystone, str]:
        """A Keystone with a certificate, and the file that vouches for it."""
        path = make_certificate(os.path.abspath(self.mktemp()))
        fake = FakeKeystone()
        context = DefaultOpenSSLContextFactory(path, path)
        server = Loopback(reactor, Site(fake), context, "localhost")
        self.addCleanup(server.stop)
        fake.url = server.url
        return fake, path

    async def test_trusted(self) -> None:
        """
        It is asked if the ``ca_file`` vouches for it.
        """
        fake, path = self.serve()
        keystone = self.make(fake, ca_file=path)
        self.assertEqual((await self.identify(keystone, fake.give())).user, "alice")

    async def test_not_trusted(self) -> None:
        """
        Without trust it is not told who this server is, and nobody is let in.
        """
        fake, _ = self.serve()
        reason = await self.unavailable(self.make(fake))
        self.assertIn("no trust in its TLS certificate", reason)
        self.assertEqual(fake.asked, [])
