# Copyright glancetx contributors. See LICENSE for details.

"""
Bytes from the reactor into files and pipes, which may block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

__all__ = ["Sink", "pipe_thread", "write_all"]

HIGH = 4 * 1024 * 1024
"""Bytes that wait to be written before the producer is paused."""


def pipe_thread() -> ThreadPool:
    """
    A thread for what may block for ever, such as a pipe; nobody waits for its end.
    """
    threads = ThreadPool(0, 1, "glancetx-pipe")
    threads.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    threads.start()
    return threads


def write_all(fd: int, data: bytes | memoryview) -> None:
    """
    Write every byte.

    :raises OSError: if they cannot be written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@implementer(IConsumer)
class Sink:
    """
    Hands what it gets to a blocking function in a thread, in order.

    :ivar taken: how many bytes it got.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        reactor: Any,
        threads: ThreadPool,
        progress: Callable[[int], object],
    ) -> None:
        """
        :param write: called in a thread, never twice at once.
        :param progress: told the length of what was written.
        """
        self.taken = 0
        self._write = write
        self._reactor = reactor
        self._threads = threads
        self._progress = progress
        self._producer: IPushProducer | None = None
        self._queue: list[bytes] = []
        self._waiting = 0
        self._busy = False
        self._failure: Failure | None = None
        self._flushed: Deferred[None] | None = None

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self._producer = producer  # type: ignore[assignment]

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        self.taken += len(data)
        self._queue.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH and self._producer is not None:
            self._producer.pauseProducing()
        self._work()

    async def settle(self) -> None:
        """Wait until the function is not being called, nor will be."""
        while self._busy:
            self._flushed = Deferred()
            await self._flushed

    async def flush(self) -> None:
        """
        Wait until everything is written.

        :raises OSError: or what else the function raised.
        """
        await self.settle()
        if self._failure is not None:
            self._failure.raiseException()

    def _work(self) -> None:
        if self._busy or not self._queue or self._failure is not None:
            return
        batch, self._queue = self._queue, []
        self._busy = True
        writing = deferToThreadPool(
            self._reactor, self._threads, self._write_batch, batch
        )
        writing.addCallbacks(self._written, self._failed)

    def _write_batch(self, batch: Sequence[bytes]) -> int:
        for data in batch:
            self._write(data)
        return sum(map(len, batch))

    def _written(self, count: int) -> None:
        self._busy = False
        was_full = self._waiting > HIGH
        self._waiting -= count
        self._progress(count)
        self._work()
        if was_full and self._waiting <= HIGH and self._producer is not None:
            self._producer.resumeProducing()
        self._done()

    def _failed(self, failure: Failure) -> None:
        self._busy = False
        self._failure = failure
        if self._producer is not None:
            self._producer.stopProducing()
        self._done()

    def _done(self) -> None:
        if self._flushed is not None and not self._busy:
            flushed, self._flushed = self._flushed, None
            flushed.callback(None)
