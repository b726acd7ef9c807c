# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the web core over TLS on loopback TCP.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread, deferToThread

from glancetx.interfaces import IFileConsumer
from glancetx.limits import Limits
from glancetx.web.request import Request
from glancetx.web.site import Site

from .certificates import make_certificate
from .wire import WIRE_SECONDS, Client, Route, WireTests, get, put, reactor

T = TypeVar("T")
MIB = 1024 * 1024


class TlsTests(WireTests):
    """Requests over TLS."""

    def serve_tls(
        self,
        answer: Callable[[Request], object],
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.pem = make_certificate(self.mktemp())
        certificate = PrivateCertificate.loadPEM(Path(self.pem).read_bytes())
        self.site = site = Site(Route(answer), limits or Limits(), clock or reactor)
        listening = reactor.listenSSL(
            0, site, certificate.options(), interface="127.0.0.1"
        )
        self.port = listening.getHost().port

        async def stop() -> None:
            await listening.stopListening()
            await self.all_closed()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))

    def secure(self, work: Callable[[Client], T]) -> Deferred[T]:
        context = ssl.create_default_context(cafile=self.pem)
        context.set_alpn_protocols(["h2", "http/1.1"])

        def run() -> T:
            with Client(self.port) as client:
                client.socket = context.wrap_socket(
                    client.socket, server_hostname="localhost"
                )
                client.socket.settimeout(WIRE_SECONDS)
                client._file = client.socket.makefile("rb")
                return work(client)

        return deferToThread(run)

    async def test_both_ways(self) -> None:
        """
        Bodies go both ways by copying: a request over TLS takes no files.
        """
        requests: list[Request] = []

        async def answer(request: Request) -> None:
            requests.append(request)
            body = b""
            while data := await request.body.read():
                body += data
            request.setHeader(b"Content-Length", b"%d" % len(body))
            request.write(body)
            request.finish()

        self.serve_tls(answer)
        data = os.urandom(5 * MIB)

        def work(client: Client) -> tuple[str | None, list[bytes]]:
            protocol = client.socket.selected_alpn_protocol()  # type: ignore[attr-defined]
            bodies = []
            for _ in range(2):
                client.send(put(data))
                bodies.append(client.answer().body)
            return protocol, bodies

        self.assertEqual(await self.secure(work), ("http/1.1", [data, data]))
        self.assertFalse(IFileConsumer.providedBy(requests[0]))

    async def test_refused(self) -> None:
        """
        A client whose body is refused reads why, and may close in its own time.
        """
        self.serve_tls(lambda request: b"no")

        def work(client: Client) -> tuple[bytes, bytes]:
            client.send(put(bytes(8 * MIB)))
            answer = client.answer()
            return answer.body, answer.headers[b"connection"]

        self.assertEqual(await self.secure(work), (b"no", b"close"))

    async def test_cut(self) -> None:
        """
        An answer that is cut ends in an error, not in the end of TLS.
        """

        def answer(request: Request) -> None:
            request.setHeader(b"Content-Length", b"10")
            request.write(b"abc")
            reactor.callLater(0, request.cut)

        self.serve_tls(answer)

        def work(client: Client) -> object:
            client.send(get())
            return self.assertRaises((EOFError, OSError), client.answer)

        await self.secure(work)

    async def test_stalled(self) -> None:
        """
        A reader over TLS that stops reading is cut too.
        """
        clock = Clock()
        requests: list[Request] = []

        def answer(request: Request) -> None:
            requests.append(request)
            request.setHeader(b"Content-Length", b"100000000")
            request.write(bytes(20_000_000))

        self.serve_tls(answer, clock=clock)

        def work(client: Client) -> None:
            client.send(get())
            client.head()
            while not requests[0].was_cut:
                blockingCallFromThread(reactor, clock.advance, 10)

        await self.secure(work)
        self.assertEqual(self.site.transfers, set())

    async def test_silent_client(self) -> None:
        """
        A connection that does not even shake hands is closed when its time is up.
        """
        clock = Clock()
        self.serve_tls(self.fail, Limits(header_seconds=20, linger_seconds=10), clock)

        def work(client: Client) -> bytes:
            while not self.site.channels:
                pass
            blockingCallFromThread(reactor, clock.pump, [20, 10])
            try:
                return client.rest()
            except OSError:
                return b""

        self.assertEqual(await self.client(work), b"")
