# Copyright glancetx contributors. See LICENSE for details.

"""
The parent's server sends what is not the parent: nobody takes it for the parent.
"""

from __future__ import annotations

import random
from itertools import product

from twisted.internet.defer import Deferred, gatherResults

from glancetx.errors import (
    NoSuchPiece,
    OriginUnavailable,
    PieceCorrupt,
    PieceTruncated,
)
from glancetx.limits import Limits

from .chains import CHILD, SIZE, ParentCase
from .origin import End, Fault, Framing, Parent
from .reading import Download

PARENT = f"{CHILD}-"
"""All of the parent, as a range of the stream."""

ANOTHER = '"sha256-another"'
ONE_TRY = Limits(origin_tries=1)


def flipped(data: bytes, at: int) -> bytes:
    """With one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class WrongParentTests(ParentCase):
    """A child whose parent's server lies."""

    def check_cut(self, found: Download, sent: bytes) -> None:
        """
        The answer broke, and at least its last byte was not handed out; what breaks
        at once may lose even its headers, which were on their way.
        """
        self.assertFalse(found.whole, (found.code, len(found.body)))
        self.assertIn(found.code, (200, 206, None))
        self.assertLess(len(found.body), len(sent))
        self.assertTrue(sent.startswith(found.body))

    async def test_wrong_byte(self) -> None:
        """
        One wrong bit anywhere in a parent that is read whole breaks the answer, and
        the last bytes before the proof are withheld.
        """
        await self.start(ONE_TRY)

        async def one(framing: Framing, at: int) -> None:
            parent = await self.make(framing)
            parent.sent = flipped(parent.data, at)
            found = await self.stream(parent)
            self.check_cut(found, self.child + parent.sent)
            self.check_cut(await self.stream(parent, PARENT), parent.sent)
            archive = await self.read(self.zone, self.path(parent, "chain.tar"))
            self.assertFalse(archive.whole)
            self.assertNotIn(parent.sent[-100:], archive.body)

        cells = product(Framing, (0, 1, SIZE // 2, SIZE - 2, SIZE - 1))
        await gatherResults([Deferred.fromCoroutine(one(*cell)) for cell in cells])
        self.assertEqual(len(self.flushLoggedErrors(PieceCorrupt)), 45)

    async def test_wrong_after_resume(self) -> None:
        """
        So does one in the part that came after the server had died once.
        """
        await self.start(ONE_TRY)
        for framing, at in product(Framing, (SIZE // 2, SIZE - 1)):
            parent = await self.make(framing)
            parent.sent = flipped(parent.data, at)
            parent.faults = [Fault(SIZE // 2, End.RST, 1)]
            self.check_cut(await self.stream(parent), self.child + parent.sent)
        self.assertEqual(len(self.flushLoggedErrors(PieceCorrupt)), 6)

    async def test_wrong_length(self) -> None:
        """
        A parent that grew or shrank is no parent, whether its length is said or not.
        """
        await self.start(ONE_TRY)
        for framing, size in product(Framing, (SIZE - 1, SIZE + 1, 0)):
            parent = await self.make(framing)
            parent.sent = (parent.data + b"x")[:size]
            found = await self.stream(parent)
            self.check_cut(found, self.child + parent.data)
        self.assertTrue(self.flushLoggedErrors(PieceCorrupt))
        self.flushLoggedErrors(PieceTruncated, OriginUnavailable)

    async def test_changed(self) -> None:
        """
        An origin that says by its ETag that the image is another one is believed at
        once: nothing of it is handed out, of whatever range.
        """
        await self.start(ONE_TRY)
        parent = await self.make()
        parent.etags = [ANOTHER]
        self.check_cut(await self.stream(parent), self.child + b"x")
        for ranges in (PARENT, f"{CHILD + 5}-{CHILD + 9}", "-1"):
            self.check_error(await self.stream(parent, ranges))
        across = await self.stream(parent, f"{CHILD - 5}-{CHILD + 5}")
        self.check_cut(across, self.child[-5:] + b"x")
        self.assertEqual(len(self.flushLoggedErrors(PieceCorrupt)), 5)

    async def test_changed_under_a_reader(self) -> None:
        """
        It is believed too when the change comes between two parts of an answer.
        """
        await self.start(ONE_TRY)
        parent = await self.make()
        parent.faults = [Fault(SIZE // 2, End.FIN, 1)]
        parent.etags = [parent.right_etag, ANOTHER]
        found = await self.stream(parent)
        self.check_cut(found, self.child + parent.data[: SIZE // 2 + 1])
        self.flushLoggedErrors(PieceCorrupt)

    async def test_vanished(self) -> None:
        """
        A parent that its server does not have any more is missed, never skipped.
        """
        await self.start(ONE_TRY)
        for code in (404, 410):
            parent = await self.make()
            parent.code = code
            self.check_cut(await self.stream(parent), self.child + b"x")
            self.check_error(await self.stream(parent, PARENT))
        self.assertEqual(len(self.flushLoggedErrors(NoSuchPiece)), 4)

    async def test_made_again(self) -> None:
        """
        What was made anew under a parent's id is another image: children of the old
        one are not readable through it, new children are.
        """
        await self.start(ONE_TRY)
        old = await self.make()
        new = Parent(old.number, random.randbytes(SIZE))
        self.origin.add(new)
        self.check_cut(await self.stream(old), self.child + b"x")
        self.check_error(await self.stream(old, PARENT))
        self.assertEqual(len(self.flushLoggedErrors(PieceCorrupt)), 2)
        child = await self.zone.add(b"child", self.uri(new))
        found = await self.read(self.zone, f"/images/{child}/stream")
        self.assertTrue(found.whole)
        self.assertTrue(found.body == b"child" + new.data)

    def check_error(self, found: Download) -> None:
        """An answer that is only an error."""
        self.assertTrue(found.clean)
        self.assertIn(found.code, (500, 503))
        self.assertEqual(found.headers["content-type"], "application/json")
        self.assertEqual(found.headers["cache-control"], "no-store")
        self.assertNotIn("etag", found.headers)
        self.assertNotIn("content-range", found.headers)
