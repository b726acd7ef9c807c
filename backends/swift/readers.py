# Copyright glancetx contributors. See LICENSE for details.

"""
Who reads which piece now, in this process, and which pieces are known to be there.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

__all__ = ["Readers", "Seen"]

SEEN_SECONDS = 60
MOST_SEEN = 10_000


class Seen:
    """
    Which pieces all replicas had a short while ago.

    To ask all of them takes as long as the slowest, ten seconds if one hangs: too long
    for each of the many small ranges that a machine reads as it boots.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def note(self, key: str) -> None:
        """All replicas were asked for a piece, and it is there."""
        self._seen.pop(key, None)  # the oldest stay first
        self._seen[key] = self._clock.seconds()
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]

    def forget(self, key: str) -> None:
        """A piece is being removed."""
        self._seen.pop(key, None)

    def lately(self, key: str) -> bool:
        """Whether one replica may be believed."""
        seen = self._seen.get(key)
        return seen is not None and self._clock.seconds() - seen < SEEN_SECONDS


class Readers:
    """
    Counts the readers of each piece.

    :ivar seen: what they found.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.seen = Seen(clock)
        self._count: Counter[str] = Counter()
        self._waiting: dict[str, list[Deferred[None]]] = {}

    def begin(self, key: str) -> None:
        """Somebody begins to read a piece; :meth:`end` must follow."""
        self._count[key] += 1

    def end(self, key: str) -> None:
        """He has it, or gave up."""
        self._count[key] -= 1
        if self._count[key] == 0:
            del self._count[key]
            for waiting in self._waiting.pop(key, []):
                waiting.callback(None)

    def busy(self, key: str) -> bool:
        """Whether anybody reads a piece."""
        return key in self._count

    async def gone(self, key: str) -> None:
        """Wait until nobody reads a piece."""
        if self.busy(key):
            waiting: Deferred[None] = Deferred()
            self._waiting.setdefault(key, []).append(waiting)
            await waiting
