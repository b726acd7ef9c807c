# Copyright glancetx contributors. See LICENSE for details.

"""
Into how many segments a piece is cut.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Bounds", "Plan"]

SPREAD = 900
"""Segments that a piece of known size has at most, as far as Swift's limits allow."""

MANY = 500
"""Segments of a piece of unknown size after which they become larger."""

GROWTH = 8


@frozen
class Bounds:
    """
    What a cluster allows: these are Swift's defaults; ``/info`` says what is so.

    :ivar object_size: bytes of one object.
    :ivar entries: segments in one manifest. More are put into manifests of their own.
    """

    object_size: int = 5 * 1024**3
    entries: int = 1000


@frozen
class Plan:
    """
    How long the segments of one piece are.

    :ivar size: bytes of the piece, ``None`` if that is not known.
    :ivar segment_size: bytes of a segment, unless that would make too many.
    """

    size: int | None
    segment_size: int
    bounds: Bounds = Bounds()

    @property
    def single(self) -> bool:
        """Whether it is known that the piece is one plain object."""
        return self.size is not None and self.size <= self._least

    def length(self, number: int) -> int:
        """How many bytes segment ``number`` has if so many come; counted from 1."""
        if self.size is not None:
            return min(max(self._least, -(-self.size // SPREAD)), self._most)
        return min(self._least * (GROWTH if number > MANY else 1), self._most)

    @property
    def _least(self) -> int:
        return min(self.segment_size, self._most)

    @property
    def _most(self) -> int:
        return self.bounds.object_size
