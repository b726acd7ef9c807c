# Copyright glancetx contributors. See LICENSE for details.

"""
MD5 of bytes while they are sent, made in threads: Swift's ETags are such sums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from glancetx.interfaces import Tools

__all__ = ["Sum", "md5"]

JOB = 1024 * 1024
"""Bytes for which it is worth to ask for a thread."""

BACKLOG = 4 * JOB
"""Bytes that may wait for a thread before their source must be held back."""


def md5(data: bytes) -> str:
    """The sum of few bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Sum:
    """The sum of one stream of bytes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._hash = hashlib.md5(usedforsecurity=False)
        self._batch: list[bytes] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._backlog = self._collected = 0
        self._busy = False
        self._failure: Failure | None = None

    def update(self, data: bytes) -> None:
        """Take the next bytes; they must not change afterwards."""
        self._batch.append(data)
        self._collected += len(data)
        self._backlog += len(data)
        if self._collected >= JOB:
            self._work()

    @property
    def lagging(self) -> bool:
        """Whether the source should wait for :meth:`ready`."""
        return self._backlog > BACKLOG

    async def ready(self) -> None:
        """Wait until more bytes are welcome."""
        await self._drained(BACKLOG // 2)

    async def finish(self) -> str:
        """The sum of all that was taken, in hex."""
        await self._drained(0)
        return self._hash.hexdigest()

    def _drained(self, target: int) -> Deferred[None]:
        waiting = Deferred[None]()
        self._waiting.append((target, waiting))
        self._work()
        self._report()
        return waiting

    def _work(self) -> None:
        if self._busy or not self._batch:
            return
        self._busy = True
        batch, self._batch = self._batch, []
        count, self._collected = self._collected, 0
        job = self._tools.threaded(self._update, batch)
        job.addCallbacks(self._worked, self._failed, callbackArgs=(count,))

    def _update(self, batch: Sequence[bytes]) -> None:
        """In a thread."""
        for data in batch:
            self._hash.update(data)

    def _worked(self, _: None, count: int) -> None:
        self._busy = False
        self._backlog -= count
        if self._waiting or self._collected >= JOB:
            self._work()
        self._report()

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._report()

    def _report(self) -> None:
        waiting, self._waiting = self._waiting, []
        for target, one in waiting:
            if self._failure is not None:
                one.errback(self._failure)
            elif self._backlog <= target:
                one.callback(None)
            else:
                self._waiting.append((target, one))
