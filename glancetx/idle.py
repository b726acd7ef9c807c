# Copyright glancetx contributors. See LICENSE for details.

"""
How long a peer may be silent.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Idle"]


class Idle:
    """Calls something when nothing was heard for a while. Stopped at first."""

    def __init__(
        self, clock: IReactorTime, seconds: float, call: Callable[[], object]
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._call = call
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Count from now on, whether it counted before or not."""
        if self._timer is None:
            self._timer = self._clock.callLater(self.seconds, self._over)
        else:
            self._timer.reset(self.seconds)

    def stop(self) -> None:
        """Count no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _over(self) -> None:
        self._timer = None
        self._call()
