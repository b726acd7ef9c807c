# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift.reading``.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import LogLevel, capturedLogs

from glancetx.backends.swift import calls, reading
from glancetx.errors import (
    GlancetxError,
    NoSuchPiece,
    PieceCorrupt,
    PieceTruncated,
    StoreUnavailable,
)
from glancetx.testing import RecordingConsumer
from glancetx.testing.conformance.hooks import bytes_of

from .fake_swift_wire import Asked, Trouble
from .swift_case import KEY, MIB, SwiftCase

PIECE = f"glancetx-ab/{KEY}"
DATA = bytes_of(3 * MIB + 5)


class ReadingCase(SwiftCase):
    """Reads what was written into the fake."""

    async def keep(self, data: bytes = DATA) -> None:
        writer = await self.new_backend().create(KEY, len(data))
        await writer.write(data)
        await writer.finish()
        self.swift.asked.clear()

    async def read(self, start: int = 0, stop: int = len(DATA)) -> bytes:
        consumer = RecordingConsumer()
        piece = self.new_backend().piece(KEY, len(DATA))
        await piece.produce(consumer, start, stop)
        return bytes(consumer.received)

    async def check_broken(
        self, *errors: type[GlancetxError], start: int = 0
    ) -> RecordingConsumer:
        """Read what cannot be read whole; what was read is right."""
        consumer = RecordingConsumer()
        piece = self.new_backend().piece(KEY, len(DATA))
        with self.assertRaises(errors):
            await piece.produce(consumer, start, len(DATA))
        self.assertTrue(DATA.startswith(bytes(consumer.received), start))
        self.assertEqual((consumer.producer, consumer.broken), (None, []))
        return consumer

    def check_alarm(self, events: Sequence[object], offset: int) -> None:
        """The log says which piece is damaged, and where."""
        found = [
            event
            for event in events
            if isinstance(event, dict) and event.get("key") == KEY
        ]
        self.assertEqual(
            [(one["log_level"], one["offset"]) for one in found],
            [(LogLevel.error, offset)],
        )

    def gets(self) -> Sequence[Asked]:
        """All requests for bytes."""
        asked = self.swift.asked
        return [one for one in asked if one.method == "GET" and KEY in one.path]


class ResumingTests(ReadingCase):
    """Answers that break off"""

    async def test_whole(self) -> None:
        """
        A piece that nothing happens to is asked for once, without a range, of all
        replicas.
        """
        await self.keep()
        self.assertTrue(await self.read() == DATA)
        (asked,) = self.gets()
        self.assertNotIn("range", asked.headers)
        self.assertTrue(asked.newest)

    async def test_lately(self) -> None:
        """
        Who reads many ranges of a piece does not wait for all replicas each time, but
        where one says that there is none.
        """
        await self.keep()
        piece = self.new_backend().piece(KEY, len(DATA))
        for start in range(3):
            await piece.produce(RecordingConsumer(), start, start + 1)
        self.assertEqual([one.newest for one in self.gets()], [True, False, False])
        self.swift.stale.add(PIECE)
        await piece.produce(RecordingConsumer(), 0, 1)

    async def test_resumed(self) -> None:
        """
        An answer that breaks off is asked for again from there, by another proxy, if
        the piece is still the same.
        """
        await self.keep()
        self.swift.troubles.append(Trouble("GET", KEY, cut=2 * MIB + 7))
        self.assertTrue(await self.read() == DATA)
        first, second = self.gets()
        self.assertNotEqual(first.proxy, second.proxy)
        start = int(second.headers["range"].removeprefix("bytes=").split("-")[0])
        self.assertGreater(start, 0)
        etag = self.swift.objects()[PIECE].etag
        self.assertEqual(second.headers["if-match"], f'"{etag}"')
        self.assertFalse(second.newest)

    async def test_clean_but_short(self) -> None:
        """
        An answer that ends cleanly before its length is no whole one.
        """
        await self.keep()
        self.swift.troubles.append(Trouble("GET", KEY, cut=MIB, clean=True))
        self.assertTrue(await self.read(10, 2 * MIB) == DATA[10 : 2 * MIB])

    async def test_often(self) -> None:
        """
        As long as bytes come an answer may break off any number of times.
        """
        await self.keep()
        self.swift.troubles.append(Trouble("GET", KEY, times=20, cut=100_000))
        self.assertTrue(await self.read() == DATA)

    async def test_never_more(self) -> None:
        """
        Bytes that never come are a truncated piece, and an alarm.
        """
        await self.keep()
        self.swift.short = MIB + 3
        with capturedLogs() as events:
            await self.check_broken(PieceTruncated)
        self.check_alarm(events, MIB + 3)

    async def test_plain(self) -> None:
        """
        A plain object is resumed like a segmented one.
        """
        data = DATA[:MIB]
        await self.keep(data)
        self.swift.troubles.append(Trouble("GET", KEY, cut=1000))
        consumer = RecordingConsumer()
        await self.new_backend().piece(KEY, MIB).produce(consumer, 0, MIB)
        self.assertTrue(consumer.received == data)

    async def test_dead_proxy(self) -> None:
        """
        A reader does not notice that his proxy dies.
        """
        await self.keep()
        consumer = RecordingConsumer(RecordingConsumer.pause)
        piece = self.new_backend().piece(KEY, len(DATA))
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await self.swift.kill_proxy(self.gets()[0].proxy)
        consumer.on_write = None
        consumer.resume()
        await done
        self.assertTrue(consumer.received == DATA)

    async def test_no_proxy(self) -> None:
        """
        Without a proxy the store is not available.
        """
        await self.keep()
        for number in (0, 1):
            await self.swift.kill_proxy(number)
        await self.check_broken(StoreUnavailable)


