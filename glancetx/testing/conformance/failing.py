# Copyright glancetx contributors. See LICENSE for details.

"""
What is left when the storage fails, whichever of the calls to it.
"""

from __future__ import annotations

from attrs import define

from glancetx.errors import GlancetxError
from glancetx.interfaces import IPieceWriter
from glancetx.stores import Store
from glancetx.testing.consumers import RecordingConsumer
from glancetx.testing.faults import Fault

from .hooks import MIB, Hooks, bytes_of

__all__ = ["FailingTests"]

PARTS = [bytes_of(10_000, seed) for seed in range(3)]
DATA = b"".join(PARTS)
LONG = bytes_of(MIB + 1)


@define
class _Written:
    """How far a piece came."""

    store: Store
    key: str
    writer: IPieceWriter | None = None
    kept: bool = False


class FailingTests(Hooks):
    """Every method, with each of its calls to the storage failing in turn"""

    async def test_failed_write_is_aborted(self) -> None:
        """
        Whichever call fails while a piece is written, it is told, and abort leaves
        nothing.
        """
        async for fault in self.each_call():
            written = await self._write(fault)
            fault.heal()
            if written.kept:
                await self._check_kept(written)
            elif written.writer is not None:
                await written.writer.abort()
                await self.check_leftovers()
            await self._check_removed(written)

    async def test_failed_finish_is_not_kept(self) -> None:
        """
        A piece that failed cannot be read after the abort, by later backends neither.
        """
        async for fault in self.each_call():
            written = await self._write(fault)
            fault.heal()
            if not written.kept and written.writer is not None:
                await written.writer.abort()
                store = await self.open_store()
                await self.check_missing(store, written.key, len(DATA))
            await self._check_removed(written)

    async def test_finish_after_a_failed_write(self) -> None:
        """
        After a write that failed a piece cannot be finished without its bytes.
        """
        async for fault in self.each_call():
            written = await self._write(fault)
            fault.heal()
            if not written.kept and written.writer is not None:
                await self.check_fails(written.writer.write(PARTS[0]))
                await self.check_fails(written.writer.finish())
                await written.writer.abort()
            await self._check_removed(written)

    async def test_failed_abort_is_repeated(self) -> None:
        """
        Whichever call of an abort fails, another abort leaves nothing.
        """
        store = await self.open_store()
        async for fault in self.each_call():
            writer = await self.begin(store, self.new_key(), DATA)
            self.start_fault(fault)
            try:
                await writer.abort()
            except Exception:
                self.assertTrue(fault.hit)
            fault.heal()
            await writer.abort()
            await self.check_leftovers()
            self.check_sources()

    async def test_dead_storage_is_swept(self) -> None:
        """
        A storage that dies at any call, and with it the abort, is swept once it lives.
        """
        async for fault in self.each_call(onwards=True):
            written = await self._write(fault)
            if not written.kept and written.writer is not None:
                try:
                    await written.writer.abort()
                except Exception:
                    self.assertTrue(fault.hit)
            fault.heal()
            written.store = await self.open_store()
            await self._check_removed(written)

    async def test_failed_read(self) -> None:
        """
        Whichever call fails while a piece is read, it is told and the source closed.
        """
        store = await self.open_store()
        key = await self.keep(store, LONG)
        async for fault in self.each_call():
            self.start_fault(fault)
            consumer = RecordingConsumer()
            try:
                piece = await store.piece(key, len(LONG))
                await piece.produce(consumer, 0, len(LONG))
            except Exception:
                self.assertTrue(fault.hit)
                self.assertTrue(LONG.startswith(bytes(consumer.received)))
            else:
                self.assertTrue(consumer.received == LONG)
            self.assertEqual((consumer.producer, consumer.broken), (None, []))
            self.check_sources()

    async def test_read_after_a_failed_one(self) -> None:
        """
        A piece object that failed a reader serves the next one.
        """
        store = await self.open_store()
        piece = await store.piece(await self.keep(store, LONG), len(LONG))
        async for fault in self.each_call():
            self.start_fault(fault)
            try:
                await piece.produce(RecordingConsumer(), 0, len(LONG))
            except Exception:
                self.assertTrue(fault.hit)
            fault.heal()
            self.assertTrue(await self.read(piece) == LONG)

    async def test_failed_removal_is_repeated(self) -> None:
        """
        Whichever call of a removal fails, another removal leaves nothing.
        """
        store = await self.open_store()
        async for fault in self.each_call():
            written = _Written(store, await self.keep(store, DATA))
            self.start_fault(fault)
            try:
                await store.remove(written.key)
            except Exception:
                self.assertTrue(fault.hit)
            fault.heal()
            await self._check_removed(written)

    async def test_removal_that_fired_is_done(self) -> None:
        """
        A removal that does not fail has left nothing, whichever of its calls did.
        """
        store = await self.open_store()
        async for fault in self.each_call():
            key = await self.keep(store, DATA)
            self.start_fault(fault)
            try:
                await store.remove(key)
            except Exception:
                self.assertTrue(fault.hit)
                fault.heal()
                await store.remove(key)
            fault.heal()
            await self.check_leftovers()

    async def test_half_removed(self) -> None:
        """
        After a removal that failed a reader gets everything or is told; what the
        removal left, a later process removes.
        """
        store = await self.open_store()
        async for fault in self.each_call(onwards=True):
            written = _Written(store, await self.keep(store, LONG))
            self.start_fault(fault)
            try:
                await store.remove(written.key)
            except Exception:
                self.assertTrue(fault.hit)
            fault.heal()
            await self._check_all_or_told(written)
            written.store = await self.open_store()
            await self._check_removed(written)

    async def _check_all_or_told(self, written: _Written) -> None:
        consumer = RecordingConsumer()
        try:
            piece = await written.store.piece(written.key, len(LONG))
            await piece.produce(consumer, 0, len(LONG))
        except GlancetxError:
            self.assertTrue(LONG.startswith(bytes(consumer.received)))
        else:
            self.assertTrue(consumer.received == LONG, "a clean end, but too early")

    async def _write(self, fault: Fault) -> _Written:
        """Write a piece with a fault, until it is kept or something fails."""
        written = _Written(await self.open_store(), self.new_key())
        self.start_fault(fault)
        try:
            written.writer = await written.store.create(written.key, len(DATA))
            for part in PARTS:
                await written.writer.write(part)
            await written.writer.finish()
        except Exception:
            self.assertTrue(fault.hit)
        else:
            written.kept = True
        return written

    async def _check_kept(self, written: _Written) -> None:
        piece = await written.store.piece(written.key, len(DATA))
        self.assertTrue(await self.read(piece) == DATA)
        await self.check_leftovers(written.key)

    async def _check_removed(self, written: _Written) -> None:
        await written.store.remove(written.key)
        await self.check_missing(written.store, written.key, len(DATA))
        await self.check_leftovers()
        self.check_sources()
