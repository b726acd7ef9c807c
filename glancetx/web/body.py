# Copyright glancetx contributors. See LICENSE for details.

"""
The body of a request, as it arrives: read by a route while the client still sends.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from glancetx.errors import BodyLost

__all__ = ["BATCH", "Body", "Flow"]

BATCH = 64 * 1024
"""Bytes that a batch has at least, unless it is the last one."""


class Flow(Protocol):
    """What a body asks of the connection that it arrives on."""

    def hold_body(self) -> None:
        """Stop reading from the client."""

    def release_body(self) -> None:
        """Read again."""

    def want_body(self) -> None:
        """The body is read for the first time: say so to a client that waits."""


class Body:
    """
    What a client sends behind its headers.

    Nothing is read from the connection beyond a window until somebody reads here.

    :ivar length: how many bytes were announced; ``None`` if it is chunked.
    :ivar expected: ``False`` if no body was announced, or an empty one.
    :ivar received: how many bytes came so far.
    :ivar queued: how many of them were not read yet.
    :ivar complete: every byte came, and the mark of the end.
    """

    def __init__(self, length: int | None, window: int, flow: Flow | None) -> None:
        """
        :param window: bytes that may be queued before the client is held back.
        :param flow: the connection; ``None`` if there is no body.
        """
        self.length = length
        self.expected = length != 0
        self.received = 0
        self.queued = 0
        self.complete = not self.expected
        self._window = window
        self._batch = min(BATCH, window)
        self._flow = flow
        self._chunks: list[bytes] = []
        self._wanted = False
        self._held = False
        self._lost: BodyLost | None = None
        self._reader: Deferred[None] | None = None

    async def read(self) -> bytes:
        """
        The next batch, ``b""`` at the end and ever after.

        At the first call a client that waits for ``100 Continue`` is told to go on.

        :returns: all that is queued: 64 KiB or more (less in the last one), about
            ``upload_window`` at most.
        :raises BodyLost: if the client left or broke the protocol before the end.
        :raises RuntimeError: if another read is still waiting.
        """
        if self._reader is not None:
            raise RuntimeError("a body has one reader at a time")
        self._want()
        if not self._ready():
            self._reader = Deferred(self._cancelled)
            await self._reader
        if self._lost is not None:
            raise self._lost
        return self._take()

    def feed(self, data: bytes) -> None:
        """
        Bytes came.

        The last ones of a known length wake nobody: the end, which follows at once,
        does, so that an answer to it finds the connection between two requests.
        """
        self.received += len(data)
        if self._lost is not None:
            return
        self._chunks.append(data)
        self.queued += len(data)
        if self.received != self.length and self._ready():
            self._wake()
        if self.queued > self._window and not self._held and self._flow is not None:
            self._held = True
            self._flow.hold_body()

    def end(self) -> None:
        """The body came to its proper end."""
        self.complete = True
        self._wake()

    def lose(self, why: BodyLost, wake: bool = True) -> None:
        """
        The rest will not come, and what is queued is of no use.

        :param wake: ``False`` to leave a waiting reader to who cancels it; it is
            told why all the same. Call again to wake it.
        """
        if self.complete:
            return
        if self._lost is None:
            self._lost = why
            self._chunks, self.queued = [], 0
        if wake:
            self._wake()

    def _ready(self) -> bool:
        return self.complete or self._lost is not None or self.queued >= self._batch

    def _want(self) -> None:
        if not self._wanted:
            self._wanted = True
            if self._flow is not None and not self.complete and self._lost is None:
                self._flow.want_body()

    def _take(self) -> bytes:
        chunks, self._chunks, self.queued = self._chunks, [], 0
        if self._held and self._flow is not None:
            self._held = False
            if not self.complete:
                self._flow.release_body()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)

    def _cancelled(self, reader: Deferred[None]) -> None:
        self._reader = None
        if self._lost is not None:
            reader.errback(self._lost)
