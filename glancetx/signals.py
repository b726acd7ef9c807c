# Copyright glancetx contributors. See LICENSE for details.

"""
Signals that the reactor leaves alone, as calls in its thread.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from twisted.internet.interfaces import IReactorFromThreads

__all__ = ["handled"]


@contextmanager
def handled(
    reactor: IReactorFromThreads, call: Callable[[], object], *numbers: int
) -> Iterator[None]:
    """
    While this lasts, call a function in the reactor's thread when a signal comes.

    Enter and leave it in the main thread, and leave in reverse order of entering: what
    was there before comes back.

    :param numbers: e.g. ``signal.SIGHUP``.
    """

    def received(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(call)

    before = {number: signal.signal(number, received) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
