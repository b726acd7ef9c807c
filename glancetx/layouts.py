# Copyright glancetx contributors. See LICENSE for details.

"""
What a reader of an image may be sent: a chain as an indexed list of segments.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from .chain import chain_of, pin_of
from .image import Digest, Image, Pin, Status
from .interfaces import IPiece
from .streaming.segments import Literal, Segment, Segments, Slice, Zeros

__all__ = ["Layout", "Manifest", "own", "own_etag", "stream", "tar"]

BLOCK = 512
"""Bytes of a block of a tar archive (POSIX.1-2017, pax, "ustar Interchange Format")."""


@frozen
class Layout:
    """
    A body, before it is cut.

    :ivar kind: ``own``, ``stream`` or ``tar``.
    :ivar etag: strong, with its quotes.
    :ivar modified: when the bytes became what they are.
    :ivar digest: of the whole body, if it is known.
    :ivar public: whether anyone may have it.
    """

    kind: str
    segments: Segments
    etag: bytes
    media_type: bytes
    modified: datetime
    digest: Digest | None
    public: bool


def own_etag(digest: Digest) -> bytes:
    """The ETag of an image's own bytes, wherever they are served."""
    return f'"{digest.algorithm}-{digest.value}"'.encode("ascii")


def own(image: Image, piece: IPiece) -> Layout:
    """The image's own bytes."""
    digest = pin_of(image).digest
    segments = Segments([Slice(piece, 0, piece.size)])
    return _layout("own", image, segments, own_etag(digest), digest=digest)


def stream(image: Image, pieces: Sequence[IPiece]) -> Layout:
    """The pieces end to end, the child's first."""
    segments = Segments(Slice(piece, 0, piece.size) for piece in pieces)
    return _layout("stream", image, segments, _joined_etag("stream", image))


def tar(image: Image, pieces: Sequence[IPiece], manifest: Manifest) -> Layout:
    """``manifest.json``, then each piece as a member ``0.FORMAT``, ``1.FORMAT`` ..."""
    segments: list[Segment] = [Literal(manifest.member)]
    for header, piece in zip(manifest.headers, pieces, strict=True):
        segments += [Literal(header), Slice(piece, 0, piece.size)]
        segments.append(Zeros(_padding(piece.size)))
    segments.append(Zeros(2 * BLOCK))
    etag = _joined_etag("tar", image, manifest.member)
    return _layout("tar", image, Segments(segments), etag, b"application/x-tar")


class Manifest:
    """
    A chain as a document, and how it lies in a tar archive.

    :ivar document: what JSON shows of the chain; ``offset`` and ``tar_offset`` say
        where a piece begins in the two joined layouts.
    :ivar member: the archive's first member, ``manifest.json``, padded.
    :ivar headers: of the members that follow, one for each piece.
    """

    def __init__(self, image: Image, uri: Callable[[Pin], str]) -> None:
        """:param uri: names an image to others."""
        chain = chain_of(image)
        when = int((image.stored_at or image.created_at).timestamp())
        self.headers = [
            _header(f"{number}.{pin.disk_format}", pin.size, when)
            for number, pin in enumerate(chain)
        ]
        self._chain = chain
        self._uris = [uri(pin) for pin in chain]
        self.member = b""
        while True:  # the offsets are written in the member that moves them
            self.document = self._describe(len(self.member))
            member = _member("manifest.json", self.document, when)
            if len(member) == len(self.member):
                self.member = member
                return
            self.member = member

    def _describe(self, offset_in_tar: int) -> dict[str, Any]:
        entries = []
        offset = 0
        for pin, uri, header in zip(self._chain, self._uris, self.headers, strict=True):
            offset_in_tar += len(header)
            entries.append(
                {
                    "id": pin.image_id,
                    "uri": uri,
                    "name": pin.name,
                    "disk_format": pin.disk_format,
                    "size": pin.size,
                    "virtual_size": pin.virtual_size,
                    "checksum": pin.checksum,
                    "os_hash_algo": pin.digest.algorithm,
                    "os_hash_value": pin.digest.value,
                    "offset": offset,
                    "tar_offset": offset_in_tar,
                }
            )
            offset += pin.size
            offset_in_tar += pin.size + _padding(pin.size)
        return {
            "chain": entries,
            "size": offset,
            "tar_size": offset_in_tar + 2 * BLOCK,
        }


def _layout(
    kind: str,
    image: Image,
    segments: Segments,
    etag: bytes,
    media_type: bytes = b"application/octet-stream",
    digest: Digest | None = None,
) -> Layout:
    modified = image.stored_at or image.created_at
    public = image.visibility.is_public and image.status is Status.ACTIVE
    return Layout(kind, segments, etag, media_type, modified, digest, public)


def _joined_etag(kind: str, image: Image, more: bytes = b"") -> bytes:
    found = hashlib.sha256(more)
    for pin in chain_of(image):
        found.update(f"{pin.digest.algorithm}-{pin.digest.value}\n".encode("ascii"))
    return f'"{kind}-{found.hexdigest()}"'.encode("ascii")


def _header(name: str, size: int, when: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = when
    return entry.tobuf(format=tarfile.PAX_FORMAT)


def _member(name: str, document: dict[str, Any], when: int) -> bytes:
    data = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    return _header(name, len(data), when) + data + bytes(_padding(len(data)))


def _padding(size: int) -> int:
    return -size % BLOCK
