# Copyright glancetx contributors. See LICENSE for details.

"""
Servers on loopback for tests: they count, remember, misbehave on demand, and end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

__all__ = ["Asked", "Loopback", "RawServer"]


class _Counting(WrappingFactory[ProtocolWrapper]):
    noisy = False
    accepted = 0
    emptied: Deferred[None] | None = None

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        self.accepted += 1
        super().registerProtocol(p)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        waiting, self.emptied = self.emptied, None
        if waiting is not None:
            waiting.callback(None)


class Loopback:
    """
    A server on a free port of 127.0.0.1.

    :ivar port: its number.
    """

    def __init__(
        self,
        reactor: Any,
        factory: IProtocolFactory,
        context: object = None,
        host: str = "127.0.0.1",
    ) -> None:
        """
        :param context: a TLS context factory, if it speaks TLS.
        :param host: what :attr:`url` calls it.
        """
        self._counting = _Counting(factory)
        listening: IListeningPort
        if context is None:
            listening = reactor.listenTCP(0, self._counting, interface="127.0.0.1")
        else:
            listening = reactor.listenSSL(
                0, self._counting, context, interface="127.0.0.1"
            )
        address: Any = listening.getHost()
        self.port: int = address.port
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://{host}:{self.port}"
        self._listening = listening

    @property
    def accepted(self) -> int:
        """How many connections it took."""
        return self._counting.accepted

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._counting.protocols)

    async def emptied(self) -> None:
        """Wait until no connection is open."""
        while self.open:
            self._counting.emptied = Deferred()
            await self._counting.emptied

    async def close(self) -> None:
        """Listen no more; what is open stays open."""
        closed: Any = self._listening.stopListening()
        if closed is not None:
            await closed

    def cut(self) -> None:
        """Reset what is open."""
        for protocol in list(self._counting.protocols):
            transport: Any = protocol.transport
            transport.abortConnection()

    async def stop(self) -> None:
        """End everything, and wait until it did."""
        await self.close()
        self.cut()
        await self.emptied()


@frozen
class Asked:
    """One request as it came; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Asked:
        first, *lines = head.decode("utf-8").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} came twice"
            headers[name.lower()] = value
        return cls(method, target, headers)


Answer = Callable[[Asked, Any], bytes]
"""Given a request and its transport: the bytes to answer with."""


class _Raw(Protocol):
    factory: RawServer
    transport: Any

    def __init__(self) -> None:
        self._buffer = b""

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            asked = Asked.parse(head)
            self.factory.asked.append(asked)
            self.transport.write(self.factory.answer(asked, self.transport))

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._buffer = b""


class RawServer(Factory):
    """
    Answers requests without bodies with any bytes at all.

    :ivar asked: what came, in order.
    """

    noisy = False

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = _Raw()
        protocol.factory = self
        return protocol
