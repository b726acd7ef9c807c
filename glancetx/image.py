# Copyright glancetx contributors. See LICENSE for details.

"""
The record of one image: its fields, its states and their lawful changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from attrs import evolve, field, frozen

from .errors import WrongState

__all__ = [
    "Digest",
    "LARGEST",
    "Image",
    "Lease",
    "Location",
    "Member",
    "MemberStatus",
    "Pin",
    "Status",
    "Visibility",
]

#: The largest number in a record: what databases keep in 64 bits.
LARGEST = 2**63 - 1


class Status(StrEnum):
    """Where an image is in its life (Image API v2, "Image status")."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"

    @property
    def has_bytes(self) -> bool:
        return self in (Status.ACTIVE, Status.DEACTIVATED)


class Visibility(StrEnum):
    """Who may see an image, from the fewest to the most."""

    PRIVATE = "private"
    SHARED = "shared"
    COMMUNITY = "community"
    PUBLIC = "public"

    @property
    def is_public(self) -> bool:
        return self is Visibility.PUBLIC

    @property
    def rank(self) -> int:
        """The greater, the more people see it."""
        return list(Visibility).index(self)


class MemberStatus(StrEnum):
    """What a project that an image is shared with makes of it."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@frozen
class Member:
    """A project that an image is shared with."""

    image_id: str
    project: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime


@frozen
class Lease:
    """
    Another server keeps differences to an image, and so needs its bytes.

    :ivar holder: an id (UUID) that the other server chose for itself.
    :ivar url: where that server is, as it says.
    :ivar project: whose credential took the lease; ``None`` where nobody is asked.
    :ivar until: when it expires; it guards the image after that, too.
    """

    image_id: str
    holder: str
    url: str
    project: str | None
    until: datetime
    created_at: datetime


@frozen
class Digest:
    """Algorithm and value over the bytes of a piece, e.g. ``sha256`` and 64 hex."""

    algorithm: str
    value: str


@frozen
class Location:
    """Where a piece lies; opaque outside of stores."""

    store: str
    key: str


@frozen
class Pin:
    """
    What a child knows of one of its parents, fixed when the child was made.

    That it stands in a child's record is the proof that the child's owner could read
    the parent's bytes, by this digest, when he made the child.

    :ivar origin: the ``url`` of the origin that has it, ``None`` for this server.
    :ivar path: where the bytes lie below the origin, e.g. ``/images/ID``; empty for
        this server.
    :ivar visibility: as the parent's server said; ``PUBLIC`` for what it lets anyone
        read.
    :ivar anonymous: the origin was asked without any credential, and so may be again.
    """

    origin: str | None
    image_id: str
    path: str
    name: str | None
    disk_format: str
    size: int
    virtual_size: int | None
    checksum: str | None
    digest: Digest
    visibility: Visibility = Visibility.PUBLIC
    anonymous: bool = True


@frozen
class Image:
    """
    An image.

    :ivar owner: the project it belongs to.
    :ivar protected: it cannot be deleted until this is taken back.
    :ivar hidden: lists leave it out unless they are asked for hidden ones.
    :ivar parents: its chain without itself, nearest first; empty for a golden image.
    :ivar size: bytes of its own piece, ``None`` until it is active.
    :ivar checksum: MD5 of its own piece in hex, if the server makes it.
    :ivar stored_at: when its bytes became active; never changes after.
    """

    id: str
    status: Status
    visibility: Visibility
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    properties: Mapping[str, str] = field(factory=dict)
    parents: tuple[Pin, ...] = ()
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    digest: Digest | None = None
    location: Location | None = None
    stored_at: datetime | None = None
    owner: str | None = None
    protected: bool = False
    hidden: bool = False
    tags: frozenset[str] = frozenset()

    @property
    def weight(self) -> int:
        """Bytes of what is said of it at any length: its properties and tags."""
        texts = [*self.properties, *self.properties.values(), *self.tags]
        return sum(len(text.encode("utf-8")) for text in texts)

    def saving(self, now: datetime) -> Image:
        """
        The record while its bytes arrive.

        :raises WrongState: unless it is queued.
        """
        self._require(Status.QUEUED)
        return evolve(self, status=Status.SAVING, updated_at=now)

    def abandoned(self, now: datetime) -> Image:
        """
        The record after an upload that failed: queued again, without bytes.

        :raises WrongState: unless it was saving.
        """
        self._require(Status.SAVING)
        return evolve(self, status=Status.QUEUED, updated_at=now)

    def stored(
        self,
        now: datetime,
        location: Location,
        size: int,
        digest: Digest,
        checksum: str | None,
        virtual_size: int | None = None,
    ) -> Image:
        """
        The record once its bytes are durable: active, for ever.

        :param virtual_size: bytes of the disk that a machine sees, if the format says.
        :raises WrongState: unless it was saving.
        """
        self._require(Status.SAVING)
        return evolve(
            self,
            status=Status.ACTIVE,
            updated_at=now,
            stored_at=now,
            location=location,
            size=size,
            virtual_size=virtual_size,
            digest=digest,
            checksum=checksum,
        )

    def deactivated(self, now: datetime) -> Image:
        """
        The record of an image whose bytes only admins may read. Idempotent.

        :raises WrongState: unless it has bytes.
        """
        return self._switched(Status.DEACTIVATED, now)

    def reactivated(self, now: datetime) -> Image:
        """
        The record of an image that is active again. Idempotent.

        :raises WrongState: unless it has bytes.
        """
        return self._switched(Status.ACTIVE, now)

    def _switched(self, status: Status, now: datetime) -> Image:
        if not self.status.has_bytes:
            raise WrongState(self.id, self.status, "active or deactivated")
        if self.status is status:
            return self
        return evolve(self, status=status, updated_at=now)

    def _require(self, status: Status) -> None:
        if self.status is not status:
            raise WrongState(self.id, self.status, status)
