# Copyright glancetx contributors. See LICENSE for details.

"""
Who reads which piece now, in this process.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred

__all__ = ["Readers"]


class Readers:
    """Counts the readers of each piece."""

    def __init__(self) -> None:
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
