# Copyright glancetx contributors. See LICENSE for details.

"""
One call for all who want its result at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Flights"]

T = TypeVar("T")


class Flights(Generic[T]):
    """The calls that are under way, by what they are about."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[T]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(
        self, key: Hashable, call: Callable[[], Coroutine[Deferred[Any], Any, T]]
    ) -> Deferred[T]:
        """
        Wait for the call that is under way, or else make it.

        Cancelling ends the waiting, and neither the call nor the waiting of others.
        """
        answer: Deferred[T] = Deferred()
        if key in self._waiting:
            self._waiting[key].append(answer)
        else:
            self._waiting[key] = [answer]
            Deferred.fromCoroutine(call()).addBoth(self._land, key)
        return answer

    def _land(self, result: T | Failure, key: Hashable) -> None:
        for answer in self._waiting.pop(key):  # those that were cancelled ignore it
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)
