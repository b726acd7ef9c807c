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
    "Conflict",
    "Forbidden",
    "GlancetxError",
    "IdentityUnavailable",
    "ImageExists",
    "ImageInUse",
    "LeaseConflict",
    "MemberExists",
    "NoSuchImage",
    "NoSuchLease",
    "NoSuchMember",
    "NoSuchPiece",
    "NoSuchTag",
    "NotAuthenticated",
    "OriginUnavailable",
    "PieceCorrupt",
    "PieceTruncated",
    "ReaderGone",
    "StoreFull",
    "StoreUnavailable",
    "TooMany",
    "UnknownOrigin",
    "WrongFormat",
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
    """
    The database of image records cannot be used now. Nothing was changed, unless the
    connection to it broke in the very moment of a commit: then nobody knows.

    :ivar detail: what only the operator may know, such as where it should be.
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"the catalogue is not available: {self.reason}"


@dataclass(eq=False)
class NotAuthenticated(GlancetxError):
    """The caller has not shown who he is, or not so that it can be believed."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class IdentityUnavailable(GlancetxError):
    """Whoever knows the callers cannot be asked now, so nobody is let in."""

    reason: str

    def __str__(self) -> str:
        return f"identities cannot be checked now: {self.reason}"


@dataclass(eq=False)
class Forbidden(GlancetxError):
    """The caller knows of the image, but may not do this."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class TooMany(GlancetxError):
    """A limit on how many there may be is reached."""

    field: str
    limit: int

    def __str__(self) -> str:
        return f"{self.field}: at most {self.limit} are allowed"


@dataclass(eq=False)
class WrongFormat(GlancetxError):
    """The bytes are not what they were declared to be, or are not safe to keep."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


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
class NoSuchMember(GlancetxError):
    """The image is not shared with this project, as far as the caller may know."""

    image_id: str
    project: str

    def __str__(self) -> str:
        return f"image {self.image_id} is not shared with project {self.project}"


@dataclass(eq=False)
class MemberExists(GlancetxError):
    """The image is shared with this project already."""

    image_id: str
    project: str

    def __str__(self) -> str:
        return f"image {self.image_id} is shared with project {self.project} already"


@dataclass(eq=False)
class NoSuchTag(GlancetxError):
    """The image does not have this tag."""

    image_id: str
    tag: str

    def __str__(self) -> str:
        return f"image {self.image_id} does not have the tag {self.tag}"


@dataclass(eq=False)
class NoSuchLease(GlancetxError):
    """Nobody of this name has a lease of the image."""

    image_id: str
    holder: str

    def __str__(self) -> str:
        return f"image {self.image_id} has no lease of {self.holder}"


@dataclass(eq=False)
class Conflict(GlancetxError):
    """What is asked for does not fit to what the image is now."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class LeaseConflict(Conflict):
    """The lease cannot be given as it is asked for."""


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
    """
    Other images are differences to this one.

    :ivar children: those that are known here.
    :ivar holders: sentences about servers whose images are.
    :ivar others: how many children there are beside those that are named.
    """

    image_id: str
    children: tuple[str, ...]
    holders: tuple[str, ...] = ()
    others: int = 0

    def __str__(self) -> str:
        reasons = []
        if self.children or self.others:
            named = [", ".join(self.children)] if self.children else []
            others = [f"{self.others} other images"] if self.others else []
            reasons.append(
                f"is the parent of {' and '.join(named + others)}; delete those first"
            )
        if self.holders:
            reasons.append(f"is leased by {', '.join(self.holders)}")
        return f"image {self.image_id} {'; it '.join(reasons)}"


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
