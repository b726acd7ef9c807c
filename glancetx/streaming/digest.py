# Copyright glancetx contributors. See LICENSE for details.

"""
Digests of passing bytes, made in threads of their own.
"""

from __future__ import annotations

import hashlib
from collections import deque

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

__all__ = ["Digests", "Hashing"]

JOB = 1024 * 1024
"""Bytes for which it is worth to begin a thread's turn."""

TURN = 16 * JOB
"""Bytes after which a thread is given back, so that other streams have their turn."""

BACKLOG = 2 * JOB
"""
Bytes that may wait for their turn before the source must be held back: one job that is
being hashed, and one that follows it at once.
"""


class _Hash:
    """
    One algorithm over one stream of bytes, in order, in one thread at a time.

    A thread goes on as long as there are bytes, without asking the reactor each time:
    the reactor adds to the queue and to ``_taken``, the thread takes from the queue
    and adds to ``_done``, and neither touches what is the other's.
    """

    def __init__(
        self, algorithm: str, reactor: IReactorFromThreads, threads: ThreadPool
    ) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._reactor = reactor
        self._threads = threads
        self._queue: deque[bytes] = deque()
        self._taken = self._done = 0
        self._busy = False
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._failure: Failure | None = None

    @property
    def backlog(self) -> int:
        """How many bytes are not hashed yet."""
        return self._taken - self._done

    def update(self, data: bytes) -> None:
        self._queue.append(data)
        self._taken += len(data)
        if self.backlog >= JOB:
            self._work()

    def drained(self, target: int) -> Deferred[None]:
        """Fires once no more than ``target`` bytes are waiting."""
        waiting = Deferred[None]()
        self._waiting.append((target, waiting))
        self._work()
        self._report()
        return waiting

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _work(self) -> None:
        if self._busy or not self._queue:
            return
        self._busy = True
        job = deferToThreadPool(self._reactor, self._threads, self._update)
        job.addCallbacks(self._worked, self._failed)

    def _update(self) -> None:
        """In a thread: hash until nothing is left, or others should have a turn."""
        stop = self._done + TURN
        while self._queue and self._done < stop:
            data = self._queue.popleft()
            self._hash.update(data)
            self._done += len(data)
            if any(self.backlog <= target for target, _ in self._waiting):
                self._reactor.callFromThread(self._report)

    def _worked(self, _: None) -> None:
        self._busy = False
        if self._waiting or self.backlog >= JOB:
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
            elif self.backlog <= target:
                one.callback(None)
            else:
                self._waiting.append((target, one))


class Hashing:
    """Several digests over one stream of bytes."""

    def __init__(self, hashes: dict[str, _Hash]) -> None:
        self._hashes = hashes

    @property
    def lagging(self) -> bool:
        """Whether the source should wait for :meth:`ready`."""
        return any(one.backlog > BACKLOG for one in self._hashes.values())

    def update(self, data: bytes) -> None:
        """Take the next bytes; they must not change afterwards."""
        for one in self._hashes.values():
            one.update(data)

    async def ready(self) -> None:
        """Wait until more bytes are welcome."""
        for one in self._hashes.values():
            if one.backlog > BACKLOG:
                await one.drained(BACKLOG // 2)

    async def finish(self) -> dict[str, str]:
        """
        Wait for the last byte.

        :returns: the value in hex by algorithm.
        """
        await gatherResults(
            [one.drained(0) for one in self._hashes.values()], consumeErrors=True
        )
        return {name: one.hexdigest() for name, one in self._hashes.items()}


class Digests:
    """Makes digests on a pool of threads that does nothing else."""

    def __init__(self, reactor: IReactorFromThreads, threads: ThreadPool) -> None:
        self._reactor = reactor
        self._threads = threads

    def start(self, *algorithms: str) -> Hashing:
        """Begin digests of these algorithms, by the names of ``hashlib``."""
        return Hashing(
            {name: _Hash(name, self._reactor, self._threads) for name in algorithms}
        )
