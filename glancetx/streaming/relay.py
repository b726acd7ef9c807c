# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces that lie on other servers, verified while they pass.

The bytes go straight from one connection to the other; nothing is kept but what is
on its way. An answer that ends early is asked for again from where it broke.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.iweb import IResponse
from zope.interface import implementer

from glancetx.errors import (
    OriginUnavailable,
    PieceCorrupt,
    PieceTruncated,
    ReaderGone,
)
from glancetx.interfaces import IPiece

from .answers import Answer, Unready, check_answer
from .digest import Digests
from .verify import Check, Verifier

__all__ = ["Ask", "RemotePiece"]

BACKOFF = 0.2
"""Seconds before an answer that broke is asked for again."""

Ask = Callable[[int, int], Deferred[IResponse]]
"""Sends the request for the bytes ``[start, stop)``."""

BROKEN = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
    Unready,
)


def _ignore(count: int) -> None:
    """Count nothing."""


@implementer(IPiece)
class RemotePiece:
    """
    A piece that another server has.

    What is read of it is what was promised: its length, its ETag if that is known,
    and the digest of every checked span that is read from its start to its end.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        size: int,
        ask: Ask,
        digests: Digests,
        clock: IReactorTime,
        *,
        checks: Sequence[Check] = (),
        etag: bytes | None = None,
        idle_seconds: float = 30,
        answer_seconds: float | None = None,
        tries: int = 3,
        seen: Callable[[int], None] = _ignore,
    ) -> None:
        """
        :param name: the piece's URI, for errors and the log.
        :param ask: sends a request; may fire with any answer, which is checked here.
        :param checks: in order, without overlap.
        :param etag: what the server must say, with its quotes.
        :param idle_seconds: how long the server may be silent.
        :param answer_seconds: the same until it answers, if that is another time.
        :param tries: how often in a row an answer may break without a new byte.
        :param seen: told how many bytes came.
        """
        self.name = name
        self.size = size
        self.ask = ask
        self.digests = digests
        self.clock = clock
        self.checks = checks
        self.etag = etag
        self.idle_seconds = idle_seconds
        self.answer_seconds = answer_seconds or idle_seconds
        self.tries = tries
        self.seen = seen

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        """
        See :meth:`IPiece.produce`.

        :raises PieceCorrupt: (as a failure) if the bytes are not those that were
            promised; the last chunk before the proof was not written then.
        :raises OriginUnavailable: (as a failure) if the server refuses, or gives no
            byte in several tries.
        """
        return _Reading(self, consumer, start, stop).begin()


@implementer(IPushProducer)
class _Reading:
    """One reading of a piece: a producer that outlives the answers that break."""

    def __init__(
        self, piece: RemotePiece, consumer: IConsumer, start: int, stop: int
    ) -> None:
        self._piece = piece
        self._consumer = consumer
        self._start = start
        self._stop = stop
        self._offset = start
        self._etag = piece.etag
        self._gone = False
        self._body: _Body | None = None
        self._resumed: Deferred[None] | None = None
        self._task: Deferred[None] | None = None
        self._verifier = Verifier(
            piece.name,
            consumer.write,
            start,
            [one for one in piece.checks if start <= one.start and one.stop <= stop],
            piece.digests,
            self._sync,
        )

    def begin(self) -> Deferred[None]:
        self._task = Deferred.fromCoroutine(self._run())
        return self._task

    def pauseProducing(self) -> None:
        self._verifier.held = True
        self._sync()

    def resumeProducing(self) -> None:
        self._verifier.held = self._gone
        self._verifier.pass_on()
        self._sync()
        if self._resumed is not None and not self._verifier.held:
            resumed, self._resumed = self._resumed, None
            resumed.callback(None)

    def stopProducing(self) -> None:
        self._gone = self._verifier.held = True
        self._consumer.unregisterProducer()  # a lost request forgets how
        if self._body is not None:
            self._body.fail(ReaderGone())
        elif self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._consumer.registerProducer(self, True)
        try:
            await self._read()
        except CancelledError:
            if self._gone:
                raise ReaderGone from None
            raise
        finally:
            self._verifier.held = True
            if not self._gone:
                self._consumer.unregisterProducer()

    async def _read(self) -> None:
        if self._gone:
            raise ReaderGone
        failures = 0
        while self._offset < self._stop:
            if self._verifier.failure is not None:
                self._verifier.failure.raiseException()
            began = self._offset
            try:
                await self._receive()
            except BROKEN as reason:
                if self._offset == self._stop:
                    break  # all of it came, however it ended
                failures = 0 if self._offset > began else failures + 1
                if failures >= self._piece.tries:
                    raise self._given_up(reason) from reason
                self._piece.log.info(
                    "piece {name}: asking again from byte {offset}: {reason}",
                    name=self._piece.name,
                    offset=self._offset,
                    reason=_text(reason),
                )
                await deferLater(self._piece.clock, BACKOFF * max(failures, 1))
                await self._wanted()
        await self._verifier.drained()

    async def _wanted(self) -> None:
        """
        Wait until the reader has room: a server that gave up on a reader who waits
        would do so again.
        """
        while self._verifier.held:
            self._resumed = Deferred()
            await self._resumed

    def _given_up(self, reason: Exception) -> Exception:
        if self._offset > self._start:
            return PieceTruncated(self._piece.name, self._offset, self._piece.size)
        if isinstance(reason, OriginUnavailable):
            return OriginUnavailable(reason.origin, reason.reason)
        return OriginUnavailable(self._piece.name, _text(reason))

    async def _receive(self) -> None:
        piece = self._piece
        asked = Answer(piece.name, self._offset, self._stop, piece.size, self._etag)
        answer = piece.ask(asked.start, asked.stop)
        try:
            response = await answer.addTimeout(piece.answer_seconds, piece.clock)
        except TimeoutError:
            raise Unready(f"no answer in {piece.answer_seconds:g} seconds") from None
        try:
            self._etag = check_answer(response, asked)
        except Exception:
            response.deliverBody(_Refused())
            raise
        self._body = body = _Body(self.received, piece.clock, piece.idle_seconds)
        try:
            response.deliverBody(body)
            self._sync()
            await body.done
        finally:
            self._body = None
        if self._offset < self._stop:
            raise Unready("the answer ended early")

    def received(self, data: bytes) -> None:
        self._offset += len(data)
        self._piece.seen(len(data))
        if self._offset > self._stop:
            raise PieceCorrupt(self._piece.name, "more came than was asked for")
        self._verifier.take(data)
        self._sync()

    def _sync(self) -> None:
        if self._body is None:
            return
        if self._verifier.failure is not None:
            self._body.fail(self._verifier.failure)
        else:
            self._body.hold(self._verifier.held or self._verifier.busy)


def _text(reason: Any) -> str:
    """What happened, in words: ``twisted.web`` wraps the errors of connections."""
    while reasons := getattr(reason, "reasons", None):
        reason = reasons[0].value
    return str(reason) or type(reason).__name__


class _Refused(Protocol):
    """Takes nothing of an answer that is not the right one."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class _Body(Protocol):
    """
    The body of one answer.

    :ivar done: fires when the server ended it properly; cancelling closes it.
    """

    def __init__(
        self, received: Callable[[bytes], None], clock: IReactorTime, idle: float
    ) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._close())
        self._received = received
        self._clock = clock
        self._idle = idle
        self._held = False
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._timer = self._clock.callLater(self._idle, self._silent)

    def hold(self, held: bool) -> None:
        """Stop reading, or go on; a server that is held back may be silent."""
        if held == self._held or self._timer is None:
            return
        self._held = held
        producer = cast(IPushProducer, self.transport)
        if held:
            self._timer.cancel()
            producer.pauseProducing()
        else:
            self._timer = self._clock.callLater(self._idle, self._silent)
            producer.resumeProducing()

    def fail(self, why: Failure | Exception) -> None:
        """Give up on this answer."""
        if not self.done.called:
            self.done.errback(why)
        self._close()

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        if self._timer is not None and not self._held:
            self._timer.reset(self._idle)
        try:
            self._received(data)
        except Exception:  # raised to the connection, it would be one to ask again for
            self.fail(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(Unready(_text(reason.value)))

    def _silent(self) -> None:
        self.fail(Unready(f"not a byte for {self._idle:g} seconds"))

    def _close(self) -> None:
        self._stop_timer()
        if self.transport is not None:
            self.transport.loseConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
