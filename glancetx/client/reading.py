# Copyright glancetx contributors. See LICENSE for details.

"""
An image's bytes and those of its parents, from the servers that have them.
"""

from __future__ import annotations

from attrs import frozen
from twisted.internet.interfaces import IConsumer, IReactorTime

from glancetx.errors import BadValue, WrongState
from glancetx.image import Status
from glancetx.layouts import own_etag
from glancetx.limits import Limits
from glancetx.streaming.digest import Digests
from glancetx.streaming.player import Player
from glancetx.streaming.relay import RemotePiece
from glancetx.streaming.segments import Segments, Slice
from glancetx.streaming.verify import Check

from .directory import Directory
from .records import ImageRecord, Manifest
from .servers import Connection

__all__ = ["Reader"]


@frozen
class Reader:
    """
    Streams pieces into consumers; every byte is proved before the last one goes.

    :ivar directory: finds the server of an image.
    """

    directory: Directory
    player: Player
    digests: Digests
    clock: IReactorTime
    limits: Limits

    async def play_piece(self, image: str, consumer: IConsumer, start: int) -> None:
        """The image's own piece, from byte ``start``."""
        connection, image_id = self.directory.locate(image)
        record = await self.directory.head(connection, image_id)
        piece = self._own(connection, record)
        await piece.produce(consumer, start, piece.size)

    async def play_joined(self, image: str, consumer: IConsumer, start: int) -> None:
        """The whole chain, joined by the image's server."""
        connection, image_id = self.directory.locate(image)
        manifest = await self.directory.chain(connection, image_id)
        piece = self._joined(connection, image_id, manifest)
        await piece.produce(consumer, start, piece.size)

    async def play_followed(self, image: str, consumer: IConsumer, start: int) -> None:
        """The whole chain, each piece from the server that its child names."""
        segments = Segments(
            [Slice(piece, 0, piece.size) for piece in await self._follow(image)]
        )
        playback = await self.player.open(segments.cut(start, segments.length))
        try:
            await playback.play(consumer)
        finally:
            playback.close()

    async def _follow(self, image: str) -> list[RemotePiece]:
        """
        :raises BadValue: if the chain has a circle, or is too long.
        :raises NotTrusted: if it leads to a server that nobody told us to trust.
        """
        pieces: dict[str, RemotePiece] = {}
        following: str | None = image
        while following is not None:
            connection, image_id = self.directory.locate(following)
            record = await self.directory.head(connection, image_id)
            piece = self._own(connection, record)
            if piece.name in pieces:
                raise BadValue("parent_id", f"{piece.name} is a parent of itself")
            if len(pieces) == self.limits.chain_depth:
                raise BadValue(
                    "parent_id", f"more than {len(pieces)} images in a chain"
                )
            pieces[piece.name] = piece
            following = record.parent
        return list(pieces.values())

    def _own(self, connection: Connection, record: ImageRecord) -> RemotePiece:
        if record.size is None or record.digest is None:
            raise WrongState(record.id, record.status, Status.ACTIVE)
        etag = own_etag(record.digest)
        checks = [Check(0, record.size, record.digest)]
        path = f"/images/{record.id}"
        return self._piece(connection, path, record.size, checks, etag)

    def _joined(
        self, connection: Connection, image_id: str, manifest: Manifest
    ) -> RemotePiece:
        checks = [
            Check(piece.offset, piece.stop, piece.digest)
            for piece in manifest.pieces
            if piece.size
        ]
        path = f"/images/{image_id}/stream"
        return self._piece(connection, path, manifest.size, checks, None)

    def _piece(
        self,
        connection: Connection,
        path: str,
        size: int,
        checks: list[Check],
        etag: bytes | None,
    ) -> RemotePiece:
        return RemotePiece(
            connection.url + path,
            size,
            connection.asker(path, size, etag),
            self.digests,
            self.clock,
            checks=checks,
            etag=etag,
            idle_seconds=self.limits.origin_seconds,
            tries=self.limits.origin_tries,
        )
