# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.segments`.
"""

from __future__ import annotations

from typing import cast

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.interfaces import IPiece
from glancetx.streaming.segments import Literal, Segment, Segments, Slice, Zeros

from .properties import untimed


@implementer(IPiece)
@frozen
class Held:
    """A piece whose bytes are looked at, and never produced."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        raise NotImplementedError("nothing is read here")


def plain(segment: Segment) -> bytes:
    """The bytes of a segment, the slow way."""
    if isinstance(segment, Literal):
        return segment.data
    if isinstance(segment, Zeros):
        return bytes(segment.length)
    return cast(Held, segment.piece).data[segment.start : segment.stop]


@st.composite
def slices(draw: st.DrawFn) -> Slice:
    data = draw(st.binary(max_size=20))
    start = draw(st.integers(0, len(data)))
    return Slice(Held(data), start, draw(st.integers(start, len(data))))


lists = st.lists(
    st.one_of(
        st.builds(Literal, st.binary(max_size=20)),
        st.builds(Zeros, st.integers(0, 20)),
        slices(),
    ),
    max_size=12,
)


class SegmentsTests(SynchronousTestCase):
    """``Segments``"""

    @untimed
    @given(lists, st.data())
    def test_cut(self, segments: list[Segment], data: st.DataObject) -> None:
        """
        A cut has the bytes that the same cut of the concatenation has.
        """
        whole = b"".join(map(plain, segments))
        indexed = Segments(segments)
        self.assertEqual(indexed.length, len(whole))
        start = data.draw(st.integers(0, len(whole)))
        stop = data.draw(st.integers(start, len(whole)))
        cut = indexed.cut(start, stop)
        self.assertEqual(b"".join(map(plain, cut)), whole[start:stop])
        self.assertEqual([len(plain(one)) for one in cut], [s.length for s in cut])

    @untimed
    @given(lists, st.data())
    def test_no_empty(self, segments: list[Segment], data: st.DataObject) -> None:
        """
        No segment of a cut is empty, whatever it was made of.
        """
        indexed = Segments(segments)
        start = data.draw(st.integers(0, indexed.length))
        stop = data.draw(st.integers(start, indexed.length))
        self.assertNotIn(0, [segment.length for segment in indexed.cut(start, stop)])

    def test_outside(self) -> None:
        """
        What is not there cannot be cut out.
        """
        indexed = Segments([Literal(b"abc"), Zeros(2)])
        for start, stop in [(-1, 2), (0, 6), (3, 2), (6, 6)]:
            with self.assertRaises(ValueError) as caught:
                indexed.cut(start, stop)
            expected = f"[{start}, {stop}) is not within 5 bytes"
            self.assertEqual(str(caught.exception), expected)

    def test_nothing(self) -> None:
        """
        A list of nothing has one cut, which is empty.
        """
        indexed = Segments([Literal(b""), Zeros(0)])
        self.assertEqual(indexed.length, 0)
        self.assertEqual(indexed.cut(0, 0), [])

    def test_huge(self) -> None:
        """
        A cut of segments of any size touches only those that it needs.
        """
        piece = Held(b"")
        indexed = Segments([Slice(piece, 0, 2**62), Zeros(2**40), Slice(piece, 5, 9)])
        self.assertEqual(indexed.length, 2**62 + 2**40 + 4)
        self.assertEqual(
            indexed.cut(2**62 - 1, 2**62 + 1),
            [Slice(piece, 2**62 - 1, 2**62), Zeros(1)],
        )
        self.assertEqual(
            indexed.cut(indexed.length - 2, indexed.length), [Slice(piece, 7, 9)]
        )
