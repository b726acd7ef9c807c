# Copyright glancetx contributors. See LICENSE for details.

"""
Long answers, read in few large pieces.

A peer that writes 64 KiB at a time, as a Swift proxy does, wakes this process for each
of them, which wakes its own reader in turn: of 1.6 s of CPU for a relayed GiB 1 s was
spent so.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["AFTER", "MARK", "SECONDS", "LowWaterMark"]

AFTER = 8 * 1024 * 1024
"""Bytes of an answer after which it is a long one: a short one is never delayed."""

MARK = 512 * 1024
"""Bytes that the kernel collects before it says that there are any, at most."""

SECONDS = 0.005
"""How long a byte waits for others: the last ones of an answer do."""


class LowWaterMark:
    """
    The receive low-water mark of one connection, ``SO_RCVLOWAT`` in socket(7).

    The kernel does not wait for it when the peer has closed, or when it has no room
    for so many bytes.
    """

    def __init__(self, transport: Any, clock: IReactorTime) -> None:
        """:param transport: of TCP, with the socket that is read."""
        self._transport = transport
        self._clock = clock
        self._count = 1
        self._timer: IDelayedCall | None = None

    def lift(self, most: int) -> None:
        """
        More of a long answer came: let what follows be collected.

        :param most: bytes that are read at once; more would be left waiting.
        """
        self._set(min(most, MARK))
        if self._timer is None:
            self._timer = self._clock.callLater(SECONDS, self.lower)
        else:
            self._timer.reset(SECONDS)

    def lower(self) -> None:
        """Read whatever comes, at once."""
        if self._timer is not None:
            self.forget()
            self._set(1)

    def forget(self) -> None:
        """The connection is gone. Idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _set(self, count: int) -> None:
        if count == self._count:
            return
        self._count = count
        sock = self._transport.getHandle()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
