# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.flights`.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.flights import Flights


class FlightsTests(SynchronousTestCase):
    """``Flights.join``"""

    def setUp(self) -> None:
        self.flights: Flights[int] = Flights()
        self.calls: list[Deferred[int]] = []

    async def call(self) -> int:
        self.calls.append(Deferred())
        return await self.calls[-1]

    def join(self, key: str = "key") -> Deferred[int]:
        return self.flights.join(key, self.call)

    def test_together(self) -> None:
        """
        Those who come while a call is under way get its result.
        """
        waiting = [self.join() for _ in range(3)]
        other = self.join("other")
        self.assertEqual((len(self.calls), len(self.flights)), (2, 2))
        self.calls[0].callback(7)
        self.assertEqual([self.successResultOf(d) for d in waiting], [7, 7, 7])
        self.assertNoResult(other)
        self.assertEqual(len(self.flights), 1)

    def test_failure(self) -> None:
        """
        They get its failure, too.
        """
        waiting = [self.join() for _ in range(3)]
        self.calls[0].errback(ValueError())
        for d in waiting:
            self.failureResultOf(d, ValueError)

    def test_after(self) -> None:
        """
        Who comes when it is over begins another, also from within its result.
        """
        first = self.join().addCallback(lambda _: self.join())
        self.calls[0].callback(1)
        self.assertEqual(len(self.calls), 2)
        self.calls[1].callback(2)
        self.assertEqual(self.successResultOf(first), 2)

    def test_at_once(self) -> None:
        """
        A call that is over when it is begun is no other.
        """

        async def call() -> int:
            return 5

        self.assertEqual(self.successResultOf(self.flights.join("key", call)), 5)
        self.assertEqual(len(self.flights), 0)

    def test_cancelled(self) -> None:
        """
        Cancelling ends one's own waiting, and nothing else.
        """
        first, second = self.join(), self.join()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.calls[0].callback(3)
        self.assertEqual(self.successResultOf(second), 3)
        alone = self.join()
        alone.cancel()
        self.failureResultOf(alone, CancelledError)
        late = self.join()
        self.assertEqual(len(self.calls), 2)
        self.calls[1].callback(4)
        self.assertEqual(self.successResultOf(late), 4)