class DamageTests(ReadingCase):
    """Pieces that are not what was written"""

    async def test_first_segment_gone(self) -> None:
        """
        A piece whose first segment is gone is damaged: no byte, but an alarm.
        """
        await self.keep()
        self.swift.lose(f"{PIECE}/000001")
        with capturedLogs() as events:
            consumer = await self.check_broken(PieceTruncated)
        self.assertEqual(consumer.received, b"")
        self.check_alarm(events, 0)

    async def test_middle_segment_gone(self) -> None:
        """
        A piece that ends in the middle is cut there, and no clean end.
        """
        await self.keep()
        self.swift.lose(f"{PIECE}/000003")
        with capturedLogs() as events:
            consumer = await self.check_broken(PieceTruncated)
        self.assertEqual(len(consumer.received), 2 * MIB)
        self.check_alarm(events, 2 * MIB)

    async def test_changed(self) -> None:
        """
        Bytes of another piece are never sent behind those of the first.
        """
        await self.keep()

        def replace() -> None:
            stored = self.swift.objects()[PIECE]
            stored.etag = "0" * 32

        self.swift.troubles.append(Trouble("GET", KEY, cut=1000, clean=True))
        self.swift.troubles.append(Trouble("GET", KEY, call=replace))
        await self.check_broken(PieceCorrupt)

    async def test_shorter(self) -> None:
        """
        A piece that is shorter than was recorded gives no byte.
        """
        await self.keep(DATA[:-1])
        consumer = await self.check_broken(PieceTruncated)
        self.assertEqual(consumer.received, b"")
        await self.check_broken(PieceTruncated, start=MIB)
        await self.check_broken(PieceTruncated, start=len(DATA) - 1)

    async def test_no_bytes_of_a_shorter(self) -> None:
        """
        No bytes of a piece that is shorter than was recorded are too many.
        """
        await self.keep(DATA[:-1])
        await self.check_broken(PieceTruncated, start=len(DATA))


class MissingTests(ReadingCase):
    """Pieces that are not there"""

    async def test_stale_replica(self) -> None:
        """
        A replica that does not know of a piece is not believed.
        """
        await self.keep()
        self.swift.stale.add(PIECE)
        self.assertTrue(await self.read() == DATA)

    async def test_gone(self) -> None:
        """
        A piece that no replica has is no piece.
        """
        await self.check_broken(NoSuchPiece)

    async def test_unavailable(self) -> None:
        """
        What cannot be asked for is not missing.
        """
        await self.keep()
        self.swift.troubles.append(Trouble("GET", KEY, times=99, say=503))
        await self.check_broken(StoreUnavailable)

    async def test_silent(self) -> None:
        """
        Proxies that say nothing any more have not lost a byte: the store is not
        available, and the piece not damaged.
        """
        self.patch(calls, "IDLE_SECONDS", 0.1)
        self.patch(reading, "IDLE", 0.1)
        await self.keep()
        self.swift.troubles += [
            Trouble("GET", KEY, cut=MIB),
            Trouble("GET", KEY, times=99, silent=True),
        ]
        with capturedLogs() as events:
            await self.check_broken(StoreUnavailable)
        self.assertNotIn(KEY, [event.get("key") for event in events])
        self.assertEqual(len(self.gets()), 3)

    async def test_lost_token(self) -> None:
        """
        A token that has ended is replaced.
        """
        await self.keep()
        self.swift.troubles.append(Trouble("GET", KEY, say=401))
        self.assertTrue(await self.read() == DATA)
