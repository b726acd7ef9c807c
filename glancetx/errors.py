# Copyright glancetx contributors. See LICENSE for details.

"""
Facts that can go wrong, in the words of the domain.

The web layer alone turns them into HTTP statuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "BadValue",
    "BodyLost",
    "CatalogueUnavailable",
    "ConditionFailed",
    "ConfigError",
    "GlancetxError",
    "ImageExists",
    "ImageInUse",
    "NoSuchImage",
    "NoSuchPiece",
    "OriginUnavailable",
    "PieceCorrupt",
    "PieceTruncated",
    "ReaderGone",
    "StoreFull",
    "StoreUnavailable",
    "UnknownOrigin",
    "WrongState",
]


class GlancetxError(Exception):
    """What every error of this package is."""


@dataclass(eq=False)
class BadValue(GlancetxError):
    """The caller gave a value that cannot be used."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


@dataclass(eq=False)
class ConditionFailed(GlancetxError):
    """The image's bytes are not those that the caller means."""

    image_id: str

    def __str__(self) -> str:
        return f"image {self.image_id} does not have the bytes that the request names"


@dataclass(eq=False)
class ConfigError(GlancetxError):
    """The configuration cannot be used; the server does not start."""

    source: str
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.problem}"


@dataclass(eq=False)
class CatalogueUnavailable(GlancetxError):
    """The database of image records cannot be used now; nothing was changed."""

    reason: str

    def __str__(self) -> str:
        return f"the catalogue is not available: {self.reason}"


@dataclass(eq=False)
class NoSuchImage(GlancetxError):
    """No image with this id exists, or the caller may not know of it."""

    image_id: str

    def __str__(self) -> str:
        return f"no image {self.image_id}"


@dataclass(eq=False)
class ImageExists(GlancetxError):
    """The id is taken, or was taken once by an image since deleted."""

    image_id: str

    def __str__(self) -> str:
        return (
            f"the id {self.image_id} is or was taken, and ids never come back; "
            "choose another, or leave it out to be given one"
        )


@dataclass(eq=False)
class WrongState(GlancetxError):
    """The image is in a state that does not allow this."""

    image_id: str
    status: str
    needed: str

    def __str__(self) -> str:
        return f"image {self.image_id} is {self.status}, not {self.needed}"


@dataclass(eq=False)
class ImageInUse(GlancetxError):
    """Other images known here are differences to this one."""

    image_id: str
    children: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"image {self.image_id} is the parent of {', '.join(self.children)}; "
            "delete those first"
        )


@dataclass(eq=False)
class StoreFull(GlancetxError):
    """A store has no room left for these bytes."""

    store: str

    def __str__(self) -> str:
        return f"store {self.store} is full; nothing of the upload was kept"


@dataclass(eq=False)
class StoreUnavailable(GlancetxError):
    """A store cannot be used now, or is no longer configured."""

    store: str
    reason: str

    def __str__(self) -> str:
        return f"store {self.store} is not available: {self.reason}"


@dataclass(eq=False)
class NoSuchPiece(GlancetxError):
    """The storage does not have this piece."""

    key: str

    def __str__(self) -> str:
        return f"no piece {self.key}"


@dataclass(eq=False)
class PieceTruncated(GlancetxError):
    """A piece ended before all of its bytes came."""

    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"piece {self.name} ended at {self.offset} of {self.size} bytes"


@dataclass(eq=False)
class PieceCorrupt(GlancetxError):
    """A piece's bytes are not those that its record promises."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"piece {self.name} is not what was stored: {self.problem}"


@dataclass(eq=False)
class OriginUnavailable(GlancetxError):
    """Another image server did not answer, or not with what was asked for."""

    origin: str
    reason: str

    def __str__(self) -> str:
        return f"origin {self.origin} is not available: {self.reason}"


@dataclass(eq=False)
class UnknownOrigin(GlancetxError):
    """An image's chain leads to a server that is no longer configured."""

    origin: str

    def __str__(self) -> str:
        return f"origin {self.origin} is not (or no longer) in the configuration"


class ReaderGone(GlancetxError):
    """The consumer left before it had every byte."""


@dataclass(eq=False)
class BodyLost(GlancetxError):
    """The client left, or broke the protocol, before its body was complete."""

    reason: str = field(default="the connection was lost")

    def __str__(self) -> str:
        return f"the upload ended early: {self.reason}"
