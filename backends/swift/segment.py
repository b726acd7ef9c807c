# Copyright glancetx contributors. See LICENSE for details.

"""
One object that is written while its bytes come.

They are not kept, so what broke cannot be sent again: only the first bytes are, for a
request that fails as it begins, as one does that meets a dead proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from glancetx.interfaces import Tools

from .sums import Sum

__all__ = ["REPLAY", "BytesBody", "Segment"]

REPLAY = 1024 * 1024
"""Bytes from the beginning that are kept until more were sent."""


@implementer(IBodyProducer)
class BytesBody:
    """
    A body that is there already.

    :ivar length: as ``IBodyProducer`` has it.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._data:
            consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


@implementer(IBodyProducer)
class _Body:
    """One try to send a segment."""

    def __init__(self, segment: Segment) -> None:
        self.length = UNKNOWN_LENGTH if segment.length is None else segment.length
        self.paused = False
        self.consumer: IConsumer | None = None
        self._segment = segment
        self._finished: Deferred[None] = Deferred(lambda _: self._end())

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.consumer = consumer
        self._segment.attached(self)
        return self._finished

    def finish(self) -> None:
        """No more bytes come."""
        if self.consumer is not None:
            self._end()
            self._finished.callback(None)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._segment.changed()

    def stopProducing(self) -> None:
        self._end()

    def _end(self) -> None:
        self.consumer = None


class Segment:
    """
    An object on its way.

    :ivar path: its container and name.
    :ivar length: its bytes, ``None`` if their end is not known beforehand.
    :ivar size: how many were taken.
    """

    def __init__(
        self,
        path: str,
        length: int | None,
        tools: Tools,
        send: Callable[[Segment], Deferred[Any]],
    ) -> None:
        """
        :param send: sends the request, whose bodies are made by :meth:`body` as long
            as :meth:`replayable`; fires with the answer.
        """
        self.path = path
        self.length = length
        self.size = 0
        self.failure: Failure | None = None
        self._sum = Sum(tools)
        self._head: list[bytes] | None = []
        self._body: _Body | None = None
        self._done = False
        self._answer: Any = None
        self._ended = False
        self._waiting: Deferred[None] | None = None
        self._over: list[Deferred[None]] = []
        self._request = send(self)
        self._request.addCallbacks(self._answered, self._failed)

    # What the request asks for

    def body(self) -> IBodyProducer:
        """A body for one more try."""
        return _Body(self)

    def replayable(self) -> bool:
        """Whether another try can send all that was taken so far."""
        return self._head is not None and not self._ended

    def attached(self, body: _Body) -> None:
        """A try begins."""
        self._body = body
        consumer = body.consumer
        assert self._head is not None and consumer is not None
        for data in self._head:
            consumer.write(data)
        if self._done:
            body.finish()
        self.changed()

    def changed(self) -> None:
        """There may be room for more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    # What the writer does

    async def write(self, data: bytes) -> None:
        """
        Send the next bytes; returns when more are welcome.

        :raises GlancetxError: if the request failed.
        """
        await self._room()
        assert self._body is not None and self._body.consumer is not None
        self.size += len(data)
        self._keep(data)
        self._sum.update(data)
        self._body.consumer.write(data)
        if self.size == self.length:
            return self.end()  # before the answer comes
        if self._sum.lagging:
            await self._sum.ready()
        await self._room()

    def end(self) -> None:
        """No more bytes come."""
        self._done = True
        if self._body is not None:
            self._body.finish()

    async def kept(self) -> tuple[Any, str]:
        """
        Wait for the answer.

        :returns: it, and the MD5 of what was sent.
        """
        await self.over()
        if self.failure is not None:
            self.failure.raiseException()
        return self._answer, await self._sum.finish()

    def cut(self) -> None:
        """Break off: what was sent is not kept."""
        self._head = None
        self._request.cancel()

    def over(self) -> Deferred[None]:
        """Fires when there is an answer, or will be none."""
        over: Deferred[None] = Deferred()
        if self._ended:
            over.callback(None)
        else:
            self._over.append(over)
        return over

    async def _room(self) -> None:
        """Wait until a try is under way that takes more."""
        while self.failure is None:
            body = self._body
            if body is not None and body.consumer is not None and not body.paused:
                return
            self._waiting = Deferred()
            await self._waiting
        self.failure.raiseException()

    def _keep(self, data: bytes) -> None:
        if self._head is not None:
            if self.size <= REPLAY:
                self._head.append(data)
            else:
                self._head = None

    def _answered(self, answer: Any) -> None:
        self._answer = answer
        self._ended = True
        if not self._done:
            reason = RuntimeError(f"{self.path}: answered before all was sent")
            self.failure = Failure(reason)
        self._tell()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        over, self._over = self._over, []
        for one in over:
            one.callback(None)
        self.changed()
