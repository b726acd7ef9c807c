# Copyright glancetx contributors. See LICENSE for details.

"""
A reactor that opens no connection, and remembers which it would have opened.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["FakeReactor", "FakeTransport", "Resolver"]


@implementer(IHostResolution)
class _Resolution:
    name = "done"

    def cancel(self) -> None:
        raise NotImplementedError("it is over at once")


@implementer(IHostnameResolver)
class Resolver:
    """
    Answers at once, with the next list of addresses; when these are used up, with
    ``always``, or without that with what the C library makes of a number.
    """

    def __init__(self, answers: list[list[str]], always: str | None = None) -> None:
        self._answers = answers
        self._always = always

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution()
        resolutionReceiver.resolutionBegan(resolution)
        for host in self._answer(hostName):
            kind = IPv6Address if ":" in host else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", host, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    def _answer(self, name: str) -> list[str]:
        if self._answers:
            return self._answers.pop(0)
        return _numbers(name) if self._always is None else [self._always]


def _numbers(host: str) -> list[str]:
    """What the C library makes of a number; it asks nobody."""
    try:
        found = socket.getaddrinfo(
            host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        return []
    return [str(entry[4][0]) for entry in found]


class FakeSocket:
    """
    A socket that is told something.

    :ivar options: level, option and value, as they were set.
    """

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))


class FakeTransport(StringTransport):
    """
    Ends as a socket does: its protocol hears of that in the reactor's next turn.

    :ivar protocol: whose transport it is.
    :ivar socket: what is below it, until the connection is gone.
    """

    bufferSize = 0
    aborting = False

    def __init__(self, reactor: MemoryReactorClock, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.socket = FakeSocket()
        self._reactor = reactor

    def getHandle(self) -> FakeSocket:
        assert self.connected
        return self.socket

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is sent."""

    def loseConnection(self) -> None:
        self.end(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborting = True
        self.end(ConnectionAborted())

    def end(self, error: Exception) -> None:
        """End the connection."""
        if self.connected:
            self.connected = False
            self._reactor.callLater(0, self.protocol.connectionLost, Failure(error))


class FakeReactor(MemoryReactorClock):
    """
    Notes in ``tcpClients`` what it would have opened.

    Names resolve to what the test says, a list of addresses for each look-up; when
    these are used up, to what the C library makes of a number.
    """

    def __init__(self, *answers: list[str]) -> None:
        super().__init__()
        self.nameResolver = Resolver(list(answers))

    @property
    def targets(self) -> list[str]:
        """The addresses to which a packet would have left."""
        return [client[0] for client in self.tcpClients]

    def accept(self) -> FakeTransport:
        """Let the newest connection be made."""
        factory: Any = self.tcpClients[-1][2]
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
        transport = FakeTransport(self, protocol)
        protocol.makeConnection(transport)
        return transport
