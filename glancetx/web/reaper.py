# Copyright glancetx contributors. See LICENSE for details.

"""
Cuts readers that stopped reading.

``twisted.web`` has no timer for writing. What the kernel took says little, since its
buffers hide a stalled reader; progress is what the reader's own kernel acknowledged.
"""

from __future__ import annotations

import socket
import struct
import termios
from collections.abc import Callable, Collection
from fcntl import ioctl
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper

__all__ = ["Reaper", "Watched", "socket_of", "unacknowledged"]

ROUNDS = 6
"""How often a reader is looked at during the time that it may stall."""


class Watched(Protocol):
    """A connection that may have an answer on its way."""

    def outstanding(self) -> tuple[int, int] | None:
        """
        Bytes sent so far and bytes not acknowledged; ``None`` if all of them are,
        since then nobody waits for the reader.
        """

    def stalled(self) -> None:
        """The reader made no progress for too long: cut it."""


class Reaper:
    """Looks at all connections again and again while there are any."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        stall_seconds: float,
        connections: Callable[[], Collection[Watched]],
    ) -> None:
        """
        :param stall_seconds: without progress until a reader is cut.
        :param connections: whom to look at.
        """
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._connections = connections
        self._seen: dict[Watched, tuple[tuple[int, int], float]] = {}
        self._loop = LoopingCall(self.check)
        self._loop.clock = clock

    def start(self) -> None:
        """Look from now on. Idempotent."""
        if not self._loop.running:
            self._loop.start(self._stall_seconds / ROUNDS, now=False)

    def stop(self) -> None:
        """Look no more. Idempotent."""
        self._seen = {}
        if self._loop.running:
            self._loop.stop()

    def check(self) -> None:
        """Look once."""
        now = self._clock.seconds()
        seen = {}
        for connection in tuple(self._connections()):
            mark = self._mark(connection)
            if mark is None:
                continue
            old, since = self._seen.get(connection, (mark, now))
            if old != mark:
                since = now
            if now - since >= self._stall_seconds:
                connection.stalled()
            else:
                seen[connection] = mark, since
        self._seen = seen

    def _mark(self, connection: Watched) -> tuple[int, int] | None:
        try:
            return connection.outstanding()
        except OSError:  # one odd socket must not stop the watch over all others
            self.log.failure("{connection} cannot be watched", connection=connection)
            return None


def socket_of(transport: Any) -> socket.socket | None:
    """The socket below a transport, through TLS and other wrappers, if it has one."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    found = getattr(transport, "socket", None)
    return found if isinstance(found, socket.socket) else None


def unacknowledged(sock: socket.socket) -> int:
    """
    Bytes handed to the kernel that the peer's kernel has not acknowledged.

    :raises OSError: if the socket is closed, or not of TCP.
    """
    (count,) = struct.unpack("i", ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    return int(count)
