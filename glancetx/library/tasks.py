# Copyright glancetx contributors. See LICENSE for details.

"""
Work that goes on to its end, whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Tasks"]

T = TypeVar("T")


class Tasks:
    """The tasks that are under way."""

    def __init__(self) -> None:
        self._running = 0
        self._waiting: list[Deferred[None]] = []

    def run(self, task: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """
        Begin a task; cancelling what is returned leaves the task alone.
        """
        answer: Deferred[T] = Deferred()

        def done(result: T | Failure) -> None:
            self._running -= 1
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)
            self._report()

        self._running += 1
        Deferred.fromCoroutine(task).addBoth(done)
        return answer

    async def settled(self) -> None:
        """Wait until every task has ended, well or not; cancelling ends none."""
        while self._running:
            settled: Deferred[None] = Deferred()
            self._waiting.append(settled)
            await settled

    def _report(self) -> None:
        if not self._running:
            waiting, self._waiting = self._waiting, []
            for settled in waiting:
                settled.callback(None)
