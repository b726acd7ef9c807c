# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.lane`.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.errors import NoSuchPiece, PieceTruncated, ReaderGone
from glancetx.interfaces import IPiece
from glancetx.streaming.lane import Lane, Stage
from glancetx.streaming.pump import pump
from glancetx.streaming.segments import Slice
from glancetx.testing.consumers import RecordingConsumer


@implementer(IPiece, IPushProducer)
class Scripted:
    """
    A piece, and the producer of its one reading, which does what a test says.

    :ivar calls: what the producer was told, in order.
    """

    size = 1000

    def __init__(self, register: bool = True) -> None:
        self.calls: list[str] = []
        self.done: Deferred[None] = Deferred(lambda _: self.calls.append("cancel"))
        self.register = register
        self.consumer: IConsumer

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        self.consumer = consumer
        if self.register:
            consumer.registerProducer(self, True)
        return self.done

    def write(self, *chunks: bytes) -> None:
        for data in chunks:
            self.consumer.write(data)

    def end(self) -> None:
        self.consumer.unregisterProducer()
        self.done.callback(None)

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")
        self.consumer.unregisterProducer()


class StageTests(SynchronousTestCase):
    """``Stage``"""

    def setUp(self) -> None:
        self.consumer = RecordingConsumer()
        self.stage = Stage(self.consumer)

    def tearDown(self) -> None:
        self.stage.leave()
        self.assertEqual(self.consumer.broken, [])
        self.assertEqual(self.consumer.registered, [True])
        self.assertEqual(self.consumer.unregistered, 1)

    def ready(self) -> Deferred[None]:
        return ensureDeferred(self.stage.ready())

    def test_ready(self) -> None:
        """
        It is ready unless the consumer pauses, and when it resumes.
        """
        self.successResultOf(self.ready())
        self.consumer.pause()
        d = self.ready()
        self.assertNoResult(d)
        self.consumer.pause()
        self.assertNoResult(d)
        self.consumer.resume()
        self.successResultOf(d)

    def test_left(self) -> None:
        """
        Who waits for a consumer that leaves is told, and who asks later, too.
        """
        self.consumer.pause()
        d = self.ready()
        self.consumer.leave()
        self.failureResultOf(d, ReaderGone)
        self.failureResultOf(self.ready(), ReaderGone)

    def test_cancelled(self) -> None:
        """
        To give up waiting disturbs nothing.
        """
        self.consumer.pause()
        d = self.ready()
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.consumer.resume()
        self.successResultOf(self.ready())

    def test_left_before(self) -> None:
        """
        A consumer may have left when it is given its producer.
        """
        self.stage.leave()
        self.consumer = RecordingConsumer(on_register=RecordingConsumer.leave)
        self.stage = Stage(self.consumer)
        self.failureResultOf(self.ready(), ReaderGone)


class LaneTestCase(SynchronousTestCase):
    """Plays one lane."""

    def setUp(self) -> None:
        self.consumer = RecordingConsumer()
        self.stage = Stage(self.consumer)
        self.wrote: list[int] = []
        self.piece = Scripted()

    def tearDown(self) -> None:
        self.assertEqual(self.consumer.broken, [])
        del self.lane, self.piece
        gc.collect()  # errors that nobody minds must not be in the log

    def begin(self, length: int = 6, piece: IPiece | None = None) -> None:
        segment = Slice(piece or self.piece, 10, 10 + length)
        self.lane = Lane(self.stage, segment, self.wrote.append)
        self.lane.begin()

    def play(self) -> Deferred[None]:
        return ensureDeferred(self.lane.play())


