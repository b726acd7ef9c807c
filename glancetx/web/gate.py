# Copyright glancetx contributors. See LICENSE for details.

"""
When a connection is read from, and how long its client may take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.web.http import HTTPChannel

__all__ = ["Deadline", "Gate"]


class Deadline:
    """
    One timer of a connection. It stands still while we do not read from it, so that
    no client is cut for what it was kept from sending.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: Callable[[], object] | None = None
        self._seconds: float = 0
        self._delayed: IDelayedCall | None = None
        self._held = False

    def set(self, seconds: float, call: Callable[[], object]) -> None:
        """Call back after so many seconds, instead of what was set before."""
        self.cancel()
        self._seconds, self._call = seconds, call
        self._start()

    def cancel(self) -> None:
        """Never mind. Idempotent."""
        self._stop()
        self._call = None

    def hold(self) -> None:
        """Stand still until :meth:`release`. Idempotent."""
        self._held = True
        self._stop()

    def release(self) -> None:
        """Run again, from the beginning. Idempotent."""
        if self._held:
            self._held = False
            self._start()

    def _start(self) -> None:
        if self._call is not None and not self._held:
            self._delayed = self._clock.callLater(self._seconds, self._over)

    def _stop(self) -> None:
        delayed, self._delayed = self._delayed, None
        if delayed is not None:
            delayed.cancel()

    def _over(self) -> None:
        self._delayed = None
        call, self._call = self._call, None
        assert call is not None
        call()


class Gate:
    """
    What a channel pauses to stop reading from its client.

    It takes the place of the transport in a ``HTTPChannel``, which resumes reading
    for reasons of its own and so would undo a pause of ours: the transport is read
    from only while neither has a reason not to.
    """

    def __init__(self, transport: Any, deadline: Deadline) -> None:
        """
        :param transport: an ``IPushProducer`` and ``IConsumer``.
        :param deadline: held while nothing is read.
        """
        self._transport = transport
        self._deadline = deadline
        self._paused = False
        self._held = False
        self._shut = False

    def hold(self) -> None:
        """Our own reason not to read. Idempotent."""
        self._held = True
        self._turn()

    def release(self) -> None:
        """Our own reason is gone. Idempotent."""
        self._held = False
        self._turn()

    def open(self) -> None:
        """Read, whatever reasons there were."""
        self._held = self._paused = False
        self._turn()

    def pauseProducing(self) -> None:
        self._paused = True
        self._turn()

    def resumeProducing(self) -> None:
        self._paused = False
        self._turn()

    def registerProducer(self, producer: HTTPChannel, streaming: bool) -> None:
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._transport.unregisterProducer()

    def _turn(self) -> None:
        shut = self._paused or self._held
        if shut == self._shut:
            return
        self._shut = shut
        if shut:
            self._transport.pauseProducing()
            self._deadline.hold()
        else:
            self._transport.resumeProducing()
            self._deadline.release()
