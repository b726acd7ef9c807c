# Copyright glancetx contributors. See LICENSE for details.

"""
Turns a source that hands out chunks into a producer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from glancetx.errors import ReaderGone

__all__ = ["Tap", "pump"]


@implementer(IPushProducer)
class Tap:
    """Holds back a writing loop while its consumer has enough."""

    stopped = False
    _paused: Deferred[None] | None = None

    def __init__(self, consumer: IConsumer) -> None:
        self._consumer = consumer

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        self.stopped = True
        self._consumer.unregisterProducer()  # a lost request forgets how
        self.resumeProducing()

    async def ready(self) -> None:
        """
        Wait until the consumer has room.

        :raises ReaderGone: if it left.
        """
        while self._paused is not None and not self.stopped:
            await self._paused
        if self.stopped:
            raise ReaderGone


async def pump(chunks: AsyncGenerator[bytes, None], consumer: IConsumer) -> None:
    """
    Write chunks as fast as the consumer takes them, and no faster.

    :param chunks: what to write; this function owns it from now on.
    :raises ReaderGone: if the consumer left before the last chunk.
    """
    tap = Tap(consumer)
    consumer.registerProducer(tap, True)
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                await tap.ready()
                consumer.write(chunk)
    finally:
        if not tap.stopped:
            consumer.unregisterProducer()
