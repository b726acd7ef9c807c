# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of lanes share: a piece that does what a test says.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.interfaces import IPiece
from glancetx.streaming.lane import Lane, Stage
from glancetx.streaming.segments import Slice
from glancetx.testing.consumers import RecordingConsumer

__all__ = ["LaneTestCase", "Scripted"]


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
