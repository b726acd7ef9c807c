# Copyright glancetx contributors. See LICENSE for details.

"""
The same call for many things, a few of them at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList

__all__ = ["each"]

T = TypeVar("T")

AT_ONCE = 4


async def each(
    things: Iterable[T], call: Callable[[T], Awaitable[object]], at_once: int = AT_ONCE
) -> None:
    """
    Call a function for each thing; all are tried, whichever fails. Cancelling ends it.

    :raises Exception: what the first call that failed raised, when all are over.
    """
    failures: list[Exception] = []
    left = iter(things)
    workers = [
        Deferred.fromCoroutine(_work(left, call, failures)) for _ in range(at_once)
    ]
    await DeferredList(workers, consumeErrors=True)
    if failures:
        raise failures[0]


async def _work(
    left: Iterator[T],
    call: Callable[[T], Awaitable[object]],
    failures: list[Exception],
) -> None:
    for thing in left:
        try:
            await call(thing)
        except Exception as error:
            failures.append(error)
            if isinstance(error, CancelledError):
                return
