# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.tasks`.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.library.tasks import Tasks


class TasksTests(SynchronousTestCase):
    """``Tasks``"""

    def setUp(self) -> None:
        self.tasks = Tasks()
        self.steps: list[str] = []

    def tearDown(self) -> None:
        self.successResultOf(self.settled())
        gc.collect()  # errors that nobody waits for must not be in the log

    async def work(self, waits: Deferred[None]) -> str:
        self.steps.append("begun")
        try:
            await waits
        finally:
            self.steps.append("ended")
        return "done"

    def settled(self) -> Deferred[None]:
        return ensureDeferred(self.tasks.settled())

    def test_result(self) -> None:
        """
        A task begins at once, and its result is handed on.
        """
        waits: Deferred[None] = Deferred()
        d = self.tasks.run(self.work(waits))
        self.assertEqual(self.steps, ["begun"])
        self.assertNoResult(d)
        waits.callback(None)
        self.assertEqual(self.successResultOf(d), "done")

    def test_failure(self) -> None:
        """
        Its error is handed on, too.
        """
        waits: Deferred[None] = Deferred()
        d = self.tasks.run(self.work(waits))
        waits.errback(ValueError("no"))
        self.failureResultOf(d, ValueError)

    def test_at_once(self) -> None:
        """
        A task that waits for nothing is over when it has begun.
        """
        waits: Deferred[None] = Deferred()
        waits.callback(None)
        self.assertEqual(self.successResultOf(self.tasks.run(self.work(waits))), "done")

    def test_cancelled(self) -> None:
        """
        Who waits may give up; the task goes on to its end, be it good or bad.
        """
        for end in (Deferred[None].callback, Deferred[None].errback):
            self.steps.clear()
            waits: Deferred[None] = Deferred()
            d = self.tasks.run(self.work(waits))
            d.cancel()
            self.failureResultOf(d, CancelledError)
            self.assertEqual(self.steps, ["begun"])
            self.assertNoResult(settled := self.settled())
            end(waits, ValueError("no"))  # type: ignore[arg-type]
            self.assertEqual(self.steps, ["begun", "ended"])
            self.successResultOf(settled)

    def test_settled(self) -> None:
        """
        One may wait for all tasks, also for those that begin meanwhile.
        """
        self.successResultOf(self.settled())
        first, second = Deferred[None](), Deferred[None]()
        d1 = self.tasks.run(self.work(first))
        settled = self.settled()
        d2 = self.tasks.run(self.work(second))
        first.callback(None)
        self.successResultOf(d1)
        self.assertNoResult(settled)
        second.errback(ValueError("no"))
        self.failureResultOf(d2, ValueError)
        self.successResultOf(settled)

    def test_settled_after_results(self) -> None:
        """
        All is settled when everybody has his result.
        """
        order: list[str] = []
        waits: Deferred[None] = Deferred()
        d = self.tasks.run(self.work(waits)).addCallback(order.append)
        settled = self.settled().addCallback(lambda _: order.append("settled"))
        waits.callback(None)
        self.successResultOf(d)
        self.successResultOf(settled)
        self.assertEqual(order, ["done", "settled"])

    def test_followed(self) -> None:
        """
        A task that is begun when another one ends is waited for as well.
        """
        first, second = Deferred[None](), Deferred[None]()
        d = self.tasks.run(self.work(first))
        d.addCallback(lambda _: self.tasks.run(self.work(second)))
        settled = self.settled()
        first.callback(None)
        self.assertNoResult(settled)
        second.callback(None)
        self.successResultOf(settled)
        self.successResultOf(d)

    def test_settled_cancelled(self) -> None:
        """
        To give up waiting for all ends no task, and the next one waits again.
        """
        waits: Deferred[None] = Deferred()
        d = self.tasks.run(self.work(waits))
        impatient, patient = self.settled(), self.settled()
        impatient.cancel()
        self.failureResultOf(impatient, CancelledError)
        self.assertNoResult(d)
        self.assertNoResult(patient)
        self.assertNoResult(later := self.settled())
        waits.callback(None)
        self.successResultOf(d)
        self.successResultOf(patient)
        self.successResultOf(later)
