# Copyright glancetx contributors. See LICENSE for details.

"""
One request and its answer, for as long as the server takes and gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IProtocol, IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from glancetx import strict_json
from glancetx.answers import drop, read_body
from glancetx.errors import OriginUnavailable
from glancetx.idle import Idle

__all__ = ["LARGEST_ANSWER", "Lost", "Response", "Silent", "Source", "exchange"]

#: Bytes of an answer that is read whole, if the caller does not say.
LARGEST_ANSWER = 1024 * 1024

_PEER = "Swift"


class Lost(Exception):
    """No answer came, or not all of it. The text is for the log."""


class Silent(Lost):
    """Nothing came for as long as one waits."""


@frozen
class Response:
    """
    An answer.

    :ivar body: all of it, if it was read: but for the bytes of objects, it was.
    :ivar length: bytes of the body, ``None`` if that is not known; of HEAD, 0.
    :ivar proxy: who gave it; nothing to show to clients.
    :ivar response: as it came.
    """

    code: int
    headers: Headers = field(repr=False)  # one may be a token
    length: int | None
    proxy: str
    body: bytes | None = field(repr=False)
    response: IResponse = field(repr=False)

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that should be there once; the first, if it is not."""
        values = self.headers.getRawHeaders(name)
        return values[0].strip() if values else None

    def deliver(self, protocol: IProtocol) -> None:
        """Hand on a body that was not read; time-outs are the protocol's task."""
        self.response.deliverBody(protocol)

    def drop(self) -> None:
        """Close the connection of an answer whose body nobody wants."""
        if self.body is None:
            drop(self.response)

    def json(self) -> Any:
        """
        What a body is that was read.

        :raises ValueError: if it is no JSON.
        """
        try:
            return strict_json.loads(self.body or b"")
        except RecursionError as error:
            raise ValueError(str(error)) from error


@implementer(IBodyProducer)
class _Attempt:
    """
    A body on its way to one server, which may still be told to stop when another try
    has long begun.

    While the server waits for a slow source its silence means nothing.

    :ivar begun: the server may have had a part of it.
    """

    def __init__(self, body: IBodyProducer, idle: Idle) -> None:
        self.body = body
        self.begun = False
        self._idle: Idle | None = idle

    @property
    def length(self) -> int:
        length: int = self.body.length
        return length

    def leave(self) -> None:
        """The exchange is over."""
        self._idle = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.begun = True
        self._expect(False)
        done: Deferred[None] = self.body.startProducing(consumer)
        return done.addCallback(self._sent)

    def pauseProducing(self) -> None:
        self._expect(True)
        self.body.pauseProducing()

    def resumeProducing(self) -> None:
        self._expect(False)
        self.body.resumeProducing()

    def stopProducing(self) -> None:
        self.body.stopProducing()

    def _sent(self, result: None) -> None:
        self._expect(True)

    def _expect(self, something: bool) -> None:
        if self._idle is None:
            return
        if something:
            self._idle.start()
        else:
            self._idle.stop()


class Source:
    """Where the body of a request comes from, in each try."""

    def __init__(
        self,
        make: Callable[[], IBodyProducer],
        replayable: bool | Callable[[], bool],
    ) -> None:
        self._make = make
        self._replayable = replayable
        self._last: _Attempt | None = None

    @property
    def spent(self) -> bool:
        """Whether a body was begun, and there will be no other."""
        if self._last is None or not self._last.begun:
            return False
        again = self._replayable
        return not (again() if callable(again) else again)

    def attempt(self, idle: Idle) -> _Attempt:
        """The body, made anew if it was begun before."""
        last = self._last
        body = self._make() if last is None or last.begun else last.body
        self._last = _Attempt(body, idle)
        return self._last


async def exchange(
    agent: IAgent,
    clock: IReactorTime,
    method: bytes,
    url: str,
    headers: Headers,
    source: Source | None = None,
    *,
    proxy: str = "",
    idle_seconds: float = 30.0,
    most: int | None = LARGEST_ANSWER,
) -> Response:
    """
    Send a request and wait for the answer.

    :param url: quoted.
    :param idle_seconds: how long the server may be silent while it is waited for.
    :param most: how many bytes the body may have, which is read; ``None``: that of a
        successful answer is not read.
    :raises Lost: if there is no answer, or its body breaks off or is too long.
    """
    try:
        response = await _Waiting(clock, idle_seconds).send(
            agent, method, url.encode("ascii"), headers, source
        )
        body = await _body(response, most, clock, idle_seconds)
    except OriginUnavailable as problem:
        raise Lost(problem.reason) from None
    length = None if response.length is UNKNOWN_LENGTH else response.length
    return Response(response.code, response.headers, length, proxy, body, response)


class _Waiting:
    """Waits for an answer while there is hope."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._idle = Idle(clock, seconds, self._give_up)
        self._silent = False
        self._answer: Deferred[IResponse] = Deferred()

    async def send(
        self,
        agent: IAgent,
        method: bytes,
        url: bytes,
        headers: Headers,
        source: Source | None,
    ) -> IResponse:
        """:raises Silent: if the server was silent for too long."""
        self._idle.start()
        body = None
        try:
            if source is not None:
                body = source.attempt(self._idle)
            self._answer = agent.request(method, url, headers, body)
            return await self._answer
        except CancelledError:
            if self._silent:
                seconds = self._idle.seconds
                raise Silent(f"no answer in {seconds:g} seconds") from None
            raise
        finally:
            if body is not None:
                body.leave()
            self._idle.stop()

    def _give_up(self) -> None:
        self._silent = True
        self._answer.cancel()


async def _body(
    response: IResponse, most: int | None, clock: IReactorTime, idle_seconds: float
) -> bytes | None:
    if most is None and 200 <= response.code < 300:  # noqa: PLR2004
        return None
    return await read_body(response, most or LARGEST_ANSWER, _PEER, clock, idle_seconds)
