# Copyright glancetx contributors. See LICENSE for details.

"""
``/v2/images``: the records of images.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import evolve

from glancetx.errors import BadValue, WrongFormat, WrongState
from glancetx.image import Image
from glancetx.library.images import Images
from glancetx.limits import Limits
from glancetx.uris import Names
from glancetx.web.arguments import read_force
from glancetx.web.bodies import answer_json, answer_nothing, read_json
from glancetx.web.links import checked_id
from glancetx.web.problems import answer_problem
from glancetx.web.query import cut_page
from glancetx.web.request import Request
from glancetx.web.routes import Route

from .listing import PATH, first_page, next_page, read_query
from .patch import MEDIA_TYPES, apply, read_patch
from .records import GUARDED, path_of, read_draft, to_record

__all__ = ["RecordRoutes", "media_type", "require_json"]

JSON = "application/json"


class RecordRoutes:
    """Makes, shows, lists, changes and deletes records."""

    def __init__(self, images: Images, own: Names, limits: Limits) -> None:
        self._images = images
        self._own = own
        self._limits = limits

    def routes(self) -> list[Route]:
        """What is served here."""
        one = f"{PATH}/<image_id>"
        making, changing = (201, 409, 413, 415), (200, 409, 413, 415)
        return [
            Route("POST", PATH, self.create, "add_image", making, "image_create"),
            Route("GET", PATH, self.list, "get_images"),
            Route("GET", one, self.show, "get_image"),
            Route("PATCH", one, self.change, "modify_image", changing, "image_patch"),
            Route("DELETE", one, self.remove, "delete_image", (204, 409)),
            Route("POST", f"{one}/actions/deactivate", self.stop, "deactivate", (204,)),
            Route(
                "POST", f"{one}/actions/reactivate", self.restart, "reactivate", (204,)
            ),
        ]

    async def create(self, request: Request) -> bytes:
        """``POST /v2/images``: a record; its bytes come later."""
        require_json(request)
        draft = read_draft(await read_json(request, self._limits.json_bytes))
        image = await self._images.create(request.caller, draft)
        request.setResponseCode(201)
        location = self._own.bases[0].url + path_of(image.id)
        request.setHeader(b"Location", location.encode("ascii"))
        return await self._answer(request, image)

    async def list(self, request: Request) -> bytes:
        """``GET /v2/images``: a page of images."""
        query = read_query(request.args, self._limits, self._own)
        weight = self._limits.list_bytes
        more = evolve(query, limit=query.limit + 1, weight=weight)
        found = await self._images.list(request.caller, more)
        page = cut_page(found, query.limit, weight)
        document: dict[str, Any] = {
            "images": [to_record(image, self._own) for image in page],
            "first": first_page(request.args),
            "schema": "/v2/schemas/images",
        }
        if page and len(found) > len(page):
            document["next"] = next_page(request.args, page[-1].id)
        return answer_json(request, document)

    async def show(self, request: Request, image_id: str) -> bytes:
        """``GET /v2/images/ID``."""
        image = await self._images.find(request.caller, checked_id(image_id))
        return await self._answer(request, image)

    async def change(self, request: Request, image_id: str) -> bytes:
        """``PATCH /v2/images/ID``: all changes at once, or none."""
        checked_id(image_id)
        kind = media_type(request)
        if kind not in MEDIA_TYPES:
            return _refuse_patch(request)
        document = await read_json(request, self._limits.json_bytes)
        changes = read_patch(kind, document)
        image = await self._images.change(
            request.caller, image_id, partial(apply, changes)
        )
        return await self._answer(request, image)

    async def remove(self, request: Request, image_id: str) -> bytes:
        """``DELETE /v2/images/ID``."""
        force = read_force(request.args)
        await self._images.remove(request.caller, checked_id(image_id), force)
        return answer_nothing(request)

    async def stop(self, request: Request, image_id: str) -> bytes:
        """``POST /v2/images/ID/actions/deactivate``."""
        try:
            await self._images.deactivate(request.caller, checked_id(image_id))
        except WrongState as problem:
            raise BadValue("status", str(problem)) from None
        return answer_nothing(request)

    async def restart(self, request: Request, image_id: str) -> bytes:
        """``POST /v2/images/ID/actions/reactivate``."""
        try:
            await self._images.reactivate(request.caller, checked_id(image_id))
        except WrongState as problem:
            raise BadValue("status", str(problem)) from None
        return answer_nothing(request)

    async def _answer(self, request: Request, image: Image) -> bytes:
        record = to_record(image, self._own)
        if image.parents:
            guards = await self._images.guards(image)
            guarded = all(guard.standing.guards for guard in guards)
            record[GUARDED] = "true" if guarded else "false"
        return answer_json(request, record)


def media_type(request: Request) -> str:
    """What the body of a request is, without parameters; empty if it does not say."""
    values = request.requestHeaders.getRawHeaders(b"Content-Type", [])
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    return text.partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """:raises WrongFormat: unless the body of a request says that it is JSON."""
    if media_type(request) != JSON:
        raise WrongFormat("Content-Type", f"must be {JSON}")


def _refuse_patch(request: Request) -> bytes:
    known = ", ".join(MEDIA_TYPES)
    body = answer_problem(request, 415, f"Content-Type: must be one of {known}")
    request.setHeader(b"Accept-Patch", known)
    return body
