# Copyright glancetx contributors. See LICENSE for details.

"""
Small answers of other servers: read whole, within bounds.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import IResponse

from . import strict_json
from .errors import OriginUnavailable
from .idle import Idle

__all__ = ["drop", "read_body", "read_json"]


class _Collector(Protocol):
    """
    Collects a body of limited size.

    :ivar done: fires with it; cancelling closes the connection.
    """

    transport: Any

    def __init__(
        self, most: int, peer: str, clock: IReactorTime | None, seconds: float
    ) -> None:
        self._most = most
        self._peer = peer
        self._chunks: list[bytes] = []
        self._size = 0
        self._idle = None if clock is None else Idle(clock, seconds, self._silent)
        self.done: Deferred[bytes] = Deferred(lambda _: self.transport.stopProducing())

    def connectionMade(self) -> None:
        if self._idle is not None:
            self._idle.start()

    def dataReceived(self, data: bytes) -> None:
        if self._idle is not None:
            self._idle.start()
        self._size += len(data)
        if self._size <= self._most:
            self._chunks.append(data)
        elif not self.done.called:
            self.transport.stopProducing()
            self._fail(f"its answer is larger than {self._most} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._idle is not None:
            self._idle.stop()
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._chunks))
        else:
            self._fail("its answer broke off, or has no length by which to tell")

    def _silent(self) -> None:
        assert self._idle is not None
        self.transport.stopProducing()
        if not self.done.called:
            self._fail(f"its answer stopped for {self._idle.seconds:g} seconds")

    def _fail(self, reason: str) -> None:
        self.done.errback(OriginUnavailable(self._peer, reason))


class _Dropper(Protocol):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.stopProducing()


def drop(response: IResponse) -> None:
    """Close the connection of an answer whose body nobody wants."""
    response.deliverBody(_Dropper())


async def read_body(
    response: IResponse,
    most: int,
    peer: str,
    clock: IReactorTime | None = None,
    idle_seconds: float = 30,
) -> bytes:
    """
    The whole body of a small answer. Cancelling closes the connection.

    :param most: how many bytes it may have.
    :param peer: what errors call the server.
    :param clock: looks after the server's silence; without it nobody does.
    :raises OriginUnavailable: if the body is larger, encoded (compressed), breaks
        off, stops for so long, or has no length: one that ends by closing may have
        been cut.
    """
    encodings = response.headers.getRawHeaders(b"content-encoding", [])
    if any(encoding.strip().lower() != b"identity" for encoding in encodings):
        drop(response)
        raise OriginUnavailable(peer, "its answer is encoded, which was not asked for")
    collector = _Collector(most, peer, clock, idle_seconds)
    response.deliverBody(collector)
    return await collector.done


async def read_json(response: IResponse, most: int, peer: str) -> dict[str, Any]:
    """
    The JSON object that a small answer is. Each key may stand in it once.

    :raises OriginUnavailable: as :func:`read_body`, and if it is no such object.
    """
    body = await read_body(response, most, peer)
    try:
        value = strict_json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = f"its answer is no JSON ({type(error).__name__})"
        raise OriginUnavailable(peer, reason) from error
    if not isinstance(value, dict):
        raise OriginUnavailable(peer, "its answer is no JSON object")
    return value
