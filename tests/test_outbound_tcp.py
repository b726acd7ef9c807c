# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.outbound` that only real connections can make.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.python.filepath import FilePath

from glancetx.answers import drop, read_body
from glancetx.outbound import Peer, Unreachable

from .agents import TcpTestCase
from .certificates import make_certificate
from .loopback import Asked

HEAD = b"HTTP/1.1 200 OK\r\n"


class ConnectionTests(TcpTestCase):
    """Connections of an agent."""

    async def test_kept(self) -> None:
        """
        A connection is used again.
        """
        for _ in range(3):
            response = await self.get(HEAD + b"Content-Length: 2\r\n\r\nok")
            self.assertEqual(await read_body(response, 2, "global"), b"ok")
        self.assertEqual(self.server.accepted, 1)

    async def test_stale(self) -> None:
        """
        A connection that the peer closed meanwhile fails nobody.
        """
        for count in (1, 2):
            response = await self.get(HEAD + b"Content-Length: 2\r\n\r\nok")
            await read_body(response, 2, "global")
            self.server.cut()
            await self.server.emptied()
            self.assertEqual(self.server.accepted, count)

    async def test_refused(self) -> None:
        """
        A closed port is an origin that refuses connections, for now.
        """
        await self.server.close()
        error = await self.unavailable(self.get())
        self.assertIsInstance(error, Unreachable)
        self.assertEqual(error.reason, "it refuses connections")

    async def test_cancelled(self) -> None:
        """
        To cancel a request that waits for its answer ends the connection.
        """
        asked: Deferred[None] = Deferred()

        def silent(_: Asked, transport: Any) -> bytes:
            asked.callback(None)
            return b""

        self.raw.answer = silent
        d = self.get()
        await asked
        d.cancel()
        await self.assertFailure(d, CancelledError)
        await self.server.emptied()

    async def test_cancelled_at_once(self) -> None:
        """
        To cancel a request while its host's name is resolved is no unknown name.
        """
        d = self.get()
        d.cancel()
        await self.assertFailure(d, CancelledError)

    async def test_dropped(self) -> None:
        """
        An answer that is dropped ends its connection, however much would come.
        """
        response = await self.get(
            HEAD + b"Content-Length: 9999999\r\n\r\n" + b"x" * 999
        )
        drop(response)
        await self.server.emptied()

    async def test_stopped(self) -> None:
        """
        The end of the agents closes the connections that wait for use.
        """
        response = await self.get(HEAD + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(response.length, 0)
        self.assertEqual(self.server.open, 1)
        await self.outbound.stop()
        await self.server.emptied()


class TlsTests(TcpTestCase):
    """https"""

    host = "localhost"
    answer_ok = HEAD + b"Content-Length: 2\r\n\r\nok"

    def setUp(self) -> None:
        path = make_certificate(self.mktemp())
        pem = FilePath(path).getContent()
        self.ca_file = path
        self.context = PrivateCertificate.loadPEM(pem).options()
        super().setUp()

    async def test_trusted(self) -> None:
        """
        Whom the ``ca_file`` vouches for is asked, by name or by address.
        """
        for url in (self.server.url, self.server.url.replace("localhost", "127.0.0.1")):
            self.answers = [self.answer_ok]
            response = await self.agent.request(b"GET", url.encode())
            self.assertEqual(await read_body(response, 2, "global"), b"ok")

    async def refuses(self, agent: Any, url: str) -> None:
        d = agent.request(b"GET", url.encode())
        error = await self.unavailable(d)
        self.assertNotIsInstance(error, Unreachable)
        self.assertIn("no trust", error.reason)
        self.assertEqual(self.raw.asked, [])

    async def test_other_authority(self) -> None:
        """
        A server for which another authority vouches is not told the request.
        """
        other = Peer("global", ca_file=make_certificate(self.mktemp()))
        await self.refuses(self.outbound.agent(other), self.server.url)

    async def test_no_authority(self) -> None:
        """
        Without a ``ca_file`` it is the system's authorities that vouch.
        """
        await self.refuses(self.outbound.agent(Peer("global")), self.server.url)

    async def test_other_name(self) -> None:
        """
        A certificate for another name is not trusted.
        """
        url = self.server.url.replace("localhost", "glance.example.com")
        await self.refuses(self.agent, url)

    async def test_dropped(self) -> None:
        """
        An answer that is dropped ends its TLS connection without a farewell.
        """
        response = await self.get(
            HEAD + b"Content-Length: 9999999\r\n\r\n" + b"x" * 999
        )
        drop(response)
        await self.server.emptied()
