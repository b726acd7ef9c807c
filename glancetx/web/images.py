# Copyright glancetx contributors. See LICENSE for details.

"""
The one-call door: images by ``/images``, metadata in headers, bytes as bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from glancetx import layouts
from glancetx.errors import (
    BadValue,
    ConditionFailed,
    GlancetxError,
    NoSuchPiece,
)
from glancetx.image import Image
from glancetx.library.access import READ_BY
from glancetx.library.holding import Guard
from glancetx.library.images import Images
from glancetx.library.uploads import Expected
from glancetx.limits import Limits
from glancetx.uris import Names

from .arguments import read_force
from .bodies import answer_json, answer_nothing, cache_rule
from .conditions import has_conditions, may_change
from .entity import READING, Sender
from .links import checked_id, parent_uri, pin_uri
from .metadata import (
    read_draft,
    read_expected,
    refuse_draft,
    to_brief,
    to_headers,
    to_json,
)
from .query import cut_page, next_page, read_query
from .request import Request
from .routes import Route
from .uploading import require_body, require_whole

__all__ = ["ImageRoutes"]

GUARDED = b"X-Image-Meta-Parent-Guarded"


class ImageRoutes:
    """``/images`` and ``/images/ID``."""

    def __init__(
        self, images: Images, own: Names, sender: Sender, limits: Limits
    ) -> None:
        self._images = images
        self._own = own
        self._sender = sender
        self._limits = limits

    def routes(self) -> list[Route]:
        """What is served here."""
        many, one = "/images", "/images/<image_id>"
        changing = (409, 412)
        return [
            Route("POST", many, self.create, "add_image", (201, 409, 413, 415, 507)),
            Route("GET", many, self.list, "get_images"),
            Route("GET", f"{many}/detail", self.list_detail, "get_images"),
            Route("GET", one, self.show, "download_image", READING, anonymous=True),
            Route(
                "PUT", one, self.store, "upload_image", (200, *changing, 413, 415, 507)
            ),
            Route("DELETE", one, self.remove, "delete_image", (204, *changing)),
        ]

    async def create(self, request: Request) -> bytes:
        """``POST /images``: a record, and its bytes if the request has a body."""
        draft = read_draft(request.requestHeaders)
        expected = read_expected(request.requestHeaders)
        if draft.disk_format is None:
            raise BadValue(
                "x-image-meta-disk_format",
                "must be given: raw, qcow2, vmdk, vhd, vhdx, vdi, iso ...",
            )
        require_whole(request)
        if request.body.expected:
            expected.check_length(request.body.length)
        elif expected != Expected():
            raise BadValue(
                "x-image-meta-size",
                "describes a body, but none came; send it with the PUT that has it",
            )
        caller = request.caller
        image = await self._images.create(caller, draft)
        if request.body.expected:
            try:
                image = await self._images.store(
                    caller, image.id, request.body, expected
                )
            except GlancetxError as problem:
                problem.add_note(f"image {image.id} waits for a PUT with its bytes")
                raise
        request.setResponseCode(201)
        request.setHeader(b"Location", self._own.uri(image.id).encode("ascii"))
        return answer_json(request, await self._made(image))

    async def store(self, request: Request, image_id: str) -> bytes:
        """``PUT /images/ID``: the bytes of a queued record."""
        require_body(request)
        require_whole(request)
        refuse_draft(request.requestHeaders)
        expected = read_expected(request.requestHeaders)
        await self._check_conditions(request, checked_id(image_id))
        image = await self._images.store(
            request.caller, image_id, request.body, expected
        )
        return answer_json(request, await self._made(image))

    async def show(self, request: Request, image_id: str) -> bytes | None:
        """``GET`` and ``HEAD /images/ID``: the image's own bytes, and its metadata."""
        caller = request.caller
        rules = () if request.method == b"HEAD" else READ_BY
        image = await self._images.find(caller, checked_id(image_id), *rules)
        metadata = to_headers(image, parent_uri(image, self._own))
        if image.parents:
            unguarded = await self._unguarded(image)
            metadata[GUARDED] = b"false" if unguarded else b"true"
        if not image.status.has_bytes:
            for name, value in metadata.items():
                request.setHeader(name, value)
            request.setHeader(b"Cache-Control", cache_rule(request))
            request.setResponseCode(204)
            return b""
        piece = await self._images.open(image)
        layout = layouts.own(image, piece)
        try:
            return await self._sender.send(request, layout, metadata)
        except NoSuchPiece:
            # It is not here if it was deleted meanwhile.
            await self._images.find(caller, image.id)
            raise

    async def list(self, request: Request) -> bytes:
        """``GET /images``: a page of images, the few facts of each."""
        return await self._list(request, to_brief)

    async def list_detail(self, request: Request) -> bytes:
        """``GET /images/detail``: a page of images with all their facts."""
        return await self._list(request, self._json)

    async def remove(self, request: Request, image_id: str) -> bytes:
        """``DELETE /images/ID``, ``?force=true`` though other servers lease it."""
        await self._check_conditions(request, checked_id(image_id))
        force = read_force(request.args)
        await self._images.remove(request.caller, image_id, force)
        return answer_nothing(request)

    async def _check_conditions(self, request: Request, image_id: str) -> None:
        headers = request.requestHeaders
        if not has_conditions(headers):
            return
        image = await self._images.find(request.caller, image_id)
        etag = layouts.own_etag(image.digest) if image.digest else None
        if not may_change(headers, etag):
            raise ConditionFailed(image_id)

    async def _list(
        self, request: Request, show: Callable[[Image], dict[str, Any]]
    ) -> bytes:
        query = read_query(request.args, self._limits)
        weight = self._limits.list_bytes
        more = evolve(query, limit=query.limit + 1, weight=weight)
        found = await self._images.list(request.caller, more)
        page = cut_page(found, query.limit, weight)
        document: dict[str, Any] = {"images": [show(image) for image in page]}
        if page and len(found) > len(page):
            document["next"] = next_page(request.path, request.args, page[-1].id)
        return answer_json(request, document)

    async def _made(self, image: Image) -> dict[str, Any]:
        """What is said to who makes an image, also of parents that may vanish."""
        document: dict[str, Any] = {"image": self._json(image)}
        unguarded = await self._unguarded(image)
        if unguarded:
            document["unguarded"] = [
                {
                    "uri": pin_uri(guard.pin, self._own),
                    "lease": guard.standing,
                    "reason": guard.problem,
                }
                for guard in unguarded
            ]
        return document

    async def _unguarded(self, image: Image) -> Sequence[Guard]:
        guards = await self._images.guards(image)
        return [guard for guard in guards if not guard.standing.guards]

    def _json(self, image: Image) -> dict[str, Any]:
        return to_json(image, self._own.uri(image.id), parent_uri(image, self._own))
