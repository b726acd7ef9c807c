# Copyright glancetx contributors. See LICENSE for details.

"""
Reads pieces. Swift ends an answer cleanly when it runs out of replicas, however short
it is: so bytes are counted, and what is missing is asked for again, by another proxy.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from glancetx.errors import (
    NoSuchPiece,
    OriginUnavailable,
    PieceCorrupt,
    PieceTruncated,
    StoreUnavailable,
)
from glancetx.interfaces import IPiece, Tools
from glancetx.streaming.digest import Digests
from glancetx.streaming.relay import RemotePiece

from .calls import Calls, Response
from .readers import Readers

__all__ = ["Piece"]

IDLE = 60
"""Seconds without a byte after which another proxy is asked. A proxy itself needs 20 to
find out that two object servers hang."""

ANSWER = 600
"""Seconds for an answer: no bound, since each request has one, of all its tries."""

OK = 200
PARTIAL = 206
MISSING = 404
CONFLICT = 409
CHANGED = 412
BEYOND = 416


@implementer(IPiece)
class Piece:
    """A piece in Swift."""

    def __init__(
        self,
        calls: Calls,
        readers: Readers,
        tools: Tools,
        path: str,
        key: str,
        size: int,
    ) -> None:
        """:param path: where it lies: container and object."""
        self.size = size
        self.path = path
        self.key = key
        self.calls = calls
        self.tools = tools
        self.seen = readers.seen
        self._readers = readers

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return Deferred.fromCoroutine(self._produce(consumer, start, stop))

    async def _produce(self, consumer: IConsumer, start: int, stop: int) -> None:
        self._readers.begin(self.key)
        try:
            reading = _Reading(self)
            if start == stop:
                await reading.look(stop)
            await reading.remote().produce(consumer, start, stop)
        except OriginUnavailable as error:
            raise StoreUnavailable(self.tools.store, "it cannot be read") from error
        except PieceTruncated as error:
            self.tools.log.error(
                "store {store}: piece {key} is DAMAGED: of its {size} bytes those from "
                "{offset} on cannot be read",
                store=self.tools.store,
                key=self.key,
                size=self.size,
                offset=error.offset,
            )
            raise
        finally:
            self._readers.end(self.key)


class _Reading:
    """What one reader asks, and what was answered to him."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._proxy: str | None = None
        self._etag: bytes | None = None

    def remote(self) -> RemotePiece:
        tools: Any = self._piece.tools
        return RemotePiece(
            self._piece.key,
            self._piece.size,
            self._ask,
            Digests(tools.clock, tools.threads),  # nothing is checked, so nothing made
            tools.clock,
            idle_seconds=IDLE,
            answer_seconds=ANSWER,
        )

    async def look(self, stop: int) -> None:
        """
        See whether the piece is there, and so long.

        :raises NoSuchPiece: if it is not.
        :raises PieceTruncated: if it is shorter.
        """
        answer = await self._piece.calls.request(
            b"HEAD", self._piece.path, expect=(OK, MISSING, CONFLICT), newest=True
        )
        if answer.code == MISSING:
            raise NoSuchPiece(self._piece.key)
        if answer.code == CONFLICT:
            raise PieceTruncated(self._piece.key, 0, self._piece.size)
        found = int(answer.header(b"Content-Length") or 0)
        if found < self._piece.size:
            raise PieceTruncated(self._piece.key, found, self._piece.size)

    def _ask(self, start: int, stop: int) -> Deferred[IResponse]:
        return Deferred.fromCoroutine(self._get(start, stop))

    async def _get(self, start: int, stop: int) -> IResponse:
        piece = self._piece
        headers = Headers()
        if (start, stop) != (0, piece.size):
            headers.setRawHeaders(b"Range", [b"bytes=%d-%d" % (start, stop - 1)])
        if self._etag is not None:
            # Not If-Range: Swift does not look at it.
            headers.setRawHeaders(b"If-Match", [b'"%s"' % self._etag.strip(b'"')])
        # A replica may not know that the piece was removed: ask all of them, at first.
        newest = self._etag is None and not piece.seen.lately(piece.key)
        answer = await piece.calls.request(
            b"GET",
            piece.path,
            headers=headers,
            expect=(OK, PARTIAL, MISSING, CONFLICT, CHANGED, BEYOND),
            newest=newest,
            proxy_after=self._proxy,
        )
        self._proxy = answer.proxy
        try:
            self._check(answer, start)
        except Exception:
            answer.drop()
            raise
        self._etag = answer.header(b"ETag")
        if newest:
            piece.seen.note(piece.key)
        return answer.response

    def _check(self, answer: Response, start: int) -> None:
        """Let pass what there is of a whole piece, right or not."""
        piece = self._piece
        if answer.code == MISSING:
            raise NoSuchPiece(piece.key)
        if answer.code == CONFLICT:  # a segment is gone, or is another
            raise PieceTruncated(piece.key, start, piece.size)
        if answer.code == CHANGED:
            raise PieceCorrupt(piece.key, "it changed while it was read")
        found = _whole(answer)
        if found is not None and found < piece.size:
            raise PieceTruncated(piece.key, found, piece.size)
        if answer.code == BEYOND:
            raise PieceTruncated(piece.key, start, piece.size)


def _whole(answer: Response) -> int | None:
    """How many bytes the whole has, of which this is an answer."""
    if answer.code == OK:
        return answer.length
    size = (answer.header(b"Content-Range") or b"").rpartition(b"/")[2]
    return int(size) if size.isdigit() else None
