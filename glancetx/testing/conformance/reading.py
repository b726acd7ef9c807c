# Copyright glancetx contributors. See LICENSE for details.

"""
Which bytes a reader gets.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IConsumer
from txaio.tx import as_future
from zope.interface.verify import verifyObject

from glancetx.errors import NoSuchPiece, PieceTruncated
from glancetx.interfaces import IBackend, IPiece
from glancetx.testing.consumers import RecordingConsumer

from .hooks import MIB, Hooks, bytes_of

__all__ = ["ReadingTests"]

BORDERS = (65536, 262144, MIB)
"""Sizes in which storages and readers like to hand on bytes."""

DATA = bytes_of(2 * MIB + 4097)


class ReadingTests(Hooks):
    """``IBackend.piece`` and the bytes that ``IPiece.produce`` writes"""

    async def test_backend_interface(self) -> None:
        """
        The backend provides ``IBackend``.
        """
        verifyObject(IBackend, await self.open_backend())

    async def test_piece_interface(self) -> None:
        """
        A piece provides ``IPiece``, and knows its size.
        """
        key = await self.keep(await self.open_store(), b"abc")
        backend = await self.open_backend()
        piece = await as_future(backend.piece, key, 3)
        verifyObject(IPiece, piece)
        self.assertEqual(piece.size, 3)

    async def test_whole(self) -> None:
        """
        The whole piece reads as it was written.
        """
        await self._check_ranges((0, len(DATA)))

    async def test_first_byte(self) -> None:
        """
        The first byte can be read alone.
        """
        await self._check_ranges((0, 1))

    async def test_last_byte(self) -> None:
        """
        The last byte can be read alone.
        """
        await self._check_ranges((len(DATA) - 1, len(DATA)))

    async def test_middle(self) -> None:
        """
        A range in the middle gives those bytes and no others.
        """
        await self._check_ranges((MIB - 1000, MIB + 1000))

    async def test_to_the_end(self) -> None:
        """
        A range that begins in the middle may go to the end.
        """
        await self._check_ranges((MIB + 17, len(DATA)))

    async def test_nothing(self) -> None:
        """
        An empty range gives no bytes, wherever it is.
        """
        middle = len(DATA) // 2
        await self._check_ranges((0, 0), (middle, middle), (len(DATA), len(DATA)))

    async def test_bytes_at_borders(self) -> None:
        """
        Each of the bytes around a border can be read alone.
        """
        offsets = [border + step for border in BORDERS for step in (-1, 0, 1)]
        await self._check_ranges(*((offset, offset + 1) for offset in offsets))

    async def test_ranges_at_borders(self) -> None:
        """
        Ranges that begin, end or lie on a border are exact.
        """
        await self._check_ranges(*((edge - 3, edge) for edge in BORDERS))
        await self._check_ranges(*((edge, edge + 3) for edge in BORDERS))
        await self._check_ranges(*((edge - 3, edge + 3) for edge in BORDERS))
        await self._check_ranges(*((edge, 2 * edge) for edge in BORDERS))

    async def test_any_range(self) -> None:
        """
        Ranges anywhere are exact.
        """
        random = Random(1)
        for _ in range(20):
            start, stop = sorted(random.choices(range(len(DATA) + 1), k=2))
            await self._check_ranges((start, stop))

    async def test_empty_piece(self) -> None:
        """
        A piece without bytes is a piece: it reads as nothing.
        """
        store = await self.open_store()
        key = await self.keep(store, b"")
        piece = await store.piece(key, 0)
        self.assertEqual((piece.size, await self.read(piece)), (0, b""))

    async def test_sizes_at_borders(self) -> None:
        """
        Pieces that are just shorter or longer than a border are whole.
        """
        store = await self.open_store()
        for size in (1, *(border + step for border in BORDERS for step in (-1, 0, 1))):
            key = await self.keep(store, DATA[:size])
            self.assertEqual(await self.read(await store.piece(key, size)), DATA[:size])

    async def test_again(self) -> None:
        """
        One piece object can be read again and again.
        """
        piece = await self._data()
        self.assertEqual(await self.read(piece), DATA)
        self.assertEqual(await self.read(piece, 5, 500), DATA[5:500])
        self.assertEqual(await self.read(piece), DATA)

    async def test_many_at_once(self) -> None:
        """
        Many readers of one piece object each get their own range.
        """
        piece = await self._data()
        consumers = [RecordingConsumer() for _ in range(16)]
        steps = [100_001 * index for index in range(16)]
        await gatherResults(
            piece.produce(consumer, step, step + 200_000)
            for consumer, step in zip(consumers, steps, strict=True)
        )
        for consumer, step in zip(consumers, steps, strict=True):
            self.assertEqual(consumer.received, DATA[step : step + 200_000])
            self.check_manners(consumer)

    async def test_many_pieces_at_once(self) -> None:
        """
        Readers of many pieces do not get in each other's way.
        """
        store = await self.open_store()
        texts = [bytes_of(300_000, seed) for seed in range(8)]
        keys = [await self.keep(store, text) for text in texts]
        pieces = [await store.piece(key, 300_000) for key in keys]
        consumers = [RecordingConsumer() for _ in pieces]
        await gatherResults(
            piece.produce(consumer, 0, 300_000)
            for piece, consumer in zip(pieces, consumers, strict=True)
        )
        self.assertEqual([bytes(one.received) for one in consumers], texts)

    async def test_later(self) -> None:
        """
        A backend made later reads what an earlier one wrote.
        """
        key = await self.keep(await self.open_store(), DATA)
        store = await self.open_store()
        self.assertEqual(await self.read(await store.piece(key, len(DATA))), DATA)

    async def test_unknown(self) -> None:
        """
        What was never written cannot be read.
        """
        await self.check_missing(await self.open_store(), self.new_key(), 10)

    async def test_unknown_writes_nothing(self) -> None:
        """
        The reader of an unknown piece gets no byte and no producer that stays.
        """
        store = await self.open_store()
        consumer = RecordingConsumer()
        try:
            await (await store.piece(self.new_key(), 10)).produce(consumer, 0, 10)
        except NoSuchPiece:
            pass
        else:
            self.fail("an unknown piece was read")
        self.assertEqual((consumer.writes, consumer.broken), ([], []))
        self.assertIsNone(consumer.producer)
        self.check_sources()

    async def test_truncated(self) -> None:
        """
        A piece of which bytes are missing is told from a whole one, whatever it gave.
        """
        store = await self.open_store()
        key = await self.keep(store, DATA)
        consumer = RecordingConsumer()
        piece = await store.piece(key, len(DATA) + 1000)
        await self._check_truncated(piece, consumer, piece.size)
        self.assertEqual(consumer.received, DATA[: len(consumer.received)])
        self.assertEqual(consumer.broken, [])
        self.assertIsNone(consumer.producer)

    async def test_truncated_behind(self) -> None:
        """
        A range behind the last byte that is there is not an empty one.
        """
        store = await self.open_store()
        key = await self.keep(store, b"abc")
        piece = await store.piece(key, 1000)
        consumer = RecordingConsumer()
        await self._check_truncated(piece, consumer, 900, 800)
        self.assertEqual(consumer.received, b"")

    async def _check_truncated(
        self, piece: IPiece, consumer: IConsumer, stop: int, start: int = 0
    ) -> None:
        await self.check_fails(piece.produce(consumer, start, stop), PieceTruncated)
        self.check_sources()

    async def _check_ranges(self, *ranges: tuple[int, int]) -> None:
        piece = await self._data()
        for start, stop in ranges:
            got = await self.read(piece, start, stop)
            self.assertTrue(got == DATA[start:stop], f"wrong bytes [{start}, {stop})")
        self.check_sources()

    async def _data(self) -> IPiece:
        store = await self.open_store()
        return await store.piece(await self.keep(store, DATA), len(DATA))
