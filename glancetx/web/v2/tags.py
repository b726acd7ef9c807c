# Copyright glancetx contributors. See LICENSE for details.

"""
Tags of images: ``/v2/images/ID/tags/TAG``.
"""

from __future__ import annotations

from attrs import evolve

from glancetx.errors import BadValue, NoSuchTag
from glancetx.image import Image
from glancetx.library.images import Images
from glancetx.web.bodies import answer_nothing
from glancetx.web.links import checked_id
from glancetx.web.request import Request
from glancetx.web.routes import Route

from .records import checked_field

__all__ = ["TagRoutes"]

LONGEST = 255


class TagRoutes:
    """``/v2/images/ID/tags/TAG``"""

    def __init__(self, images: Images) -> None:
        self._images = images

    def routes(self) -> list[Route]:
        """What is served here."""
        path = "/v2/images/<image_id>/tags/<tag>"
        return [
            Route("PUT", path, self.add, "modify_image", (204, 413)),
            Route("DELETE", path, self.remove, "modify_image", (204,)),
        ]

    async def add(self, request: Request, image_id: str, tag: str) -> bytes:
        """``PUT``: one more tag; nothing happens if it is there."""
        if len(tag) > LONGEST:
            raise BadValue("tag", f"must have at most {LONGEST} characters")
        checked_field("tag", tag)

        def tagged(image: Image) -> Image:
            return evolve(image, tags=image.tags | {tag})

        await self._images.change(request.caller, checked_id(image_id), tagged)
        return answer_nothing(request)

    async def remove(self, request: Request, image_id: str, tag: str) -> bytes:
        """``DELETE``: one tag less."""

        def untagged(image: Image) -> Image:
            if tag not in image.tags:
                raise NoSuchTag(image_id, tag)
            return evolve(image, tags=image.tags - {tag})

        await self._images.change(request.caller, checked_id(image_id), untagged)
        return answer_nothing(request)
