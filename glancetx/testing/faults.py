# Copyright glancetx contributors. See LICENSE for details.

"""
Failures on demand: the Nth call of something goes wrong.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from threading import Lock
from typing import Any

__all__ = ["Fault", "Watched", "broken_disk"]


def broken_disk() -> Exception:
    """The error of a disk that cannot be read or written (``EIO``)."""
    return OSError(errno.EIO, "injected by a test")


class Fault:
    """
    Fails the Nth of the calls that ask it, or every one from the Nth on.

    It may be asked from any thread.

    :ivar calls: how many calls asked so far.
    :ivar hit: whether one of them was failed.
    """

    def __init__(
        self,
        at: int,
        onwards: bool = False,
        error: Callable[[], Exception] = broken_disk,
    ) -> None:
        """
        :param at: which call fails, counted from 1.
        :param onwards: whether all after it fail too, until :meth:`heal`.
        :param error: makes the exception that is raised.
        """
        self.calls = 0
        self.hit = False
        self._at = at
        self._onwards = onwards
        self._error = error
        self._healed = False
        self._lock = Lock()

    def check(self) -> None:
        """
        Count one call, and fail it if it is its turn.

        :raises Exception: what ``error`` makes.
        """
        with self._lock:
            self.calls += 1
            due = self.calls == self._at or self._onwards and self.calls > self._at
            if not due or self._healed:
                return
            self.hit = True
        raise self._error()

    def heal(self) -> None:
        """Fail nothing any more."""
        self._healed = True


class Watched:
    """
    Stands in for an object or a module, and tells of the calls to some functions.

    ``Watched(os, {"write"}, told)`` is ``os``, but ``told("write", args)`` runs before
    each ``write``; an exception that it raises takes the place of the call. Only
    ``close`` is done first and told then, as the kernel closes a descriptor even if
    it reports an error (close(2), "Dealing with error returns from close()").
    """

    def __init__(
        self,
        target: Any,
        names: Collection[str],
        told: Callable[[str, tuple[Any, ...]], None],
    ) -> None:
        self._target = target
        self._names = names
        self._told = told

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._target, name)
        if name not in self._names:
            return function

        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "close":
                function(*args, **kwargs)
                return self._told(name, args)
            self._told(name, args)
            return function(*args, **kwargs)

        return watched
