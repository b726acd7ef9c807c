# Copyright glancetx contributors. See LICENSE for details.

"""
A ``Keystone`` in memory, that asks a fake one, with a clock that tests turn.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glancetx.caller import Caller
from glancetx.credentials import IdentityConfig
from glancetx.errors import IdentityUnavailable, NotAuthenticated
from glancetx.identity.keystone import Keystone
from glancetx.interfaces import Credentials
from glancetx.limits import Limits
from glancetx.outbound import _PeerAgent

from .fake_keystone import FakeKeystone

__all__ = ["KeystoneCase"]

MORNING = datetime(2026, 11, 23, 8, tzinfo=UTC)


class KeystoneCase(SynchronousTestCase):
    """
    A test of one ``Keystone``.

    :ivar fake: whom it asks.
    :ivar jump: how far the time of day is from where it was, besides.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.jump = timedelta()
        self.fake = FakeKeystone(self.now)
        self.memory = RequestTraversalAgent(self.fake)
        self.make()

    def now(self) -> datetime:
        return MORNING + self.jump + timedelta(seconds=self.clock.seconds())

    def make(self, limits: Limits | None = None, **config: Any) -> None:
        """Make :attr:`keystone`, one that has asked nothing."""
        self.make_by(self.fake.config(**config), limits)

    def make_by(self, config: IdentityConfig, limits: Limits | None = None) -> None:
        """The same, by a whole configuration."""
        self.keystone = Keystone(
            config,
            _PeerAgent("Keystone", self.memory),
            self.clock,
            self.now,
            limits or Limits(),
        )

    def ask(self, token: str | None, **credentials: Any) -> Deferred[Caller]:
        return Deferred.fromCoroutine(
            self.keystone.identify(Credentials(token, **credentials))
        )

    def identify(self, token: str | None, **credentials: Any) -> Caller:
        """Who it is, told at once."""
        return self.successResultOf(self.ask(token, **credentials))

    def assert_refused(self, token: str | None, text: str, **credentials: Any) -> None:
        """The caller is told that it is he who is not known."""
        failure = self.failureResultOf(self.ask(token, **credentials), NotAuthenticated)
        self.assertIn(text, str(failure.value))

    def assert_unavailable(self, d: Deferred[Any], text: str) -> None:
        """The caller is told that it cannot be told."""
        failure = self.failureResultOf(d, IdentityUnavailable)
        self.assertIn(text, str(failure.value))

    def assert_down(self, token: str, text: str = "no answer that can be") -> None:
        self.assert_unavailable(self.ask(token), text)

    def land(self) -> None:
        """Let answers come that Keystone held back."""
        self.fake.release()
        self.memory.flush()

    @property
    def described(self) -> int:
        """How many tokens Keystone was asked about."""
        return self.fake.count("GET")

    @property
    def issued(self) -> int:
        """How often Keystone was asked for a token."""
        return self.fake.count("POST")
