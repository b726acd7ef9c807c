# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift.crowd``.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.swift.crowd import each


class EachTests(SynchronousTestCase):
    """``each``"""

    def setUp(self) -> None:
        self.calls: list[Deferred[None]] = []

    def call(self, thing: int) -> Deferred[None]:
        self.calls.append(Deferred())
        return self.calls[-1]

    def begin(self) -> Deferred[None]:
        return Deferred.fromCoroutine(each(range(5), self.call, 2))

    def test_few_at_once(self) -> None:
        """
        A call is made when another is over.
        """
        d = self.begin()
        for number in range(5):
            self.assertEqual(len(self.calls), min(number + 2, 5))
            self.calls[number].callback(None)
        self.successResultOf(d)

    def test_failure(self) -> None:
        """
        What fails keeps no other from being tried; the first failure is told.
        """
        d = self.begin()
        for number in range(5):
            self.calls[number].errback(ValueError(number))
        self.assertEqual(self.failureResultOf(d, ValueError).value.args, (0,))

    def test_cancelled(self) -> None:
        """
        Who cancels ends the calls that are under way, and no other is made.
        """
        d = self.begin()
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertEqual(len(self.calls), 2)
