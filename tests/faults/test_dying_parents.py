# Copyright glancetx contributors. See LICENSE for details.

"""
The parent's server dies, at every point and in every way: never a clean end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from glancetx.errors import OriginUnavailable, PieceTruncated
from glancetx.limits import Limits

from .chains import CHILD, SIZE, ParentCase
from .origin import BEFORE, EVER, End, Fault, Framing, Parent
from .reading import Download, parts

POINTS = (BEFORE, 0, 1, SIZE // 2, SIZE - 1, SIZE)


@frozen
class Read:
    """
    One way to read a chain.

    :ivar ranges: of the stream, in bytes; empty for all of the layout.
    """

    layout: str
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def header(self) -> str | None:
        return ",".join(f"{start}-{stop - 1}" for start, stop in self.ranges) or None

    @property
    def asked(self) -> int:
        """Up to which byte of the parent this reads."""
        ends = [stop - CHILD for _, stop in self.ranges]
        return max(ends, default=SIZE)


STREAM, TAR = Read("stream"), Read("chain.tar")
WITHIN = Read("stream", ((CHILD + SIZE // 4, CHILD + 3 * SIZE // 4),))
ACROSS = Read("stream", ((CHILD - 100, CHILD + SIZE // 2 + 5),))
SEVERAL = Read("stream", ((7, 99), (CHILD + 9, CHILD + 99), (CHILD, CHILD + SIZE)))
READS = (STREAM, TAR, WITHIN, ACROSS, SEVERAL)

Check = Callable[[Read, int, Download, bytes], None]
"""Judges what a reader got, given where the server died, and the right layout."""


class DyingParentTests(ParentCase):
    """A child whose parent is on a server that dies."""

    async def each(self, reads: Sequence[Read], times: int, check: Check) -> None:
        """Make a chain for every cell, and read all of them at once."""
        cells = product(Framing, End, POINTS, [reads] if times == EVER else zip(reads))

        async def one(
            framing: Framing, end: End, at: int, reads: Sequence[Read]
        ) -> None:
            parent = await self.make(framing)
            parent.faults = [Fault(at, end, times)]
            reading = [Deferred.fromCoroutine(self.look(parent, r)) for r in reads]
            found = await gatherResults(reading, consumeErrors=True)
            parent.faults = []
            for read, download in zip(reads, found, strict=True):
                check(read, at, download, await self.reference(parent, read.layout))

        running = [Deferred.fromCoroutine(one(*cell)) for cell in cells]
        await gatherResults(running, consumeErrors=True)

    async def look(self, parent: Parent, read: Read) -> Download:
        return await self.read(self.zone, self.path(parent, read.layout), read.header)

    def check_broken(
        self, read: Read, at: int, found: Download, reference: bytes
    ) -> None:
        if at >= read.asked:
            self.check_whole(read, at, found, reference)
            return
        self.assertFalse(found.whole, (read, at, found.code, len(found.body)))
        if found.code in (200, 206) and len(read.ranges) < 2:
            start = read.ranges[0][0] if read.ranges else 0
            got = reference[start : start + len(found.body)]
            self.assertTrue(found.body == got, (read, at))

    def check_whole(
        self, read: Read, at: int, found: Download, reference: bytes
    ) -> None:
        self.assertTrue(found.whole, (read, at, found.code, len(found.body)))
        bodies = parts(found) if len(read.ranges) > 1 else [found.body]
        spans = read.ranges or ((0, len(reference)),)
        self.assertTrue(
            bodies == [reference[start:stop] for start, stop in spans], (read, at)
        )

    async def test_for_good(self) -> None:
        """
        Whoever reads from a parent's server that dies at some byte whenever it is
        asked gets an error, or a broken connection behind right bytes: never a
        clean end. Where it dies behind the last byte that was asked for, nothing is
        missing.
        """
        await self.start(Limits(origin_seconds=2, origin_tries=1))
        await self.each(READS, EVER, self.check_broken)
        self.assertTrue(self.flushLoggedErrors(PieceTruncated))
        self.assertTrue(self.flushLoggedErrors(OriginUnavailable))

    async def test_once(self) -> None:
        """
        If it dies once, its bytes are asked for from where they broke, and nobody
        sees it.
        """
        await self.start(Limits(origin_seconds=2))
        await self.each((STREAM, TAR, SEVERAL), 1, self.check_whole)

    async def test_again_and_again(self) -> None:
        """
        As long as it brings new bytes it may die any number of times.
        """
        await self.start()

        async def one(framing: Framing) -> None:
            parent = await self.make(framing)
            deaths = range(1, SIZE, SIZE // 10)
            parent.faults = [Fault(at, End.RST, 1) for at in deaths]
            found = await self.look(parent, STREAM)
            self.check_whole(STREAM, 0, found, self.child + self.data)
            self.assertEqual(parent.faults, [])

        await gatherResults([Deferred.fromCoroutine(one(kind)) for kind in Framing])

    async def test_nothing_to_send(self) -> None:
        """
        A parent without bytes is not asked for, however dead its server is.
        """
        await self.start()
        parent = await self.make(size=0)
        await self.loopback.stop()
        for layout in ("stream", "chain.tar"):
            found = await self.read(self.zone, self.path(parent, layout))
            self.assertTrue(found.whole)
            self.assertEqual(found.body, await self.reference(parent, layout))
