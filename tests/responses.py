# Copyright glancetx contributors. See LICENSE for details.

"""
Answers of HTTP servers, as ``twisted.web.client`` hands them on, without a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IClientRequest, IResponse
from zope.interface import implementer

__all__ = ["FakeResponse"]


@implementer(IPushProducer)
class _Connection:
    """
    What the body's protocol sees as its transport.

    :ivar calls: what it was told, in order.
    """

    disconnecting = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")

    def loseConnection(self) -> None:
        self.calls.append("close")


@implementer(IResponse)
class FakeResponse:
    """
    An answer whose body a test brings.

    What is fed before somebody takes the body is kept for him, as twisted.web does.

    :ivar connection: what became of the connection.
    """

    version = (b"HTTP", 1, 1)
    phrase = b"whatever"
    request: IClientRequest
    previousResponse: IResponse | None = None

    def __init__(
        self,
        code: int = 200,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """:param length: ``None`` if the server does not say."""
        self.code = code
        self.headers = Headers()
        for name, value in (headers or {}).items():
            self.headers.addRawHeader(name.encode("ascii"), value.encode("utf-8"))
        self.length: Any = UNKNOWN_LENGTH if length is None else length
        self.connection = _Connection()
        self._protocol: IProtocol | None = None
        self._early: list[bytes] = []
        self._ended: Failure | None = None

    @property
    def over(self) -> bool:
        """The body came to an end."""
        return self._ended is not None

    @property
    def closed(self) -> bool:
        """The reader of the body closed the connection."""
        return "close" in self.connection.calls

    @property
    def paused(self) -> bool:
        """The reader of the body does not want more now."""
        moves = [call for call in self.connection.calls if call in ("pause", "resume")]
        return moves[-1:] == ["pause"]

    def deliverBody(self, protocol: IProtocol) -> None:
        assert self._protocol is None, "the body is taken twice"
        self._protocol = protocol
        transport: Any = self.connection
        protocol.makeConnection(transport)
        for data in self._early:
            protocol.dataReceived(data)
        if self._ended is not None:
            protocol.connectionLost(self._ended)

    def setPreviousResponse(self, response: IResponse) -> None:
        self.previousResponse = response

    def feed(self, *chunks: bytes) -> None:
        """Bytes of the body come."""
        for data in chunks:
            if self._protocol is None:
                self._early.append(data)
            else:
                self._protocol.dataReceived(data)

    def end(self, reason: Exception | None = None) -> None:
        """The body is complete, or ends as ``reason`` says."""
        self._ended = Failure(reason or ResponseDone())
        if self._protocol is not None:
            self._protocol.connectionLost(self._ended)

    def break_off(self) -> None:
        """The connection is lost before the body is complete."""
        self.end(ResponseFailed([Failure(ConnectionDone())]))
