# Copyright glancetx contributors. See LICENSE for details.

"""
What the objects of a piece are called, told from its key alone.

The piece is the object ``KEY``; its segments, if it has any, are ``KEY/000001`` and so
on, in the same container. A key is never used twice, so no name is; and since each name
is known from the key, nothing depends on listings, which lag behind in Swift.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Names"]

SHARDS = 256


@frozen
class Names:
    """
    The names of one store. A path is ``CONTAINER/OBJECT``, not quoted.

    :ivar prefix: what the names of all containers begin with.
    """

    prefix: str

    def container(self, key: str) -> str:
        """The container of all that belongs to a key: one of 256, by its beginning."""
        return f"{self.prefix}{key[:2]}"

    def containers(self) -> list[str]:
        """All containers."""
        return [f"{self.prefix}{shard:02x}" for shard in range(SHARDS)]

    def piece(self, key: str) -> str:
        """The object that is the piece, or its manifest."""
        return f"{self.container(key)}/{key}"

    def segment(self, key: str, number: int) -> str:
        """A part of the piece's bytes; they are counted from 1."""
        return f"{self.piece(key)}/{number:06d}"

    def part(self, key: str, number: int) -> str:
        """A manifest of segments that is itself a segment of the piece's manifest."""
        return f"{self.piece(key)}/part-{number:06d}"
