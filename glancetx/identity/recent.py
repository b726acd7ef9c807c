# Copyright glancetx contributors. See LICENSE for details.

"""
Answers that are good for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """
    A bounded number of answers. What was wanted least lately goes first.

    What is over is never given, and kept no longer than there is room.
    """

    def __init__(self, most: int, clock: IReactorTime) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> T | None:
        """What was kept under a key, if it is still good."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        until, answer = kept
        if until <= self._clock.seconds():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: T, until: float) -> None:
        """
        Keep an answer.

        :param until: a time of the clock.
        """
        if until <= self._clock.seconds():
            return
        self._kept[key] = (until, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
