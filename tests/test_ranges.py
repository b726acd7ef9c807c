# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.ranges`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.web.ranges import UNSATISFIABLE, parse_ranges

from .properties import untimed

MOST = 16


def touched(spec: str, size: int) -> list[int]:
    """The bytes that a range names, one by one (RFC 9110, 14.1.2)."""
    first, _, last = spec.partition("-")
    every = range(size)
    if not first:
        return [place for place in every if size - place <= int(last)]
    return [p for p in every if int(first) <= p and (not last or p <= int(last))]


def slow_reference(specs: list[str], size: int) -> tuple[tuple[int, int], ...] | None:
    """What a header of well-formed ranges means, by looking at each byte."""
    for spec in specs:
        first, _, last = spec.partition("-")
        if first and last and int(last) < int(first):
            return None
    found = [touched(spec, size) for spec in specs]
    return tuple((one[0], one[-1] + 1) for one in found if one)


numbers = st.integers(0, 40).map(str) | st.integers(0, 10**19 - 1).map(str)
padded = st.builds("{}{}".format, st.sampled_from(["", "0", "000"]), numbers)
numbers = padded.filter(lambda text: len(text) <= 19)
specs = st.one_of(
    st.builds("{}-{}".format, numbers, numbers),
    st.builds("{}-".format, numbers),
    st.builds("-{}".format, numbers),
)
commas = st.sampled_from([",", ", ", " ,", "\t,\t", ",,", ", ,"])


class RangeTests(SynchronousTestCase):
    """``parse_ranges``"""

    def parse(self, value: str, size: int = 10) -> tuple[tuple[int, int], ...] | None:
        return parse_ranges(value.encode("latin-1"), size, MOST)

    @untimed
    @given(
        st.lists(specs, min_size=1, max_size=MOST),
        commas,
        st.integers(0, 40),
        st.data(),
    )
    def test_good(
        self, found: list[str], comma: str, size: int, data: st.DataObject
    ) -> None:
        """
        Well-formed ranges mean what the RFC says, byte for byte.
        """
        unit = data.draw(st.sampled_from(["bytes=", "Bytes=", "bytes= ", "bytes=,"]))
        value = unit + comma.join(found)
        self.assertEqual(self.parse(value, size), slow_reference(found, size))

    @untimed
    @given(st.text("0123456789-, =btyes*/\t", max_size=20) | st.text(max_size=10))
    def test_any(self, text: str) -> None:
        """
        Whatever is asked for, what is sent are ranges that there are.
        """
        for value in (text, f"bytes={text}"):
            ranges = parse_ranges(value.encode("utf-8"), 10, MOST)
            for start, stop in ranges or ():
                self.assertTrue(0 <= start < stop <= 10)

    def test_examples(self) -> None:
        """
        The examples of RFC 9110, 14.1.2, for a body of 10000 bytes.
        """
        for value, expected in {
            "bytes=0-499": [(0, 500)],
            "bytes=500-999": [(500, 1000)],
            "bytes=-500": [(9500, 10000)],
            "bytes=9500-": [(9500, 10000)],
            "bytes=0-0,-1": [(0, 1), (9999, 10000)],
            "bytes= 0-0, -1": [(0, 1), (9999, 10000)],
            "bytes= 0-999, 4500-5499, -1000": [(0, 1000), (4500, 5500), (9000, 10000)],
            "bytes=500-600,601-999": [(500, 601), (601, 1000)],
            "bytes=500-700,601-999": [(500, 701), (601, 1000)],
        }.items():
            self.assertEqual(self.parse(value, 10000), tuple(expected))

    def test_cut_off(self) -> None:
        """
        A range ends where the body ends.
        """
        self.assertEqual(self.parse("bytes=5-10"), ((5, 10),))
        self.assertEqual(self.parse("bytes=5-999999"), ((5, 10),))
        self.assertEqual(self.parse("bytes=-11"), ((0, 10),))

    def test_unsatisfiable(self) -> None:
        """
        If no range touches the body, that is not the same as no range.
        """
        for value in ("bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-,10-"):
            self.assertEqual(self.parse(value), UNSATISFIABLE)
        for value in ("bytes=0-", "bytes=0-0", "bytes=-1"):
            self.assertEqual(self.parse(value, size=0), UNSATISFIABLE)

    def test_some_unsatisfiable(self) -> None:
        """
        Those that do not touch it are left out.
        """
        self.assertEqual(self.parse("bytes=10-,2-3,-0"), ((2, 4),))

    def test_malformed(self) -> None:
        """
        A header that is malformed, or not understood, is as if it was not there.
        """
        for value in (
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=5",
            "bytes=5-4",
            "bytes=0-1,5-4",
            "bytes=0-1,x",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=0-1;2-3",
            "bytes=\xb2-\xb3",
            "bytes:0-1",
            "items=0-1",
            "=0-1",
            "0-1",
        ):
            self.assertIsNone(self.parse(value), value)

    def test_many_digits(self) -> None:
        """
        Nobody has to count to more than nineteen digits.
        """
        self.assertEqual(self.parse("bytes=0-" + "9" * 19), ((0, 10),))
        for digits in (20, 5000, 100_000):
            self.assertIsNone(self.parse("bytes=0-" + "9" * digits))

    def test_too_many(self) -> None:
        """
        More ranges than allowed are as if there was none.
        """
        value = "bytes=" + ",".join(["0-1"] * MOST)
        self.assertEqual(len(self.parse(value) or ()), MOST)
        self.assertIsNone(self.parse(value + ",0-1"))