class TurnTests(LaneTestCase):
    """``Lane``: before, during and after its turn"""

    def test_before(self) -> None:
        """
        Before its turn a producer is paused, once, whatever the consumer does.
        """
        self.begin()
        self.consumer.pause()
        self.consumer.resume()
        self.assertEqual(self.piece.calls, ["pause"])
        self.assertEqual(self.consumer.registered, [True])

    def test_turn(self) -> None:
        """
        At its turn it is resumed, and what it writes goes to the consumer.
        """
        self.begin()
        d = self.play()
        self.assertEqual(self.piece.calls, ["pause", "resume"])
        self.piece.write(b"one", b"two")
        self.assertNoResult(d)
        self.piece.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, b"onetwo")
        self.assertEqual(self.wrote, [3, 6])
        self.assertIsNone(self.stage.lane)

    def test_turn_while_paused(self) -> None:
        """
        Its turn does not come while the consumer pauses.
        """
        self.begin()
        self.consumer.pause()
        d = self.play()
        self.assertEqual(self.piece.calls, ["pause"])
        self.consumer.resume()
        self.assertEqual(self.piece.calls, ["pause", "resume"])
        self.piece.write(b"onetwo")
        self.piece.end()
        self.successResultOf(d)

    def test_pause(self) -> None:
        """
        During its turn it pauses and resumes with the consumer, never twice.
        """
        self.begin()
        d = self.play()
        self.piece.calls.clear()
        for call in (self.consumer.pause, self.consumer.resume) * 2:
            call()
            call()
        self.assertEqual(self.piece.calls, ["pause", "resume", "pause", "resume"])
        self.piece.write(b"onetwo")
        self.piece.end()
        self.successResultOf(d)

    def test_registers_late(self) -> None:
        """
        A producer may come late: at its turn it is paused only if the consumer is.
        """
        self.piece.register = False
        self.begin()
        d = self.play()
        self.consumer.pause()
        self.lane.registerProducer(self.piece, True)
        self.assertEqual(self.piece.calls, ["pause"])
        self.consumer.resume()
        self.assertEqual(self.piece.calls, ["pause", "resume"])
        self.piece.write(b"onetwo")
        self.piece.end()
        self.successResultOf(d)

    def test_registers_again(self) -> None:
        """
        Each of several producers is paused, as none knows of the one before.
        """
        self.begin()
        self.lane.unregisterProducer()
        self.lane.registerProducer(self.piece, True)
        self.assertEqual(self.piece.calls, ["pause", "pause"])

    def test_early(self) -> None:
        """
        What a producer had on the way when it was paused comes first at its turn.
        """
        self.begin()
        self.piece.write(b"on", b"e")
        self.assertEqual(self.consumer.received, b"")
        d = self.play()
        self.piece.write(b"two")
        self.piece.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, b"onetwo")
        self.assertEqual(self.wrote, [2, 3, 6])

    def test_early_and_over(self) -> None:
        """
        All of it may be there before the turn.
        """
        self.begin()
        self.piece.write(b"onetwo")
        self.piece.end()
        self.successResultOf(self.play())
        self.assertEqual(self.consumer.received, b"onetwo")

    def test_early_obeys(self) -> None:
        """
        Early chunks obey the consumer one by one, and the producer waits for them.
        """
        self.begin()
        self.piece.write(b"on", b"e")
        self.consumer.on_write = RecordingConsumer.pause
        d = self.play()
        self.assertEqual(self.consumer.received, b"on")
        self.piece.write(b"two")
        self.consumer.resume()
        self.consumer.resume()
        self.assertEqual(self.consumer.received, b"onetwo")
        self.assertEqual(self.piece.calls, ["pause"])
        self.consumer.resume()
        self.assertEqual(self.piece.calls, ["pause", "resume"])
        self.piece.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.surplus, 0)

    def test_leaves_within_early(self) -> None:
        """
        A consumer that leaves at an early chunk gets no other.
        """
        self.begin()
        self.piece.write(b"on", b"e")
        self.consumer.on_write = RecordingConsumer.leave
        self.failureResultOf(self.play(), ReaderGone)
        self.assertEqual(self.consumer.received, b"on")


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
