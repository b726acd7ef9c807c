# Copyright glancetx contributors. See LICENSE for details.

"""
What storages do that are not one disk: they lag, end early, and ask who is there.
"""

from __future__ import annotations

from txaio.tx import as_future

from glancetx.errors import GlancetxError
from glancetx.interfaces import IPieceWriter
from glancetx.stores import Store
from glancetx.testing.consumers import RecordingConsumer

from .hooks import MIB, Hooks, bytes_of

__all__ = ["UnsteadyTests"]

PARTS = [bytes_of(MIB, seed) for seed in range(3)]
DATA = b"".join(PARTS)


class UnsteadyTests(Hooks):
    """Storages that lag, whose answers are cut, and whose tokens run out"""

    async def test_ghost(self) -> None:
        """
        A removed piece cannot be read, though a storage that lags may still show it.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        self.require(self.lag(), "lag")
        await store.remove(key)
        for _ in range(3):
            await self.check_missing(store, key, len(DATA))
            await self.check_missing(await self.open_store(), key, len(DATA))
        await self.check_leftovers()

    async def test_ghost_is_removed_again(self) -> None:
        """
        Removing what a storage that lags still lists is no error.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        self.require(self.lag(), "lag")
        await store.remove(key)
        await (await self.open_store()).remove(key)
        await self.check_leftovers()

    async def test_not_yet_listed(self) -> None:
        """
        A finished piece can be read and removed before any list names it.
        """
        store = await self.open_store()
        self.require(self.lag(), "lag")
        key = await self.keep(store, DATA)
        later = await self.open_store()
        self.assertTrue(await self.read(await later.piece(key, len(DATA))) == DATA)
        await later.remove(key)
        await self.check_missing(later, key, len(DATA))
        await self.check_leftovers()

    async def test_killed_and_not_yet_listed(self) -> None:
        """
        What a killed writer left is removed before any list names it.
        """
        backend = await self.open_backend()
        self.require(self.lag(), "lag")
        key = self.new_key()
        writer = await as_future(backend.create, key, 2 * len(DATA))
        await as_future(writer.write, DATA)
        await as_future(self.kill, writer)
        await (await self.open_store()).remove(key)
        await self.check_leftovers()

    async def test_aborted_and_not_yet_listed(self) -> None:
        """
        An abort leaves nothing, though no list names what was written.
        """
        store = await self.open_store()
        self.require(self.lag(), "lag")
        await (await self.begin(store, self.new_key(), DATA)).abort()
        await self.check_leftovers()

    async def test_ended_early(self) -> None:
        """
        Bytes that end too early are no clean end, wherever that is.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        for count in (len(DATA) - 1, MIB, 1, 0):
            self.require(self.shorten(count), "shorten")
            consumer = RecordingConsumer()
            piece = await store.piece(key, len(DATA))
            await self.check_fails(piece.produce(consumer, 0, len(DATA)))
            self.assertTrue(DATA.startswith(bytes(consumer.received)))
            self.assertEqual((consumer.producer, consumer.broken), (None, []))
            self.check_sources()

    async def test_ended_early_in_a_range(self) -> None:
        """
        A range that goes on behind the last byte is no shorter one.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        self.require(self.shorten(MIB), "shorten")
        piece = await store.piece(key, len(DATA))
        for start in (MIB - 10, MIB, MIB + 10):
            consumer = RecordingConsumer()
            await self.check_fails(piece.produce(consumer, start, start + 100))
            self.assertTrue(DATA.startswith(bytes(consumer.received), start))

    async def test_expired_before_a_read(self) -> None:
        """
        A piece can be read though what was shown to the storage has run out.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        self.require(self.expire(), "expire")
        self.assertTrue(await self.read(await store.piece(key, len(DATA))) == DATA)

    async def test_expired_during_a_read(self) -> None:
        """
        A reader gets everything though what was shown runs out while he reads.
        """
        self.require(self.expire(), "expire")
        store = await self.open_store()
        piece = await store.piece(await self.keep(store, DATA), len(DATA))
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        self.expire()
        consumer.on_write = None
        consumer.resume()
        await done
        self.assertTrue(consumer.received == DATA, "not the piece's bytes")

    async def test_expired_before_a_removal(self) -> None:
        """
        A piece can be removed though what was shown has run out.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        self.require(self.expire(), "expire")
        await store.remove(key)
        await self.check_missing(store, key, len(DATA))
        await self.check_leftovers()

    async def test_expired_before_an_abort(self) -> None:
        """
        An abort leaves nothing though what was shown has run out.
        """
        self.require(self.expire(), "expire")
        store = await self.open_store()
        writer = await self.begin(store, self.new_key(), DATA)
        self.expire()
        await writer.abort()
        await self.check_leftovers()

    async def test_expired_before_a_create(self) -> None:
        """
        A piece can be written though what was shown has run out.
        """
        store = await self.open_store()
        await self.keep(store, b"before")
        self.require(self.expire(), "expire")
        key = await self.keep(store, DATA)
        self.assertTrue(await self.read(await store.piece(key, len(DATA))) == DATA)

    async def test_expired_between_writes(self) -> None:
        """
        What was shown runs out in an upload: the piece is whole, or it is told.
        """
        self.require(self.expire(), "expire")
        for after in range(1, len(PARTS) + 1):
            store = await self.open_store()
            key = self.new_key()
            writer = await self.begin(store, key, PARTS[0])
            try:
                await self._go_on(writer, after)
            except GlancetxError:
                await writer.abort()
                await self.check_missing(store, key, len(DATA))
            else:
                await self._check_read_back(store, key)
                await store.remove(key)
            await self.check_leftovers()

    async def _go_on(self, writer: IPieceWriter, after: int) -> None:
        """Write the other parts; what is shown runs out after so many."""
        for written, part in enumerate(PARTS[1:], 1):
            if written == after:
                self.expire()
            await writer.write(part)
        if after == len(PARTS):
            self.expire()
        await writer.finish()

    async def _check_read_back(self, store: Store, key: str) -> None:
        got = await self.read(await store.piece(key, len(DATA)))
        self.assertTrue(got == DATA, "not the bytes that were written")
