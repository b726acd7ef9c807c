# Copyright glancetx contributors. See LICENSE for details.

"""
Makes any backend slow: an example of a backend that wraps another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IProducer,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.task import deferLater
from zope.interface import implementer

from glancetx.errors import ConfigError
from glancetx.interfaces import (
    IBackend,
    IBackendFactory,
    IPiece,
    IPieceWriter,
    Option,
    Tools,
)

__all__ = ["Pace", "ThrottleFactory", "ThrottledBackend", "throttle"]


class Pace:
    """How fast bytes may pass, all readers and writers together."""

    def __init__(self, bytes_per_second: int, clock: IReactorTime) -> None:
        self.clock = clock
        self._rate = bytes_per_second
        self._free = 0.0

    def take(self, count: int) -> float:
        """Let bytes pass; returns for how many seconds none should follow."""
        now = self.clock.seconds()
        self._free = max(self._free, now) + count / self._rate
        return self._free - now


@implementer(IConsumer, IPushProducer)
class _Valve:
    """
    Stands between a piece and its reader: what the one takes for its consumer, and
    the other for its producer. The piece is paused while either wants it.
    """

    def __init__(self, consumer: IConsumer, pace: Pace) -> None:
        self._consumer = consumer
        self._pace = pace
        self._producer: Any = None
        self._paused = False
        self._timer: IDelayedCall | None = None

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self._producer = producer
        self._consumer.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        self._producer = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._consumer.unregisterProducer()

    def write(self, data: bytes) -> None:
        seconds = self._pace.take(len(data))
        self._consumer.write(data)
        if self._producer is None:
            return  # the reader left
        if self._timer is not None:
            self._timer.reset(seconds)
            return
        self._timer = self._pace.clock.callLater(seconds, self._go_on)
        self._producer.pauseProducing()

    def pauseProducing(self) -> None:
        self._paused = True
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._timer is None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._producer.stopProducing()

    def _go_on(self) -> None:
        self._timer = None
        if not self._paused:
            self._producer.resumeProducing()


@implementer(IPiece)
class _Piece:
    """
    Another backend's piece, read slowly.

    It is no ``IFilePiece`` even if that one is: what is sent by the kernel would not
    come by here.
    """

    def __init__(self, piece: IPiece, pace: Pace) -> None:
        self.size = piece.size
        self._piece = piece
        self._pace = pace

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return self._piece.produce(_Valve(consumer, self._pace), start, stop)


@implementer(IPieceWriter)
class _Writer:
    """Another backend's writer, written to slowly."""

    def __init__(self, writer: IPieceWriter, pace: Pace) -> None:
        self._writer = writer
        self._pace = pace
        self._good = True

    def write(self, data: bytes) -> Deferred[None]:
        return Deferred.fromCoroutine(self._write(data))

    def finish(self) -> Deferred[None]:
        return self._writer.finish() if self._good else fail(_over())

    def abort(self) -> Deferred[None]:
        return self._writer.abort()

    async def _write(self, data: bytes) -> None:
        if not self._good:
            raise _over()
        self._good = False  # and stays so if this fails or is cancelled
        await self._writer.write(data)
        seconds = self._pace.take(len(data))
        await deferLater(self._pace.clock, seconds)
        self._good = True


def _over() -> Exception:
    return RuntimeError("this writer failed, was aborted or has finished")


@implementer(IBackend)
class ThrottledBackend:
    """A backend whose bytes come and go at a pace."""

    def __init__(self, backend: IBackend, pace: Pace) -> None:
        """:param backend: as an option gives it: what it returns can be awaited."""
        self._backend: Any = backend
        self._pace = pace

    async def piece(self, key: str, size: int) -> IPiece:
        return _Piece(await self._backend.piece(key, size), self._pace)

    async def create(self, key: str, size: int | None) -> IPieceWriter:
        return _Writer(await self._backend.create(key, size), self._pace)

    async def remove(self, key: str) -> None:
        await self._backend.remove(key)


@implementer(IBackendFactory)
class ThrottleFactory:
    """Makes stores that are slower than what keeps their pieces."""

    name = "throttle"
    interface_version = 1
    options = (
        Option("of", str, "the backend that keeps the pieces", backend=True),
        Option("bytes_per_second", int, "how many are read and written, together"),
    )

    def make(self, options: Mapping[str, Any], tools: Tools) -> ThrottledBackend:
        rate = options["bytes_per_second"]
        if rate < 1:
            raise ConfigError(tools.store, "bytes_per_second", "must be 1 or more")
        return ThrottledBackend(options["of"], Pace(rate, tools.clock))


throttle = ThrottleFactory()
