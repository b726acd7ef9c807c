# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.idle`, and for answers that are waited for by it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glancetx.answers import read_body
from glancetx.errors import OriginUnavailable
from glancetx.idle import Idle

from .responses import FakeResponse


class IdleTests(SynchronousTestCase):
    """How long somebody is silent"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[float] = []
        self.idle = Idle(
            self.clock, 10, lambda: self.calls.append(self.clock.seconds())
        )

    def test_over(self) -> None:
        """
        After the time it calls, once.
        """
        self.idle.start()
        self.clock.advance(9.9)
        self.assertEqual(self.calls, [])
        self.clock.advance(0.1)
        self.clock.advance(100)
        self.assertEqual(self.calls, [10])

    def test_heard(self) -> None:
        """
        Whenever something is heard the time begins anew.
        """
        for _ in range(5):
            self.idle.start()
            self.clock.advance(9)
        self.assertEqual(self.calls, [])
        self.clock.advance(1)
        self.assertEqual(self.calls, [46])

    def test_stopped(self) -> None:
        """
        What was stopped, or never started, does not call; it may be started again.
        """
        self.idle.stop()
        self.idle.start()
        self.idle.stop()
        self.clock.advance(100)
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), ([], []))
        self.idle.start()
        self.clock.advance(10)
        self.assertEqual(self.calls, [110])


class BodyTests(SynchronousTestCase):
    """A body that is read whole"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.response = FakeResponse(200)
        self.body = Deferred.fromCoroutine(
            read_body(self.response, 100, "it", self.clock, 10)
        )

    def test_slow(self) -> None:
        """
        A body may be slow, as long as something comes now and then.
        """
        for _ in range(5):
            self.response.feed(b"12")
            self.clock.advance(9)
        self.response.end()
        self.assertEqual(self.successResultOf(self.body), b"12" * 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stops(self) -> None:
        """
        One that stops is given up, and its connection closed.
        """
        self.response.feed(b"12")
        self.clock.advance(10)
        error = self.failureResultOf(self.body, OriginUnavailable).value
        self.assertIn("10 seconds", error.reason)
        self.assertEqual(self.response.connection.calls, ["stop"])

    def test_too_long(self) -> None:
        """
        One that is too long leaves no timer behind.
        """
        self.response.feed(b"1" * 101)
        self.failureResultOf(self.body, OriginUnavailable)
        self.response.break_off()
        self.assertEqual(self.clock.getDelayedCalls(), [])
