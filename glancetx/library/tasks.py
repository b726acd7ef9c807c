# Copyright glancetx contributors. See LICENSE for details.

"""
Work that goes on to its end, whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

__all__ = ["Tasks"]

T = TypeVar("T")


class Tasks:
    """The tasks that are under way."""

    def __init__(self) -> None:
        self._running: set[Deferred[None]] = set()

    def run(self, task: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """
        Begin a task; cancelling what is returned leaves the task alone.
        """
        answer: Deferred[T] = Deferred()
        running: Deferred[None] = Deferred()
        self._running.add(running)

        def done(result: T | Failure) -> None:
            self._running.discard(running)
            running.callback(None)
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)

        Deferred.fromCoroutine(task).addBoth(done)
        return answer

    async def settled(self) -> None:
        """Wait until every task has ended, well or not."""
        await DeferredList(list(self._running))
