# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.lane`.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import ReaderGone
from glancetx.streaming.lane import Stage
from glancetx.testing.consumers import RecordingConsumer

from .lanes import LaneTestCase


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
