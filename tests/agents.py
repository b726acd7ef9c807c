# Copyright glancetx contributors. See LICENSE for details.

"""
Test cases that have an agent of :mod:`glancetx.outbound`.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.iweb import IResponse

from glancetx.errors import OriginUnavailable
from glancetx.limits import Limits
from glancetx.outbound import Outbound, Peer
from glancetx.streaming.digest import Digests

from .fake_reactor import FakeReactor, Resolver
from .loopback import Asked, Loopback, RawServer

__all__ = ["FakeTestCase", "TcpTestCase", "make_digests"]


def make_digests() -> Digests:
    """Digests on the threads of the running reactor."""
    running: Any = reactor
    return Digests(running, running.getThreadPool())


class FakeTestCase(SynchronousTestCase):
    """Asks through a reactor that opens nothing."""

    def make(self, *answers: list[str], proxy: str | None = None) -> None:
        self.reactor = FakeReactor(*answers)
        self.outbound = Outbound(self.reactor, Limits())
        self.agent = self.outbound.agent(Peer("global", proxy=proxy), receive=65432)

    def get(self, url: str, method: bytes = b"GET") -> Deferred[IResponse]:
        return self.agent.request(method, url.encode())

    def refused(self, d: Deferred[Any]) -> str:
        self.reactor.advance(1)
        error: OriginUnavailable = self.failureResultOf(d, OriginUnavailable).value
        self.assertEqual(error.origin, "global")
        return error.reason


class NamedLoopback:
    """The real reactor, to which every name is 127.0.0.1."""

    nameResolver = Resolver([], always="127.0.0.1")

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class TcpTestCase(TestCase):
    """Asks one server of its own."""

    ca_file: str | None = None
    context: object = None
    host = "127.0.0.1"

    def setUp(self) -> None:
        self.raw = RawServer(self.answer)
        self.server = Loopback(reactor, self.raw, self.context, self.host)
        self.outbound = Outbound(NamedLoopback(), Limits())
        self.agent = self.outbound.agent(Peer("global", ca_file=self.ca_file))
        self.answers: list[bytes] = []
        self.addCleanup(self.server.stop)
        self.addCleanup(self.outbound.stop)

    def answer(self, asked: Asked, transport: Any) -> bytes:
        return self.answers.pop(0)

    async def unavailable(self, d: Deferred[Any]) -> OriginUnavailable:
        """Wait for the failure to come, and say which it is."""
        error: Any = await self.assertFailure(d, OriginUnavailable)
        return cast(OriginUnavailable, error)

    def get(self, *answers: bytes) -> Deferred[IResponse]:
        self.answers = list(answers)
        return self.agent.request(b"GET", f"{self.server.url}/".encode())
