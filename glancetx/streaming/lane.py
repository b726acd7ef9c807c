# Copyright glancetx contributors. See LICENSE for details.

"""
One producer for a whole answer, and a lane for each piece that writes into it.

A producer that is registered while the transport is full is not told so; hence the
stage registers once, and the pieces register with their lanes.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from txaio.tx import as_future
from zope.interface import implementer

from glancetx.errors import ReaderGone

from .segments import Slice

__all__ = ["Lane", "Stage"]


@implementer(IPushProducer)
class Stage:
    """
    The producer that the consumer of a whole answer sees.

    :ivar lane: the piece whose turn it is to write.
    """

    def __init__(self, consumer: IConsumer) -> None:
        self.consumer = consumer
        self.paused = False
        self.gone = False
        self.lane: Lane | None = None
        self._waiting: Deferred[None] | None = None
        consumer.registerProducer(self, True)

    def leave(self) -> None:
        """The answer is over; let others produce."""
        if not self.gone:
            self.consumer.unregisterProducer()

    async def ready(self) -> None:
        """
        Wait until the consumer has room.

        :raises ReaderGone: if it left.
        """
        if self.gone:
            raise ReaderGone
        if self.paused:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        self.paused = True
        if self.lane is not None:
            self.lane.sync()

    def resumeProducing(self) -> None:
        self.paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        if self.lane is not None:
            self.lane.sync()

    def stopProducing(self) -> None:
        self.gone = True
        self.consumer.unregisterProducer()  # a lost request forgets how
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(ReaderGone())
        if self.lane is not None:
            self.lane.stop()


@implementer(IConsumer)
class Lane:
    """
    What one piece writes into: shut while it is not the piece's turn.

    A producer may be asked for its bytes before its turn; what it had on the way
    when it was paused is kept until then.
    """

    def __init__(self, stage: Stage, wrote: Callable[[int], None]) -> None:
        """:param wrote: told how many bytes went to the consumer."""
        self._stage = stage
        self._wrote = wrote
        self._early: list[bytes] = []
        self._producer: IPushProducer | None = None
        self._held = False
        self._task: Deferred[None] | None = None

    def begin(self, piece: Slice) -> None:
        """Ask the piece for its bytes."""
        self._task = as_future(piece.piece.produce, self, piece.start, piece.stop)

    async def play(self) -> None:
        """
        Take the turn, and wait until the piece wrote everything.

        :raises ReaderGone: if the consumer left.
        """
        assert self._task is not None
        await self._stage.ready()
        self._stage.lane = self
        try:
            for data in self._early:
                self._write(data)
            self._early = []
            self.sync()
            await self._task
        except CancelledError:
            if self._stage.gone:
                raise ReaderGone from None
            raise
        finally:
            self._stage.lane = None

    def stop(self) -> None:
        """Nobody reads any more: close the source."""
        if self._producer is not None:
            self._producer.stopProducing()
        if self._task is not None:
            self._task.addErrback(lambda _: None)
            self._task.cancel()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if not streaming or self._producer is not None:
            raise RuntimeError("a piece registers one push producer")
        self._producer = producer  # type: ignore[assignment]
        self._held = False
        self.sync()

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        if self._stage.lane is self:
            self._write(data)
        else:
            self._early.append(data)

    def sync(self) -> None:
        """Pause or resume the producer, if that is due."""
        shut = self._stage.paused or self._stage.lane is not self
        if self._producer is None or shut == self._held:
            return
        self._held = shut
        if shut:
            self._producer.pauseProducing()
        else:
            self._producer.resumeProducing()

    def _write(self, data: bytes) -> None:
        self._stage.consumer.write(data)
        if not self._stage.gone:  # it may have left on this very chunk
            self._wrote(len(data))
