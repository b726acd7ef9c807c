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

from .directory import Directory, Place
from .records import ImageRecord, Manifest

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
        place = self.directory.locate(image)
        piece = self._own(place, await self.directory.head(place))
        await piece.produce(consumer, start, piece.size)

    async def play_joined(self, image: str, consumer: IConsumer, start: int) -> None:
        """The whole chain, joined by the image's server."""
        place = self.directory.locate(image)
        piece = self._joined(place, await self.directory.chain(place))
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
            place = self.directory.locate(following)
            record = await self.directory.head(place)
            piece = self._own(place, record)
            if piece.name in pieces:
                raise BadValue("parent_id", f"{piece.name} is a parent of itself")
            if len(pieces) == self.limits.chain_depth:
                raise BadValue(
                    "parent_id", f"more than {len(pieces)} images in a chain"
                )
            pieces[piece.name] = piece
            following = record.parent
        return list(pieces.values())

    def _own(self, place: Place, record: ImageRecord) -> RemotePiece:
        if record.size is None or record.digest is None:
            raise WrongState(record.id, record.status, Status.ACTIVE)
        etag = own_etag(record.digest)
        checks = [Check(0, record.size, record.digest)]
        return self._piece(place, "", record.size, checks, etag)

    def _joined(self, place: Place, manifest: Manifest) -> RemotePiece:
        checks = [
            Check(piece.offset, piece.stop, piece.digest)
            for piece in manifest.pieces
            if piece.size
        ]
        return self._piece(place, "/stream", manifest.size, checks, None)

    def _piece(
        self,
        place: Place,
        layout: str,
        size: int,
        checks: list[Check],
        etag: bytes | None,
    ) -> RemotePiece:
        path = place.path + layout
        return RemotePiece(
            place.connection.url + path,
            size,
            place.connection.asker(path + place.query, size, etag),
            self.digests,
            self.clock,
            checks=checks,
            etag=etag,
            idle_seconds=self.limits.origin_seconds,
            tries=self.limits.origin_tries,
        )
