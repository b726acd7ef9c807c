# Copyright glancetx contributors. See LICENSE for details.

"""
Threads without threads: a test says which job runs, and when.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

__all__ = ["ManualThreads", "ThreadClock"]


@implementer(IReactorFromThreads)
class ThreadClock(Clock):
    """A clock that takes results from threads at once."""

    def callFromThread(
        self, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        callable(*args, **kwargs)


class ManualThreads(ThreadPool):
    """
    A pool that keeps its jobs until it is told to run them.

    :ivar jobs: what has not run, in the order in which it came.
    :ivar eager: run every job when it comes.
    """

    def __init__(self, eager: bool = False) -> None:
        super().__init__(0, 1)
        self.eager = eager
        self.jobs: list[Callable[[], None]] = []

    def callInThreadWithCallback(
        self, onResult: Any, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        def job() -> None:
            try:
                result = func(*args, **kwargs)
            except Exception:
                onResult(False, Failure())
            else:
                onResult(True, result)

        self.jobs.append(job)
        if self.eager:
            self.run()

    def run(self, number: int = 0) -> None:
        """Run one job, by default the oldest."""
        self.jobs.pop(number)()

    def run_all(self) -> None:
        """Run jobs until there are none, also those that come meanwhile."""
        while self.jobs:
            self.run()
