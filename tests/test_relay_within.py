# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay`: readers that end it while they are called.
"""

from __future__ import annotations

from glancetx.errors import ReaderGone
from glancetx.testing.consumers import RecordingConsumer

from .relays import DATA, RelayTestCase


class WithinTests(RelayTestCase):
    """``RemotePiece``: a reader that leaves or fails while it is called"""

    def test_within_first_write(self) -> None:
        """
        A reader may leave within the write of what came with the headers.
        """
        self.consumer.on_write = RecordingConsumer.leave
        d = self.start(self.piece())
        response = self.answer(DATA[:10], DATA[10:20])
        self.failureResultOf(d, ReaderGone)
        self.assertTrue(response.closed)
        self.assertEqual(self.consumer.received, DATA[:10])

    def test_within_write(self) -> None:
        """
        A reader may leave within the write of what came later.
        """
        self.consumer.on_write = RecordingConsumer.leave
        d = self.start(self.piece())
        response = self.answer()
        response.feed(DATA[:10], DATA[10:20])
        self.failureResultOf(d, ReaderGone)
        self.assertTrue(response.closed)
        self.assertEqual(self.consumer.received, DATA[:10])

    def test_within_resume(self) -> None:
        """
        A reader may resume and leave within the write that follows.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20], DATA[20:30])
        self.consumer.on_write = RecordingConsumer.leave
        self.consumer.resume()
        self.failureResultOf(d, ReaderGone)
        self.assertTrue(response.closed)
        self.assertEqual(self.consumer.received, DATA[:20])

    def test_within_last_write(self) -> None:
        """
        A reader that leaves when it is given the last chunk has left.
        """
        self.threads.eager = False
        d = self.start(self.piece())
        self.answer(DATA).end()
        self.consumer.on_write = RecordingConsumer.leave
        self.threads.run_all()
        self.failureResultOf(d, ReaderGone)

    def test_when_registered(self) -> None:
        """
        A reader that left before gets nothing, and nobody is asked.
        """
        self.consumer.on_register = RecordingConsumer.leave
        d = self.start(self.piece())
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.asked, [])

    def fail_to_write(self, consumer: RecordingConsumer) -> None:
        raise OSError("the disk is full")

    def test_writes_fail(self) -> None:
        """
        A reader that fails to take a chunk fails the reading: the chunk is lost, so
        nothing is asked again.
        """

        d = self.start(self.piece(checks=[]))
        response = self.answer(DATA[:10])
        self.consumer.on_write = self.fail_to_write
        response.feed(DATA[10:20])
        self.failureResultOf(d, OSError)
        self.assertTrue(response.closed)
        self.later()
        self.assertEqual(len(self.asked), 1)

    def test_writes_fail_on_resuming(self) -> None:
        """
        The same holds for a chunk that it is given when it resumes.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20], DATA[20:30])
        self.consumer.on_write = self.fail_to_write
        self.consumer.resume()
        self.failureResultOf(d, OSError)
        self.assertTrue(response.closed)
        self.assertEqual(self.consumer.received, DATA[:20])

    def test_writes_fail_between(self) -> None:
        """
        So it does when nothing is being received just then.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20])
        response.break_off()
        self.later()
        self.consumer.on_write = self.fail_to_write
        self.consumer.resume()
        self.failureResultOf(d, OSError)
        self.assertEqual(len(self.asked), 1)
