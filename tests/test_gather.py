# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.gather`.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import PieceTruncated
from glancetx.streaming import gather
from glancetx.streaming.gather import JOB, FileSlice, Local, jobs, read
from glancetx.streaming.segments import Literal, Zeros

from .properties import untimed

DATA = bytes(range(256))


class GatherTests(SynchronousTestCase):
    """``jobs`` and ``read``"""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(DATA)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def parts(self) -> st.SearchStrategy[list[Local]]:
        marks = st.lists(st.integers(0, 256), min_size=2, max_size=2).map(sorted)
        return st.lists(
            st.one_of(
                st.builds(Literal, st.binary(max_size=30)),
                st.builds(Zeros, st.integers(0, 30)),
                marks.map(lambda mark: FileSlice(self.fd, *mark)),
            )
        )

    def plain(self, part: Local) -> bytes:
        if isinstance(part, Literal):
            return part.data
        if isinstance(part, Zeros):
            return bytes(part.length)
        return DATA[part.start : part.stop]

    @untimed
    @given(st.data(), st.integers(1, 50))
    def test_any(self, data: st.DataObject, size: int) -> None:
        """
        The jobs together are the concatenation; each but the last one is full.
        """
        self.patch(gather, "JOB", size)
        parts = data.draw(self.parts())
        found = [read(job) for job in jobs(parts)]
        self.assertEqual(b"".join(found), b"".join(map(self.plain, parts)))
        self.assertTrue(all(len(one) == size for one in found[:-1]))
        self.assertTrue(all(0 < len(one) <= size for one in found))

    def test_dealt_when_asked(self) -> None:
        """
        Jobs are made one by one: a run of any length costs nothing before.
        """
        dealt = islice(jobs([Zeros(2**62)]), 3)
        self.assertEqual([job[0].length for job in dealt], [JOB] * 3)

    def test_short_reads(self) -> None:
        """
        A file may hand out less than was asked for.
        """
        real = os.pread
        self.patch(os, "pread", lambda fd, size, offset: real(fd, min(size, 7), offset))
        self.assertEqual(read([FileSlice(self.fd, 3, 100)]), DATA[3:100])

    def test_too_short(self) -> None:
        """
        A file that is shorter than it was is noticed; nothing is made up.
        """
        os.truncate(self.path, 50)
        with self.assertRaises(PieceTruncated) as caught:
            read([Literal(b"x"), FileSlice(self.fd, 3, 100)])
        self.assertEqual(caught.exception.offset, 50)
        self.assertEqual(caught.exception.size, 100)
