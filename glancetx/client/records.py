# Copyright glancetx contributors. See LICENSE for details.

"""
Images and chains as a server describes them, checked before anyone relies on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import algorithms_guaranteed
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.web.http_headers import Headers

from glancetx.image import Digest

__all__ = ["ImageRecord", "Manifest", "ManifestPiece"]

PREFIX = b"x-image-meta-"
PROPERTY = "property-"
ALGORITHMS = {one for one in algorithms_guaranteed if not one.startswith("shake")}
NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")

T = TypeVar("T", str, int)


def _take(found: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = found.get(key)
    if type(value) is not kind:
        raise ValueError(f"{key!r} is {value!r}")
    return value


def _maybe(found: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    return None if found.get(key) is None else _take(found, key, kind)


def _digest(found: Mapping[str, Any]) -> Digest | None:
    algorithm = _maybe(found, "os_hash_algo", str)
    value = _maybe(found, "os_hash_value", str)
    if not (algorithm and value):
        return None
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm!r} is a digest that nobody here can make")
    return Digest(algorithm, value)


@frozen
class ImageRecord:
    """
    One image as its server describes it.

    :ivar size: bytes of its own piece; ``None`` as long as it has none.
    :ivar digest: of its own piece.
    :ivar parent: the URI of the image that its piece is a difference to.
    :ivar uri: its own, if the server said so.
    :ivar created_at: as the server writes it, e.g. ``2026-11-23T10:00:00Z``.
    """

    id: str
    status: str
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    digest: Digest | None = None
    is_public: bool = False
    parent: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    created_at: str | None = None
    updated_at: str | None = None
    properties: Mapping[str, str] = field(factory=dict)
    uri: str | None = None

    @classmethod
    def from_json(cls, found: Any) -> ImageRecord:
        """
        :raises ValueError: with what is wrong, if this describes no image.
        """
        if not isinstance(found, dict):
            raise ValueError("it describes no image")
        properties = found.get("properties") or {}
        if not isinstance(properties, dict):
            raise ValueError(f"'properties' is {properties!r}")
        return cls(
            id=_take(found, "id", str),
            status=_take(found, "status", str),
            name=_maybe(found, "name", str),
            disk_format=_maybe(found, "disk_format", str),
            container_format=_maybe(found, "container_format", str),
            size=_maybe(found, "size", int),
            virtual_size=_maybe(found, "virtual_size", int),
            checksum=_maybe(found, "checksum", str),
            digest=_digest(found),
            is_public=found.get("is_public") is True,
            parent=_maybe(found, "parent_id", str),
            min_disk=_maybe(found, "min_disk", int) or 0,
            min_ram=_maybe(found, "min_ram", int) or 0,
            created_at=_maybe(found, "created_at", str),
            updated_at=_maybe(found, "updated_at", str),
            properties={str(key): str(value) for key, value in properties.items()},
            uri=_maybe(found, "uri", str),
        )

    @classmethod
    def from_headers(cls, headers: Headers) -> ImageRecord:
        """
        From the ``x-image-meta-*`` headers of an answer.

        :raises ValueError: with what is wrong, if they describe no image.
        """
        found: dict[str, Any] = {}
        properties: dict[str, str] = {}
        for raw, values in headers.getAllRawHeaders():
            if not raw.lower().startswith(PREFIX):
                continue
            key = raw[len(PREFIX) :].decode("ascii", "replace").lower()
            text = values[-1].decode("utf-8", "replace")
            if key.startswith(PROPERTY):
                properties[key.removeprefix(PROPERTY).replace("-", "_")] = text
            else:
                found[key.replace("-", "_")] = text
        for key in NUMBERS:
            if key in found:
                found[key] = int(found[key])
        found["is_public"] = found.get("is_public", "").lower() == "true"
        return cls.from_json(found | {"properties": properties})

    def as_json(self) -> dict[str, Any]:
        """The same, under the names that the server uses."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "disk_format": self.disk_format,
            "container_format": self.container_format,
            "size": self.size,
            "virtual_size": self.virtual_size,
            "checksum": self.checksum,
            "os_hash_algo": self.digest and self.digest.algorithm,
            "os_hash_value": self.digest and self.digest.value,
            "is_public": self.is_public,
            "parent_id": self.parent,
            "min_disk": self.min_disk,
            "min_ram": self.min_ram,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "properties": dict(self.properties),
            "uri": self.uri,
        }


@frozen
class ManifestPiece:
    """
    One piece of a chain.

    :ivar offset: where it begins in the stream.
    :ivar tar_offset: where it begins in the tar archive.
    :ivar lease: how it stands with the lease that keeps it from being deleted on
        another server: ``held``, ``expired``, ``wanted``, ``impossible`` or ``lost``;
        ``None`` for an image of the server itself.
    """

    id: str
    uri: str
    name: str | None
    disk_format: str | None
    size: int
    virtual_size: int | None
    checksum: str | None
    digest: Digest
    offset: int
    tar_offset: int | None
    lease: str | None = None

    @classmethod
    def from_json(cls, found: Any) -> ManifestPiece:
        """
        :raises ValueError: with what is wrong.
        """
        if not isinstance(found, dict):
            raise ValueError("a piece is not described")
        digest = _digest(found)
        if digest is None:
            raise ValueError("a piece has no digest")
        return cls(
            id=_take(found, "id", str),
            uri=_take(found, "uri", str),
            name=_maybe(found, "name", str),
            disk_format=_maybe(found, "disk_format", str),
            size=_take(found, "size", int),
            virtual_size=_maybe(found, "virtual_size", int),
            checksum=_maybe(found, "checksum", str),
            digest=digest,
            offset=_take(found, "offset", int),
            tar_offset=_maybe(found, "tar_offset", int),
            lease=_maybe(found, "lease", str),
        )

    @property
    def stop(self) -> int:
        """The offset behind its last byte in the stream."""
        return self.offset + self.size


@frozen
class Manifest:
    """
    A chain: child first, until one has no parent.

    :ivar size: bytes of the stream of all pieces, end to end.
    """

    pieces: tuple[ManifestPiece, ...]
    size: int

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Manifest:
        """
        :raises ValueError: with what is wrong, e.g. pieces that do not lie end to
            end.
        """
        if not isinstance(found.get("chain"), list):
            raise ValueError("it describes no chain")
        pieces = tuple(map(ManifestPiece.from_json, found["chain"]))
        end = 0
        for piece in pieces:
            if piece.size < 0 or piece.offset != end:
                raise ValueError(f"piece {piece.id} does not begin at byte {end}")
            end = piece.stop
        if not pieces or _take(found, "size", int) != end:
            raise ValueError(f"its pieces have {end} bytes, not {found.get('size')}")
        return cls(pieces, end)
