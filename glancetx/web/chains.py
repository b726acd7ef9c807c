# Copyright glancetx contributors. See LICENSE for details.

"""
An image with its parents: as a manifest, as one stream, as one archive.
"""

from __future__ import annotations

from klein import Klein

from glancetx import layouts
from glancetx.errors import NoSuchPiece
from glancetx.image import Image, Pin
from glancetx.layouts import Layout, Manifest
from glancetx.library.images import Images
from glancetx.metrics import Metrics
from glancetx.uris import Names

from .entity import Sender
from .images import answer_json, checked_id, pin_uri
from .request import Request

__all__ = ["ChainRoutes"]


class ChainRoutes:
    """``/images/ID/{chain,stream,chain.tar}``, also below ``/v1``."""

    def __init__(
        self, images: Images, own: Names, sender: Sender, metrics: Metrics
    ) -> None:
        self._images = images
        self._own = own
        self._sender = sender
        self._metrics = metrics

    def add_to(self, app: Klein, prefix: str) -> None:
        """Add the routes below a prefix, e.g. ``/v1``."""
        for name, handler in [
            ("chain", self.show),
            ("stream", self.stream),
            ("chain.tar", self.tar),
        ]:
            path = f"{prefix}/images/<image_id>/{name}"
            app.route(path, methods=["GET"], endpoint=f"{prefix}:{name}")(handler)

    async def show(self, request: Request, image_id: str) -> bytes:
        """``GET /images/ID/chain``: the pieces, and where each begins."""
        image = await self._images.find(checked_id(image_id))
        return answer_json(request, self._manifest(image).document)

    async def stream(self, request: Request, image_id: str) -> bytes | None:
        """``GET /images/ID/stream``: the pieces end to end, the child's first."""
        image = await self._images.find(checked_id(image_id))
        pieces = await self._images.open_chain(image)
        self._metrics.chain(len(pieces))
        return await self._send(request, image, layouts.stream(image, pieces))

    async def tar(self, request: Request, image_id: str) -> bytes | None:
        """``GET /images/ID/chain.tar``: the manifest, then each piece as a member."""
        image = await self._images.find(checked_id(image_id))
        pieces = await self._images.open_chain(image)
        self._metrics.chain(len(pieces))
        layout = layouts.tar(image, pieces, self._manifest(image))
        return await self._send(request, image, layout)

    async def _send(
        self, request: Request, image: Image, layout: Layout
    ) -> bytes | None:
        try:
            return await self._sender.send(request, layout, {})
        except NoSuchPiece:
            await self._images.find(image.id)  # not here if it was deleted meanwhile
            raise

    def _manifest(self, image: Image) -> Manifest:
        return Manifest(image, self._uri)

    def _uri(self, pin: Pin) -> str:
        return pin_uri(pin, self._own)
