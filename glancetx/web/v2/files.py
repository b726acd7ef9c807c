# Copyright glancetx contributors. See LICENSE for details.

"""
The bytes of images in the Image API v2: ``/v2/images/ID/file``.
"""

from __future__ import annotations

import re

from glancetx import layouts
from glancetx.errors import BadValue, Forbidden, NoSuchPiece, WrongFormat
from glancetx.image import Image
from glancetx.library.images import Images
from glancetx.library.uploads import Expected
from glancetx.uris import Names
from glancetx.web.bodies import answer_nothing, cache_rule
from glancetx.web.entity import READING, Sender
from glancetx.web.links import checked_id
from glancetx.web.metadata import read_number
from glancetx.web.request import Request
from glancetx.web.routes import Route
from glancetx.web.uploading import require_body, require_whole

__all__ = ["FileRoutes"]

OCTETS = b"application/octet-stream"
SIZE = "x-openstack-image-size"
OLD_RANGE = re.compile(rb"bytes ([0-9]{1,19})-([0-9]{1,19})/(?:[0-9]{1,19}|\*)")


class FileRoutes:
    """``/v2/images/ID/file``"""

    def __init__(self, images: Images, own: Names, sender: Sender) -> None:
        self._images = images
        self._own = own
        self._sender = sender

    def routes(self) -> list[Route]:
        """What is served here."""
        path = "/v2/images/<image_id>/file"
        return [
            Route("GET", path, self.read, "download_image", READING),
            Route("PUT", path, self.store, "upload_image", (204, 409, 413, 415, 507)),
        ]

    async def read(self, request: Request, image_id: str) -> bytes | None:
        """
        ``GET`` and ``HEAD``: the bytes of an image.

        Those of an image with a parent are a difference, which would make a broken
        disk of whoever takes them for one: they come only if they are asked for.
        """
        caller = request.caller
        image = await self._images.find(caller, checked_id(image_id), "download_image")
        wants_piece = _wants_piece(request)
        if image.parents and not wants_piece:
            raise Forbidden(self._difference(image))
        if not image.status.has_bytes:
            request.setResponseCode(204)
            request.setHeader(b"Cache-Control", cache_rule(request))
            return b""
        _obey_old_range(request)
        layout = layouts.own(image, await self._images.open(image))
        checksum = (image.checksum or "").encode("ascii")
        try:
            return await self._sender.send(
                request, layout, whole={b"Content-MD5": checksum} if checksum else {}
            )
        except NoSuchPiece:
            await self._images.find(caller, image.id)  # not here if it was deleted
            raise

    async def store(self, request: Request, image_id: str) -> bytes:
        """``PUT``: the bytes of a queued image."""
        _require_octets(request)
        require_body(request)
        require_whole(request)
        expected = Expected(size=_promised_size(request))
        await self._images.store(
            request.caller, checked_id(image_id), request.body, expected
        )
        return answer_nothing(request)

    def _difference(self, image: Image) -> str:
        uri = self._own.uri(image.id)
        return (
            f"image {image.id} holds only what differs from its parent, and is no disk "
            f"without it; read all of it at {uri}/stream, or make the disk with "
            f'"glancetx restore {uri}"; its own bytes come with ?layout=own'
        )


def _wants_piece(request: Request) -> bool:
    """:raises BadValue: if another layout is asked for."""
    values = request.args.get(b"layout", [])
    if values not in ([], [b"own"]):
        raise BadValue("layout", "must be own, if it is given")
    return bool(values)


def _obey_old_range(request: Request) -> None:
    """
    Take a ``Content-Range`` of a request for a ``Range``, as old clients mean it.

    :raises BadValue: if it is none.
    """
    headers = request.requestHeaders
    values = headers.getRawHeaders(b"Content-Range", [])
    if not values or headers.hasHeader(b"Range"):
        return
    found = OLD_RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        raise BadValue("Content-Range", "must be like bytes 0-1023/*; better use Range")
    headers.setRawHeaders(b"Range", [b"bytes=%s-%s" % found.groups()])


def _require_octets(request: Request) -> None:
    """:raises WrongFormat: if the body says that it is something else."""
    values = request.requestHeaders.getRawHeaders(b"Content-Type", [])
    if [value.strip().lower() for value in values] != [OCTETS]:
        raise WrongFormat("Content-Type", "must be application/octet-stream")


def _promised_size(request: Request) -> int | None:
    values = request.requestHeaders.getRawHeaders(SIZE.encode("ascii"), [])
    if len(values) > 1:
        raise BadValue(SIZE, "is given more than once")
    return read_number(SIZE, values[0].decode("latin-1")) if values else None
