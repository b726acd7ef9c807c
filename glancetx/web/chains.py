# Copyright glancetx contributors. See LICENSE for details.

"""
An image with its parents: as a manifest, as one stream, as one archive.
"""

from __future__ import annotations

from glancetx import layouts
from glancetx.errors import NoSuchPiece
from glancetx.image import Image, Pin
from glancetx.layouts import Layout, Manifest
from glancetx.library.access import READ_BY
from glancetx.library.images import Images
from glancetx.metrics import Metrics
from glancetx.uris import Names

from .bodies import answer_json
from .entity import READING, Sender
from .links import checked_id, pin_uri
from .request import Request
from .routes import Route

__all__ = ["ChainRoutes"]


class ChainRoutes:
    """``/images/ID/{chain,stream,chain.tar}``."""

    def __init__(
        self, images: Images, own: Names, sender: Sender, metrics: Metrics
    ) -> None:
        self._images = images
        self._own = own
        self._sender = sender
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """What is served here."""
        return [
            Route(
                "GET",
                f"/images/<image_id>/{name}",
                handler,
                "download_image",
                statuses=statuses,
                anonymous=True,
            )
            for name, handler, statuses in (
                ("chain", self.show, (200, 409)),
                ("stream", self.stream, READING),
                ("chain.tar", self.tar, READING),
            )
        ]

    async def show(self, request: Request, image_id: str) -> bytes:
        """``GET /images/ID/chain``: the pieces, and where each begins."""
        image = await self._find(request, image_id)
        await self._images.check_chain(request.caller, image)
        document = self._manifest(image).document
        for guard in await self._images.guards(image):
            entry = document["chain"][1 + image.parents.index(guard.pin)]
            entry["lease"] = guard.standing
        return answer_json(request, document)

    async def stream(self, request: Request, image_id: str) -> bytes | None:
        """``GET /images/ID/stream``: the pieces end to end, the child's first."""
        image = await self._find(request, image_id)
        pieces = await self._images.open_chain(request.caller, image)
        self._metrics.chain(len(pieces))
        return await self._send(request, image, layouts.stream(image, pieces))

    async def tar(self, request: Request, image_id: str) -> bytes | None:
        """``GET /images/ID/chain.tar``: the manifest, then each piece as a member."""
        image = await self._find(request, image_id)
        pieces = await self._images.open_chain(request.caller, image)
        self._metrics.chain(len(pieces))
        layout = layouts.tar(image, pieces, self._manifest(image))
        return await self._send(request, image, layout)

    async def _find(self, request: Request, image_id: str) -> Image:
        return await self._images.find(request.caller, checked_id(image_id), *READ_BY)

    async def _send(
        self, request: Request, image: Image, layout: Layout
    ) -> bytes | None:
        try:
            return await self._sender.send(request, layout)
        except NoSuchPiece:
            # It is not here if it was deleted meanwhile.
            await self._images.find(request.caller, image.id)
            raise

    def _manifest(self, image: Image) -> Manifest:
        return Manifest(image, self._uri)

    def _uri(self, pin: Pin) -> str:
        return pin_uri(pin, self._own)
