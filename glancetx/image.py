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

__all__ = ["Digest", "Image", "Location", "Pin", "Status", "Visibility"]


class Status(StrEnum):
    """Where an image is in its life (Image API v2, "Image status")."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"


class Visibility(StrEnum):
    """Who may see an image."""

    PUBLIC = "public"
    PRIVATE = "private"

    @property
    def is_public(self) -> bool:
        return self is Visibility.PUBLIC


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

    :ivar origin: the ``url`` of the origin that has it, ``None`` for this server.
    :ivar path: where the bytes lie below the origin, e.g. ``/images/ID``; empty for
        this server.
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


@frozen
class Image:
    """
    An image.

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
    ) -> Image:
        """
        The record once its bytes are durable: active, for ever.

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
            virtual_size=size if self.disk_format == "raw" else None,
            digest=digest,
            checksum=checksum,
        )

    def _require(self, status: Status) -> None:
        if self.status is not status:
            raise WrongState(self.id, self.status, status)
