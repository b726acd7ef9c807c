# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces that are plain files on this machine.
"""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SkipTest
from zope.interface.verify import verifyObject

from glancetx.errors import NoSuchPiece, PieceTruncated
from glancetx.interfaces import IFilePiece
from glancetx.stores import Store

from .hooks import Hooks, bytes_of

__all__ = ["FileTests"]

DATA = bytes_of(100_000)


class FileTests(Hooks):
    """``IFilePiece.open``, for backends whose pieces provide it"""

    async def test_descriptor(self) -> None:
        """
        A descriptor reads the piece's bytes.
        """
        fd = await (await self._file()).open()
        self.addCleanup(os.close, fd)
        self.assertEqual(os.pread(fd, len(DATA) + 1, 0), DATA)

    async def test_descriptor_is_the_callers(self) -> None:
        """
        Each caller has a descriptor of its own, which another's end does not close.
        """
        piece = await self._file()
        first, second = await piece.open(), await piece.open()
        self.addCleanup(os.close, second)
        os.close(first)
        self.assertEqual(await self.read(piece), DATA)
        self.assertEqual(os.pread(second, 10, 50), DATA[50:60])

    async def test_descriptor_is_not_inherited(self) -> None:
        """
        Programs that the server starts do not get the descriptor.
        """
        fd = await (await self._file()).open()
        self.addCleanup(os.close, fd)
        self.assertFalse(os.get_inheritable(fd))

    async def test_descriptor_outlives_removal(self) -> None:
        """
        A descriptor reads on when the piece is removed.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        fd = await (await self._file_piece(store, key, len(DATA))).open()
        self.addCleanup(os.close, fd)
        await store.remove(key)
        self.assertEqual(os.pread(fd, len(DATA) + 1, 0), DATA)

    async def test_open_unknown(self) -> None:
        """
        There is no descriptor of a piece that was removed.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        piece = await self._file_piece(store, key, len(DATA))
        await store.remove(key)
        await self.check_fails(piece.open(), NoSuchPiece)

    async def test_open_truncated(self) -> None:
        """
        There is no descriptor of a file with fewer bytes than were recorded.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        piece = await self._file_piece(store, key, len(DATA) + 1)
        await self.check_fails(piece.open(), PieceTruncated)
        self.check_sources()

    async def test_cancelled_open(self) -> None:
        """
        The descriptor that comes after a cancel is closed.
        """
        piece = await self._file()
        opening = piece.open()
        if opening.called:
            return os.close(await opening)
        opening.cancel()
        await self.check_fails(opening, CancelledError)
        self.assertTrue(await self.read(piece) == DATA)
        self.check_sources()

    async def test_failed_open(self) -> None:
        """
        Whichever call fails while a piece is opened, no descriptor stays open.
        """
        piece = await self._file()
        async for fault in self.each_call():
            self.start_fault(fault)
            try:
                os.close(await piece.open())
            except Exception:
                self.assertTrue(fault.hit)
            self.check_sources()

    async def _file(self) -> IFilePiece:
        store = await self.open_store()
        return await self._file_piece(store, await self.keep(store, DATA), len(DATA))

    async def _file_piece(self, store: Store, key: str, size: int) -> IFilePiece:
        piece = await store.piece(key, size)
        if not IFilePiece.providedBy(piece):
            raise SkipTest("this backend's pieces are not plain files (IFilePiece)")
        verifyObject(IFilePiece, piece)
        return piece
