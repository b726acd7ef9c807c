# Copyright glancetx contributors. See LICENSE for details.

"""
One producer for a whole answer, and a lane for each piece that writes into it.

A producer that is registered while the transport is full is not told so; hence the
stage registers once, and the pieces register with their lanes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from txaio.tx import as_future
from zope.interface import implementer

from glancetx.errors import PieceTruncated, ReaderGone

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

    :ivar written: how many bytes went to the consumer.
    """

    def __init__(
        self, stage: Stage, piece: Slice, wrote: Callable[[int], None]
    ) -> None:
        """:param wrote: told how many bytes went to the consumer, in all."""
        self.written = 0
        self._stage = stage
        self._piece = piece
        self._wrote = wrote
        self._early: deque[bytes] = deque()
        self._producer: IPushProducer | None = None
        self._held = False
        self._stopped = False
        self._task: Deferred[None] | None = None

    def begin(self) -> None:
        """Ask the piece for its bytes."""
        piece = self._piece
        self._task = as_future(piece.piece.produce, self, piece.start, piece.stop)

    async def play(self) -> None:
        """
        Take the turn, and wait until the piece wrote everything.

        :raises ReaderGone: if the consumer left.
        :raises PieceTruncated: if the piece wrote more or fewer bytes than it has.
        """
        assert self._task is not None
        await self._stage.ready()
        while self._early:
            self._write(self._early.popleft())
            await self._stage.ready()
        self._stage.lane = self
        try:
            self.sync()
            await self._task
        except CancelledError:
            if self._stage.gone:
                raise ReaderGone from None
            raise
        finally:
            self._stage.lane = None
        if self._stage.gone:
            raise ReaderGone
        if self.written != self._piece.length:
            offset = self._piece.start + self.written
            raise PieceTruncated(repr(self._piece.piece), offset, self._piece.stop)

    def stop(self) -> None:
        """
        Nobody reads any more: close the source. Idempotent.

        A task that is told twice would be disturbed while it closes its source;
        hence it is cancelled first, and its producer told only if it is still there
        (a task that writes right now does not notice that it was cancelled).
        """
        if self._stopped:
            return
        self._stopped = True
        self._early.clear()
        if self._task is not None:
            self._task.addErrback(lambda _: None)
            self._task.cancel()
        if self._producer is not None:
            self._producer.stopProducing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if not streaming or self._producer is not None:
            raise RuntimeError("a piece registers one push producer")
        self._producer = cast(IPushProducer, producer)
        self._held = False
        if self._stopped:
            self._producer.stopProducing()
        else:
            self.sync()

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        if self._stopped:
            return
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
        self.written += len(data)
        self._stage.consumer.write(data)
        self._wrote(self.written)
