# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.pump`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import NoSuchPiece, ReaderGone
from glancetx.streaming.pump import pump
from glancetx.testing.consumers import RecordingConsumer


class Source:
    """Hands out chunks when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = 0
        self.waiting: Deferred[bytes] = Deferred()
        self.closing: Deferred[None] | None = None

    def give(self, data: bytes) -> None:
        waiting, self.waiting = self.waiting, Deferred()
        waiting.callback(data)

    def break_off(self) -> None:
        self.waiting.errback(NoSuchPiece("k"))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.asked += 1
                data = await self.waiting
                if not data:
                    return
                yield data
        finally:
            self.closed += 1
            if self.closing is not None:
                await self.closing


class PumpTests(SynchronousTestCase):
    """``pump``"""

    def setUp(self) -> None:
        self.source = Source()

    def start(self, consumer: RecordingConsumer | None = None) -> Deferred[None]:
        self.consumer = consumer or RecordingConsumer()
        return ensureDeferred(pump(self.source.chunks(), self.consumer))

    def tearDown(self) -> None:
        self.assertEqual(self.consumer.broken, [])
        self.assertIsNone(self.consumer.producer)
        self.assertEqual(self.source.closed, 1)

    def test_everything(self) -> None:
        """
        Every chunk is written in order, by one push producer.
        """
        d = self.start()
        self.source.give(b"one")
        self.source.give(b"two")
        self.assertNoResult(d)
        self.source.give(b"")
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, b"onetwo")
        self.assertEqual(self.consumer.registered, [True])

    def test_paused_first(self) -> None:
        """
        A consumer that pauses at once gets nothing until it resumes.
        """
        d = self.start(RecordingConsumer(on_register=RecordingConsumer.pause))
        self.source.give(b"one")
        self.assertEqual(self.consumer.received, b"")
        self.consumer.resume()
        self.assertEqual(self.consumer.received, b"one")
        self.source.give(b"")
        self.successResultOf(d)

    def test_one_chunk_held(self) -> None:
        """
        While the consumer pauses, one chunk is held and no other asked for.
        """
        d = self.start()
        self.consumer.pause()
        self.source.give(b"one")
        self.assertEqual((self.consumer.received, self.source.asked), (b"", 1))
        self.consumer.resume()
        self.assertEqual((self.consumer.received, self.source.asked), (b"one", 2))
        self.source.give(b"")
        self.successResultOf(d)

    def test_pause_within_write(self) -> None:
        """
        A consumer that pauses within each write gets one chunk for each resuming.
        """
        d = self.start(RecordingConsumer(on_write=RecordingConsumer.pause))
        self.source.give(b"1")
        for chunk in (b"2", b"3", b"4"):
            received = bytes(self.consumer.received)
            self.source.give(chunk)
            self.assertEqual(self.consumer.received, received)
            self.consumer.resume()
            self.assertEqual(self.consumer.received, received + chunk)
        self.source.give(b"")
        self.successResultOf(d)

    def test_twice(self) -> None:
        """
        To pause twice is to pause, and to resume twice is to resume.
        """
        d = self.start()
        self.consumer.pause()
        self.source.give(b"one")
        self.consumer.pause()
        self.assertEqual(self.consumer.received, b"")
        self.consumer.resume()
        self.consumer.resume()
        self.assertEqual(self.consumer.received, b"one")
        self.source.give(b"")
        self.successResultOf(d)

    def test_leaves_paused(self) -> None:
        """
        A consumer that leaves while it is paused gets nothing more, and at once the
        source is closed.
        """
        d = self.start()
        self.consumer.pause()
        self.source.give(b"one")
        self.consumer.leave()
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.consumer.received, b"")

    def test_leaves_within_write(self) -> None:
        """
        A consumer may leave within a write.
        """
        d = self.start(RecordingConsumer(on_write=RecordingConsumer.leave))
        self.source.give(b"one")
        self.source.give(b"two")
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.consumer.received, b"one")

    def test_leaves_between(self) -> None:
        """
        That a consumer left while the source waits is noticed at the next chunk.
        """
        d = self.start()
        self.consumer.leave()
        self.assertNoResult(d)
        self.source.give(b"one")
        self.failureResultOf(d, ReaderGone)

    def test_source_fails(self) -> None:
        """
        The source's own error is the result.
        """
        d = self.start()
        self.source.give(b"one")
        self.source.break_off()
        self.failureResultOf(d, NoSuchPiece)

    def test_cancelled_waiting(self) -> None:
        """
        To cancel while the source waits closes it.
        """
        d = self.start()
        d.cancel()
        self.failureResultOf(d, CancelledError)

    def test_cancelled_paused(self) -> None:
        """
        To cancel while the consumer pauses closes the source, too.
        """
        d = self.start()
        self.consumer.pause()
        self.source.give(b"one")
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.consumer.resume()
        self.assertEqual(self.consumer.received, b"")

    def test_leaves_while_closing(self) -> None:
        """
        A consumer that does what it likes while the source closes disturbs nothing.
        """
        self.source.closing = Deferred()
        d = self.start()
        self.consumer.pause()
        self.source.give(b"one")
        d.cancel()
        self.assertNoResult(d)
        self.consumer.resume()
        self.consumer.pause()
        self.consumer.leave()
        self.source.closing.callback(None)
        self.failureResultOf(d, CancelledError)
        self.assertEqual(self.consumer.received, b"")
