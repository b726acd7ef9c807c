# Copyright glancetx contributors. See LICENSE for details.

"""
What a body is made of: literal bytes, zeros and slices of pieces, by index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import TypeAlias

from attrs import frozen

from glancetx.interfaces import IPiece

__all__ = ["Literal", "Segment", "Segments", "Slice", "Zeros"]


@frozen
class Literal:
    """Bytes that are at hand."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    def cut(self, start: int, stop: int) -> Literal:
        return Literal(self.data[start:stop])


@frozen
class Zeros:
    """A run of NUL bytes."""

    length: int

    def cut(self, start: int, stop: int) -> Zeros:
        return Zeros(stop - start)


@frozen
class Slice:
    """The bytes ``[start, stop)`` of a piece."""

    piece: IPiece
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def cut(self, start: int, stop: int) -> Slice:
        return Slice(self.piece, self.start + start, self.start + stop)


Segment: TypeAlias = Literal | Zeros | Slice


class Segments:
    """
    A list of segments that knows where each begins.

    :ivar length: bytes of all segments together.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = [segment for segment in segments if segment.length]
        self._stops = list(accumulate(s.length for s in self._segments))
        self.length = self._stops[-1] if self._stops else 0

    def cut(self, start: int, stop: int) -> list[Segment]:
        """
        The segments that hold the bytes ``[start, stop)``, cut at both ends.

        :raises ValueError: unless ``0 <= start <= stop <= length``.
        """
        if not 0 <= start <= stop <= self.length:
            raise ValueError(f"[{start}, {stop}) is not within {self.length} bytes")
        found: list[Segment] = []
        index = bisect_right(self._stops, start)
        while start < stop:
            segment = self._segments[index]
            begins = self._stops[index] - segment.length
            ends = min(stop, self._stops[index])
            found.append(segment.cut(start - begins, ends - begins))
            start = ends
            index += 1
        return found
