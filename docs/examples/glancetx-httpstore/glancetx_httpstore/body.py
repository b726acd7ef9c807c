# Copyright glancetx contributors. See LICENSE for details.

"""
The body of an answer, taken in chunks by one who may be slow.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Body"]


class Body(Protocol):
    """
    Gets a body by ``response.deliverBody``, and hands it on when it is asked to.

    Between two chunks the connection is paused: what its reader does not take stays
    with the server.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        """:param seconds: how long the server may be silent."""
        self._clock = clock
        self._seconds = seconds
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self._waiting: Deferred[None] | None = None

    async def next(self) -> bytes:
        """
        The next bytes; none at the end, whichever it is.

        Whether all that was asked for came by then, the caller must count: a server
        that dies may end an answer like one that has no more.
        """
        while not self._chunks and not self._ended:
            self.transport.resumeProducing()
            self._waiting = Deferred()
            try:
                await self._waiting.addTimeout(self._seconds, self._clock)
            except TimeoutError:
                self.close()
            finally:
                self._waiting = None
        return self._chunks.popleft() if self._chunks else b""

    def close(self) -> None:
        """Take no more."""
        if not self._ended:
            self._ended = True
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)
        self.transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)
