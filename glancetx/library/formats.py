# Copyright glancetx contributors. See LICENSE for details.

"""
Whether uploaded bytes are what they were declared to be, told while they pass.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from glancetx.errors import WrongFormat
from glancetx.image import LARGEST

from .headers import READ, TAIL, Reading, Window, read_disk

__all__ = ["INSPECT_BYTES", "Inspection"]

INSPECT_BYTES = 1024 * 1024
"""The most bytes of one upload that are looked at."""

CPU_SECONDS = 0.05
"""The most time that is spent on one upload, in the thread that all others share."""


class Inspection:
    """
    Looks at the bytes of one upload while they pass.

    Only images in the container ``bare`` are looked at, as Glance does: an archive or a
    compressed file is not of its disk's format. Nor are disk formats of which nothing
    is known. No bytes at all are no disk yet, and suit every format.

    :param has_parent: the image was made as a difference to another, so a file that
        names one is natural. No name in it is ever opened.
    :param clock: says how much time this thread has worked, in seconds.
    """

    def __init__(
        self,
        disk_format: str,
        container_format: str,
        has_parent: bool,
        clock: Callable[[], float] = time.thread_time,
        most: int = INSPECT_BYTES,
    ) -> None:
        self._declared = disk_format
        self._clock = clock
        self._left = most
        self._seconds = 0.0
        self._position = 0
        self._window = bytearray()
        self._tail = b""
        self._virtual_size: int | None = None
        self._wanted: Window | None = None
        self._looks = container_format == "bare" and disk_format in READ
        if self._looks:
            self._reading: Reading = read_disk(disk_format, has_parent)
            self._wanted = next(self._reading)

    def eat(self, data: bytes) -> None:
        """
        Look at the bytes that come next.

        :raises WrongFormat: as soon as they are known not to be welcome.
        """
        start, self._position = self._position, self._position + len(data)
        if self._wanted is None:
            return
        self._tail = (
            data[-TAIL.stop :]
            if len(data) >= TAIL.stop
            else (self._tail + data)[-TAIL.stop :]
        )
        while (window := self._wanted) and window.start is not None:
            known = window.start + len(self._window)
            self._window += data[max(known - start, 0) : max(window.stop - start, 0)]
            if len(self._window) < window.stop - window.start:
                return
            self._give(bytes(self._window))

    def finish(self, size: int) -> int | None:
        """
        Say that no more will come.

        :param size: how many bytes there were.
        :returns: bytes of the disk that a machine sees, ``None`` if that is not known.
        :raises WrongFormat: if what came is not what was declared.
        """
        while size and self._wanted is not None:
            at_end = self._wanted.start is None
            self._give(self._tail if at_end else bytes(self._window))
        if self._declared == "raw" and self._looks:
            return size
        return self._virtual_size

    def _give(self, data: bytes) -> None:
        """Hand on a window, and take note of the next one that is asked for."""
        given, self._wanted = self._wanted, None
        self._window = bytearray()
        try:
            with _no_collection():
                wanted = self._send(data)
        except StopIteration as done:
            self._virtual_size = self._checked(done.value)
            return
        except WrongFormat:
            raise
        except Exception:  # whatever the parsers make of what they are not made for
            raise self._refused("cannot be read") from None
        self._require_order(given, wanted)
        self._wanted = wanted

    def _send(self, data: bytes) -> Window:
        began = self._clock()
        try:
            return self._reading.send(data)
        finally:
            self._seconds += self._clock() - began

    def _require_order(self, given: Window | None, wanted: Window) -> None:
        """
        Go on only to what comes later, and within the budget.

        The end of the file is always looked at: that costs next to nothing, and needs
        no header's word.
        """
        if wanted.start is None:
            return
        assert given is not None
        if wanted.start < given.stop:
            raise self._refused("has its tables in an order that is not lawful")
        self._left -= wanted.stop - wanted.start
        if self._left < 0 or self._seconds > CPU_SECONDS:
            raise self._refused("has headers that are too much work to read")

    def _checked(self, virtual_size: int | None) -> int | None:
        if virtual_size is not None and virtual_size > LARGEST:
            raise self._refused(f"claims to be a disk of {virtual_size} bytes")
        return virtual_size

    def _refused(self, what: str) -> WrongFormat:
        return WrongFormat(
            "disk_format", f"{self._declared} was declared, but the file {what}"
        )


@contextmanager
def _no_collection() -> Generator[None, None, None]:
    """Let no garbage of others be collected at the expense of what is measured."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
