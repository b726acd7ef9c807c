# Copyright glancetx contributors. See LICENSE for details.

"""
How pieces are written, and how writing ends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from txaio.tx import as_future
from zope.interface.verify import verifyObject

from glancetx.errors import NoSuchPiece
from glancetx.interfaces import IPieceWriter
from glancetx.stores import Store
from glancetx.testing.consumers import RecordingConsumer

from .hooks import MIB, Hooks, bytes_of

__all__ = ["WritingTests"]

DATA = bytes_of(2 * MIB + 333)


class WritingTests(Hooks):
    """``IBackend.create`` and ``IPieceWriter``"""

    async def test_writer_interface(self) -> None:
        """
        A writer provides ``IPieceWriter``.
        """
        backend = await self.open_backend()
        writer = await as_future(backend.create, self.new_key(), None)
        verifyObject(IPieceWriter, writer)
        await as_future(writer.abort)

    async def test_known_size(self) -> None:
        """
        A piece whose size was told beforehand is kept.
        """
        await self._check_written(len(DATA), DATA)

    async def test_unknown_size(self) -> None:
        """
        A piece whose size nobody knew beforehand is kept.
        """
        await self._check_written(None, DATA)

    async def test_many_small_writes(self) -> None:
        """
        Bytes that come in small parts of any size are one piece, in order.
        """
        parts = [bytes_of(size, size) for size in range(200)]
        await self._check_written(None, *parts)

    async def test_empty_writes(self) -> None:
        """
        Writing no bytes, between others, changes nothing.
        """
        await self._check_written(6, b"", b"abc", b"", b"def", b"")

    async def test_without_writes(self) -> None:
        """
        Finishing without a write keeps an empty piece.
        """
        await self._check_written(None)

    async def test_known_to_be_empty(self) -> None:
        """
        A piece of which no bytes were promised is kept, empty.
        """
        await self._check_written(0)

    async def test_unreadable_before_it_is_finished(self) -> None:
        """
        Nothing of a piece can be read before it is finished.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, DATA)
        await self.check_missing(store, key, len(DATA))
        await self.check_missing(store, key, 0)
        await writer.finish()
        piece = await store.piece(key, len(DATA))
        self.assertTrue(await self.read(piece) == DATA)

    async def test_one_thing_is_kept(self) -> None:
        """
        A finished piece is one thing in the storage; its temporaries are gone.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        await self.check_leftovers(key)
        self.check_sources()

    async def test_two_writers(self) -> None:
        """
        Two pieces written at once, in turns, do not mix.
        """
        store = await self.open_store()
        keys = [self.new_key(), self.new_key()]
        writers = [await store.create(key, None) for key in keys]
        for start in range(0, 1000, 100):
            for seed, writer in enumerate(writers):
                await writer.write(bytes_of(1000, seed)[start : start + 100])
        for writer in writers:
            await writer.finish()
        for seed, key in enumerate(keys):
            text = await self.read(await store.piece(key, 1000))
            self.assertEqual(text, bytes_of(1000, seed))

    async def test_two_writes_under_way(self) -> None:
        """
        Two pieces may be written without either waiting for the other.
        """
        store = await self.open_store()
        keys = [self.new_key(), self.new_key()]
        writers = [await store.create(key, len(DATA)) for key in keys]
        await gatherResults([writer.write(DATA) for writer in writers])
        await gatherResults([writer.finish() for writer in writers])
        for key in keys:
            piece = await store.piece(key, len(DATA))
            self.assertTrue(await self.read(piece) == DATA)

    async def test_reading_meanwhile(self) -> None:
        """
        A piece can be read while another is being written.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        writer = await self.begin(store, self.new_key(), b"new")
        piece = await store.piece(key, len(DATA))
        consumer = RecordingConsumer(self.a_turn_later)
        reading = piece.produce(consumer, 0, len(DATA))
        await writer.write(b"er")
        await writer.finish()
        await reading
        self.assertTrue(consumer.received == DATA)

    async def test_abort_at_once(self) -> None:
        """
        A writer aborted before its first byte leaves nothing.
        """
        store = await self.open_store()
        key = self.new_key()
        await (await store.create(key, 10)).abort()
        await self._check_nothing(store, key)

    async def test_abort(self) -> None:
        """
        A writer aborted after some bytes leaves nothing.
        """
        store = await self.open_store()
        key = self.new_key()
        await (await self.begin(store, key, DATA)).abort()
        await self._check_nothing(store, key)

    async def test_abort_twice(self) -> None:
        """
        Aborting again changes nothing.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, DATA)
        await writer.abort()
        await writer.abort()
        await self._check_nothing(store, key)

    async def test_abort_of_one(self) -> None:
        """
        Aborting one writer leaves the others and their pieces alone.
        """
        store = await self.open_store()
        before = await self.keep(store, b"before")
        other = await self.begin(store, after := self.new_key(), b"after")
        await (await self.begin(store, self.new_key(), b"none")).abort()
        await other.finish()
        self.assertEqual(await self.read(await store.piece(before, 6)), b"before")
        self.assertEqual(await self.read(await store.piece(after, 5)), b"after")
        await self.check_leftovers(before, after)

    async def test_abort_after_finish(self) -> None:
        """
        Aborting what was finished changes nothing: the piece stays.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, b"abc")
        await writer.finish()
        await writer.abort()
        self.assertEqual(await self.read(await store.piece(key, 3)), b"abc")

    async def test_write_after_abort(self) -> None:
        """
        Nothing can be written or finished after an abort.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, b"abc")
        await writer.abort()
        await self.check_fails(writer.write(b"def"))
        await self.check_fails(writer.finish())
        await self._check_nothing(store, key)

    async def test_write_after_finish(self) -> None:
        """
        A finished piece never changes.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, b"abc")
        await writer.finish()
        await self.check_fails(writer.write(b"def"))
        await writer.abort()
        self.assertEqual(await self.read(await store.piece(key, 3)), b"abc")

    async def test_abort_during_a_write(self) -> None:
        """
        Aborting while bytes are being written leaves nothing.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await store.create(key, None)
        under_way = writer.write(DATA)
        await writer.abort()
        await self._settled(under_way)
        await self._check_nothing(store, key)

    async def test_abort_after_cancel(self) -> None:
        """
        Aborting after a write was cancelled leaves nothing, however far it got.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await store.create(key, None)
        under_way = writer.write(DATA)
        under_way.cancel()
        await writer.abort()
        await self._settled(under_way)
        await self._check_nothing(store, key)

    async def test_finish_after_cancel(self) -> None:
        """
        After a write that was cancelled a piece is kept whole, or not at all.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, b"abc")
        under_way = writer.write(DATA)
        under_way.cancel()
        await self._settled(under_way)
        finishing = writer.finish()
        await self._settled(finishing)
        await writer.abort()
        try:
            got = await self.read(await store.piece(key, 3 + len(DATA)))
        except NoSuchPiece:
            await self.check_leftovers()
        else:
            self.assertTrue(got == b"abc" + DATA, "a piece with a hole")
        self.check_sources()

    async def test_abort_during_finish(self) -> None:
        """
        Aborting while a piece is being finished leaves nothing, if it did not fire.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, DATA)
        finishing = writer.finish()
        if finishing.called:
            return await finishing
        await writer.abort()
        await self.check_fails(finishing)
        await self._check_nothing(store, key)

    async def test_abort_after_cancelled_finish(self) -> None:
        """
        Aborting after a finish was cancelled leaves nothing, however far it got.
        """
        store = await self.open_store()
        key = self.new_key()
        writer = await self.begin(store, key, DATA)
        finishing = writer.finish()
        if finishing.called:
            return await finishing
        finishing.cancel()
        await self.check_fails(finishing)
        await writer.abort()
        await self._check_nothing(store, key)

    async def test_cancelled_create(self) -> None:
        """
        What a cancelled create makes is closed, and can be removed.
        """
        store = await self.open_store()
        backend = await self.open_backend()
        key = self.new_key()
        creating = as_future(backend.create, key, None)
        creating.cancel()
        await self._settled(creating)
        await store.remove(key)
        await self.keep(store, DATA)
        self.check_sources()

    async def _check_written(self, size: int | None, *parts: bytes) -> None:
        store = await self.open_store()
        key = self.new_key()
        writer = await store.create(key, size)
        for part in parts:
            await writer.write(part)
        await writer.finish()
        data = b"".join(parts)
        got = await self.read(await store.piece(key, len(data)))
        self.assertTrue(got == data, "not the bytes that were written")
        self.check_sources()

    async def _check_nothing(self, store: Store, key: str) -> None:
        await self.check_missing(store, key, 0)
        await self.check_leftovers()
        await store.remove(key)
        self.check_sources()

    async def _settled(self, result: Deferred[Any]) -> None:
        """Wait for a result, whichever it is."""
        try:
            await result
        except Exception as error:
            self.assertNotIsInstance(error, NoSuchPiece)
