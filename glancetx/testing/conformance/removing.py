# Copyright glancetx contributors. See LICENSE for details.

"""
How pieces, and what is left of them, go away.
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from txaio.tx import as_future

from glancetx.errors import ReaderGone
from glancetx.testing.consumers import RecordingConsumer

from .hooks import MIB, Hooks, bytes_of

__all__ = ["RemovingTests"]

DATA = bytes_of(3 * MIB + 5)


class RemovingTests(Hooks):
    """``IBackend.remove``"""

    async def test_removed(self) -> None:
        """
        A removed piece cannot be read, and leaves nothing.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        await store.remove(key)
        await self.check_missing(store, key, len(DATA))
        await self.check_leftovers()

    async def test_remove_unknown(self) -> None:
        """
        Removing what never was is no error.
        """
        store = await self.open_store()
        await store.remove(self.new_key())
        await self.check_leftovers()

    async def test_remove_twice(self) -> None:
        """
        Removing again is no error.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        await store.remove(key)
        await store.remove(key)
        await self.check_missing(store, key, len(DATA))

    async def test_remove_empty_piece(self) -> None:
        """
        A piece without bytes can be removed like any other.
        """
        store = await self.open_store()
        key = await self.keep(store, b"")
        await store.remove(key)
        await self.check_missing(store, key, 0)
        await self.check_leftovers()

    async def test_remove_one(self) -> None:
        """
        Removing one piece leaves the others.
        """
        store = await self.open_store()
        stays, goes = await self.keep(store, b"stays"), await self.keep(store, b"goes")
        await store.remove(goes)
        self.assertEqual(await self.read(await store.piece(stays, 5)), b"stays")
        await self.check_leftovers(stays)

    async def test_removed_for_good(self) -> None:
        """
        A removed piece does not come back, for later backends neither.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        await store.remove(key)
        await self.check_missing(await self.open_store(), key, len(DATA))

    async def test_removed_under_a_piece_object(self) -> None:
        """
        A piece object from before the removal reads nothing after it.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        piece = await store.piece(key, len(DATA))
        await store.remove(key)
        with self.assertRaises(Exception) as caught:
            await self.read(piece)
        self.assertEqual(type(caught.exception).__name__, "NoSuchPiece")

    async def test_remove_by_another(self) -> None:
        """
        A backend made later can remove what an earlier one wrote.
        """
        key = await self.keep(store := await self.open_store(), DATA)
        await (await self.open_store()).remove(key)
        await self.check_missing(store, key, len(DATA))
        await self.check_leftovers()

    async def test_remove_during_a_read(self) -> None:
        """
        A reader that has begun gets everything, though the piece is removed meanwhile.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = (await store.piece(key, len(DATA))).produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await store.remove(key)
        await self.check_missing(store, key, len(DATA))
        consumer.on_write = None
        consumer.resume()
        await done
        self.assertTrue(consumer.received == DATA, "not the piece's bytes")
        await self.check_leftovers()
        self.check_sources()

    async def test_remove_by_another_during_a_read(self) -> None:
        """
        A reader that has begun gets everything, though another process removes the
        piece.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = (await store.piece(key, len(DATA))).produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        other = await self.open_store()
        await other.remove(key)
        await self.check_missing(other, key, len(DATA))
        consumer.on_write = None
        consumer.resume()
        await done
        self.assertTrue(consumer.received == DATA, "not the piece's bytes")
        self.check_sources()

    async def test_remove_during_many_reads(self) -> None:
        """
        Readers anywhere in a piece get what they asked for, however often it is removed
        meanwhile.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        piece = await store.piece(key, len(DATA))
        starts = [0, 1000, MIB, 2 * MIB]
        consumers = [RecordingConsumer(RecordingConsumer.pause) for _ in starts]
        done = [
            piece.produce(consumer, start, len(DATA))
            for consumer, start in zip(consumers, starts, strict=True)
        ]
        for consumer in consumers:
            await consumer.reached(1)
        await store.remove(key)
        await store.remove(key)
        for consumer in consumers:
            consumer.on_write = None
            consumer.resume()
        await gatherResults(done, consumeErrors=True)
        for consumer, start in zip(consumers, starts, strict=True):
            self.assertTrue(consumer.received == DATA[start:], "not the piece's bytes")
        await self.check_leftovers()
        self.check_sources()

    async def test_reader_leaves_after_the_removal(self) -> None:
        """
        A reader that leaves does not keep what was removed under it.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = (await store.piece(key, len(DATA))).produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await store.remove(key)
        consumer.leave()
        await self.check_fails(done, ReaderGone)
        await self.check_leftovers()
        self.check_sources()

    async def test_removed_however_often_it_is_asked_for(self) -> None:
        """
        A removed piece is not there for anyone, the first time and later.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        await store.remove(key)
        for _ in range(3):
            await self.check_missing(store, key, len(DATA))
            await self.check_missing(await self.open_store(), key, len(DATA))

    async def test_remove_after_a_killed_writer(self) -> None:
        """
        What a killed writer left is removed by a backend made later.
        """
        backend = await self.open_backend()
        key = self.new_key()
        writer = await as_future(backend.create, key, 2 * len(DATA))
        await as_future(writer.write, DATA)
        await as_future(self.kill, writer)
        store = await self.open_store()
        await self.check_missing(store, key, len(DATA))
        await store.remove(key)
        await self.check_missing(store, key, len(DATA))
        await self.check_leftovers()

    async def test_remove_after_a_killed_beginner(self) -> None:
        """
        A writer killed before its first byte leaves nothing that cannot be removed.
        """
        backend = await self.open_backend()
        key = self.new_key()
        writer = await as_future(backend.create, key, None)
        await as_future(self.kill, writer)
        await (await self.open_store()).remove(key)
        await self.check_leftovers()

    async def test_killed_neighbour(self) -> None:
        """
        Removing what a killed writer left does not harm a writer that lives.
        """
        backend = await self.open_backend()
        killed, alive = self.new_key(), self.new_key()
        dead = await as_future(backend.create, killed, None)
        store = await self.open_store()
        writer = await self.begin(store, alive, b"abc")
        await as_future(self.kill, dead)
        await store.remove(killed)
        await writer.write(b"def")
        await writer.finish()
        self.assertEqual(await self.read(await store.piece(alive, 6)), b"abcdef")
        await self.check_leftovers(alive)
