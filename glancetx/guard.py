# Copyright glancetx contributors. See LICENSE for details.

"""
What stands between twisted.web's HTTP client and the network.

Written against Twisted 26.10: when the client pauses and resumes its transport is told
here where it matters, and tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IProducer,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .lowwater import AFTER, LowWaterMark

__all__ = ["AnswerTooLarge", "GuardedEndpoint", "Share"]


class AnswerTooLarge(ConnectionAborted):
    """The headers of an answer are without end."""


class Share:
    """
    Bounds what all connections together take from their sockets at once: as much as
    was said for each while they are few, then less the more there are.
    """

    def __init__(self, together: int, least: int) -> None:
        """:param least: bytes for each, however many they are."""
        self._together = together
        self._least = least
        self._members = 0

    def join(self) -> None:
        """A connection was opened."""
        self._members += 1

    def leave(self) -> None:
        """It is gone."""
        self._members -= 1

    def of(self, most: int) -> int:
        """How many bytes a connection may take that was told ``most``."""
        return min(most, max(self._least, self._together // self._members))


class _Guard(ProtocolWrapper):
    """
    Stands between the client's protocol and the network.

    Sets how much is received at once, at most and at least, and cuts a peer whose
    headers do not end. To close is to abort: a client that closes wants no more of an
    answer, or has all of it, and a TLS connection that is paused would wait for the
    peer's farewell.
    """

    factory: _GuardFactory
    transport: Any
    _awaited = False
    _received = 0
    _sending = False

    def makeConnection(self, transport: ITransport) -> None:
        self._socket: Any = transport
        while isinstance(self._socket, ProtocolWrapper):  # TLS
            self._socket = self._socket.transport
        self._mark = LowWaterMark(self._socket, self.factory.clock)
        self.factory.share.join()
        self._set_size()
        super().makeConnection(transport)

    def _set_size(self) -> None:
        self._socket.bufferSize = self.factory.share.of(self.factory.receive)

    def write(self, data: bytes) -> None:
        self._await()
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self._await()
        super().writeSequence(data)

    def _await(self) -> None:
        if not self._awaited:
            self._awaited, self._received = True, 0
            self._mark.lower()

    # While the body of a request is being sent, twisted.web's client has a producer
    # registered. It hands on an answer only when the request is out, or the answer
    # complete: so a refusal in the middle of an upload must be read to its end.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self._sending = True
        super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._sending = False
        super().unregisterProducer()

    # twisted.web's client pauses the transport when the headers are complete and a
    # body follows, and resumes it when an answer is over.

    def pauseProducing(self) -> None:
        if self._sending:
            return
        self._awaited = False
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._awaited = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        self._set_size()
        if self._received > AFTER and not self._awaited:
            self._mark.lift(self._socket.bufferSize)
        super().dataReceived(data)
        if self._awaited and self._received > self.factory.header_bytes:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.factory.share.leave()
        self._mark.forget()
        if self._awaited and self._received > self.factory.header_bytes:
            reason = Failure(
                AnswerTooLarge(
                    f"more than {self.factory.header_bytes} bytes of headers"
                )
            )
        super().connectionLost(reason)


class _GuardFactory(WrappingFactory[_Guard]):
    protocol = _Guard
    noisy = False

    def __init__(
        self,
        wrapped: IProtocolFactory,
        receive: int,
        header_bytes: int,
        share: Share,
        clock: IReactorTime,
    ) -> None:
        super().__init__(wrapped)
        wrapped.noisy = False  # type: ignore[attr-defined]  # two lines a connection
        self.receive = receive
        self.share = share
        self.header_bytes = header_bytes
        self.clock = clock


@implementer(IStreamClientEndpoint)
@frozen
class GuardedEndpoint:
    """
    Puts a guard on each connection of another endpoint.

    :ivar receive: how many bytes are taken from a socket at once, at most.
    :ivar header_bytes: how many the headers of an answer may have.
    :ivar share: of all connections that are counted together.
    """

    wrapped: IStreamClientEndpoint
    receive: int
    header_bytes: int
    share: Share
    clock: IReactorTime

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        guards = _GuardFactory(
            factory, self.receive, self.header_bytes, self.share, self.clock
        )
        connected: Deferred[Any] = self.wrapped.connect(guards)
        return connected.addCallback(lambda guard: guard.wrappedProtocol)
