# Copyright glancetx contributors. See LICENSE for details.

"""
Request bodies that are sent as they come, and as fast as the server takes them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from glancetx.errors import BadValue, OriginUnavailable

__all__ = ["Body", "upload"]

SILENT_SECONDS = 300.0
"""How long a server may neither take a byte of a body nor answer."""


@implementer(IBodyProducer)
class Body:
    """
    The body of one request.

    :ivar length: as ``IBodyProducer`` has it.
    :ivar sent: how many bytes were handed to the connection.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        size: int | None,
        progress: Callable[[int], object],
    ) -> None:
        """:param progress: told the length of each chunk that was handed over."""
        self.length = UNKNOWN_LENGTH if size is None else size
        self.sent = 0
        self._size = size
        self._chunks = chunks
        self._told = [progress]
        self._paused: Deferred[None] | None = None
        self._task: Deferred[None] | None = None

    def watch(self, progress: Callable[[int], object]) -> None:
        """Tell one more how far it is."""
        self._told.append(progress)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._task = Deferred.fromCoroutine(self._send(consumer))
        self._task.addCallbacks(done.callback, self._failed, errbackArgs=(done,))
        return done

    def _failed(self, failure: Failure, done: Deferred[None]) -> None:
        """Pass a failure on, but for that of being stopped: then nobody waits."""
        if failure.check(CancelledError) is None:
            done.errback(failure)

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send(self, consumer: IConsumer) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                while self._paused is not None:
                    await self._paused
                if chunk:  # to send none would be to end a chunked body
                    self._write(consumer, chunk)
        if self._size is not None and self.sent != self._size:
            raise BadValue("source", f"ended at {self.sent} of {self._size} bytes")

    def _write(self, consumer: IConsumer, chunk: bytes) -> None:
        self.sent += len(chunk)
        if self._size is not None and self.sent > self._size:
            raise BadValue("source", f"has more than {self._size} bytes")
        consumer.write(chunk)
        for progress in self._told:
            progress(len(chunk))


async def upload(
    agent: IAgent,
    method: bytes,
    uri: bytes,
    headers: Headers,
    body: Body,
    clock: IReactorTime,
) -> IResponse:
    """
    Send a request with a body; an answer that comes early ends the sending.

    :raises OriginUnavailable: if the connection breaks, or the server is silent.
    :raises BadValue: if the source has not as many bytes as it was said to have.
    """
    answer = agent.request(method, uri, headers, body)
    silence = _Silence(answer, clock)
    body.watch(silence.heard)
    try:
        return await answer
    except CancelledError:
        if not silence.fell:
            raise
        raise OriginUnavailable(
            uri.decode("ascii"),
            f"it neither took a byte nor answered for {SILENT_SECONDS:g} seconds",
        ) from None
    finally:
        silence.end()
        body.stopProducing()


class _Silence:
    """
    Cancels a request when nothing moves any more.

    :ivar fell: whether it did.
    """

    def __init__(self, answer: Deferred[IResponse], clock: IReactorTime) -> None:
        self.fell = False
        self._answer = answer
        self._timer = clock.callLater(SILENT_SECONDS, self._fall)

    def heard(self, count: int) -> None:
        """Something moved."""
        self._timer.reset(SILENT_SECONDS)

    def end(self) -> None:
        """Stop listening."""
        if self._timer.active():
            self._timer.cancel()

    def _fall(self) -> None:
        self.fell = True
        self._answer.cancel()
