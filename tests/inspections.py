# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of format inspection share.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import WrongFormat
from glancetx.library.formats import Inspection

__all__ = ["InspectionCase", "inspect", "verdict"]


def inspect(
    data: bytes,
    disk_format: str,
    *,
    parent: bool = False,
    container: str = "bare",
    step: int = 64 * 1024,
    clock: Callable[[], float] = lambda: 0.0,
    most: int = 1024 * 1024,
) -> int | None:
    """
    Have an upload inspected; returns the virtual size.

    :param step: bytes that come at once.
    """
    inspection = Inspection(disk_format, container, parent, clock=clock, most=most)
    for start in range(0, len(data), step):
        inspection.eat(data[start : start + step])
    return inspection.finish(len(data))


def verdict(
    data: bytes, disk_format: str, parent: bool = False, step: int = 64 * 1024
) -> int | str | None:
    """The virtual size, or the reason why the bytes are refused."""
    try:
        return inspect(data, disk_format, parent=parent, step=step)
    except WrongFormat as refused:
        return str(refused)


class InspectionCase(SynchronousTestCase):
    """A test of what an inspection says."""

    def assert_refused(
        self, data: bytes, disk_format: str, *words: str, parent: bool = False
    ) -> None:
        """It is refused, with a sentence on ``disk_format`` that has these words."""
        with self.assertRaises(WrongFormat) as caught:
            inspect(data, disk_format, parent=parent)
        self.assertEqual(caught.exception.field, "disk_format")
        for word in words:
            self.assertIn(word, caught.exception.problem)
