# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.lane`: how a piece and its reader end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IConsumer

from glancetx.errors import NoSuchPiece, PieceTruncated, ReaderGone
from glancetx.streaming.pump import pump
from glancetx.testing.consumers import RecordingConsumer

from .lanes import LaneTestCase, Scripted


class EndTests(LaneTestCase):
    """``Lane``: how it ends"""

    def test_failure(self) -> None:
        """
        The piece's error is the result, when its turn has come.
        """
        self.begin()
        self.piece.done.errback(NoSuchPiece("k"))
        self.consumer.pause()
        d = self.play()
        self.assertNoResult(d)
        self.consumer.resume()
        self.failureResultOf(d, NoSuchPiece)
        self.assertIsNone(self.stage.lane)

    def test_failure_while_paused(self) -> None:
        """
        During its turn it is the result at once.
        """
        self.begin()
        d = self.play()
        self.consumer.pause()
        self.piece.done.errback(NoSuchPiece("k"))
        self.failureResultOf(d, NoSuchPiece)

    def length(self, data: bytes) -> None:
        self.begin()
        d = self.play()
        self.piece.write(data)
        self.piece.end()
        error = self.failureResultOf(d, PieceTruncated).value
        self.assertEqual((error.offset, error.size), (10 + len(data), 16))

    def test_too_few(self) -> None:
        """
        A piece that ends without an error and before its end has ended early.
        """
        self.length(b"five5")

    def test_too_many(self) -> None:
        """
        A piece that has more than it should has not ended well, either.
        """
        self.length(b"seven77")

    def test_refused(self) -> None:
        """
        A piece registers one producer, which pushes.
        """
        self.begin()
        for streaming in (True, False):
            with self.assertRaises(RuntimeError):
                self.lane.registerProducer(Scripted(), streaming)
        self.lane.unregisterProducer()
        with self.assertRaises(RuntimeError):
            self.lane.registerProducer(self.piece, False)

    def produces(self, produce: Callable[..., Any]) -> None:
        self.piece.produce = produce  # type: ignore[method-assign]
        self.begin()

    def test_raises(self) -> None:
        """
        An error of the call itself is a result like any other.
        """

        def produce(consumer: IConsumer, start: int, stop: int) -> None:
            raise NoSuchPiece("k")

        self.produces(produce)
        self.failureResultOf(self.play(), NoSuchPiece)

    def test_coroutine(self) -> None:
        """
        A plug-in may be a coroutine.
        """

        async def produce(consumer: IConsumer, start: int, stop: int) -> None:
            consumer.write(b"onetwo")

        self.produces(produce)
        self.successResultOf(self.play())
        self.assertEqual(self.consumer.received, b"onetwo")

    def test_at_once(self) -> None:
        """
        A plug-in may answer with a plain value when everything is written.
        """

        def produce(consumer: IConsumer, start: int, stop: int) -> None:
            consumer.write(b"onetwo")

        self.produces(produce)
        self.successResultOf(self.play())


class StopTests(LaneTestCase):
    """``Lane``: a consumer that leaves"""

    def test_leaves(self) -> None:
        """
        The source is told once to end: its task, then its producer.
        """
        self.begin()
        d = self.play()
        self.piece.calls.clear()
        self.consumer.leave()
        self.failureResultOf(d, ReaderGone)
        self.lane.stop()
        self.assertEqual(self.piece.calls, ["cancel", "stop"])

    def test_before_turn(self) -> None:
        """
        A piece whose turn never comes is ended the same way.
        """
        self.begin()
        self.piece.calls.clear()
        self.lane.stop()
        self.lane.stop()
        self.assertEqual(self.piece.calls, ["cancel", "stop"])

    def test_failed_before_turn(self) -> None:
        """
        Nobody minds the error of a piece whose turn never comes.
        """
        self.begin()
        self.piece.done.errback(NoSuchPiece("k"))
        self.lane.stop()

    def test_writes_on(self) -> None:
        """
        What a piece writes that does not care goes nowhere.
        """
        self.begin()
        d = self.play()
        self.consumer.leave()
        self.piece.write(b"more")
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.consumer.received, b"")

    def test_registers_after(self) -> None:
        """
        A producer that comes when nobody reads any more is stopped at once.
        """
        self.piece.register = False
        self.begin()
        self.lane.stop()
        self.lane.registerProducer(self.piece, True)
        self.assertEqual(self.piece.calls, ["cancel", "stop"])

    def test_within_resume(self) -> None:
        """
        A consumer may leave at the very first chunk, which comes when the producer is
        resumed; that the piece was stopped is not its success.
        """
        resume = partial(self.piece.write, b"one", b"two")
        self.piece.resumeProducing = resume  # type: ignore[method-assign]
        self.consumer.on_write = RecordingConsumer.leave
        self.begin()
        self.failureResultOf(self.play(), ReaderGone)
        self.assertEqual(self.consumer.received, b"one")

    def test_own_error(self) -> None:
        """
        A task that is cancelled although the consumer is there was cancelled.
        """
        self.begin()
        d = self.play()
        d.cancel()
        self.failureResultOf(d, CancelledError)

    def test_closing_undisturbed(self) -> None:
        """
        A source that takes its time to close is not disturbed while it does.
        """
        closing: Deferred[None] = Deferred()
        ends: list[str] = []

        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                yield b"one"
                yield b"two"
            finally:
                try:
                    await closing
                except CancelledError:
                    ends.append("disturbed")
                ends.append("closed")

        def produce(consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
            return ensureDeferred(pump(chunks(), consumer))

        self.piece.produce = produce  # type: ignore[method-assign]
        self.consumer.on_write = RecordingConsumer.pause
        self.begin()
        d = self.play()
        self.consumer.leave()
        self.lane.stop()
        self.assertEqual((self.consumer.received, ends), (b"one", []))
        closing.callback(None)
        self.assertEqual(ends, ["closed"])
        self.failureResultOf(d, ReaderGone)
