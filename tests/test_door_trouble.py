# Copyright glancetx contributors. See LICENSE for details.

"""
The one-call door of a server in trouble.
"""

from __future__ import annotations

import os
from typing import Any

from glancetx.caller import ANYONE
from glancetx.errors import CatalogueUnavailable, NoSuchPiece

from .door import DATA, DoorCase


class TroubleTests(DoorCase):
    """What goes wrong between the catalogue and the store."""

    async def test_deleted_meanwhile(self) -> None:
        """
        An image that is deleted while it is looked up is not here, and no mistake.
        """
        await self.start()
        images = self.zone.parts.images
        for name, path in [
            ("open", ""),
            ("open_chain", "/stream"),
            ("open_chain", "/chain.tar"),
        ]:
            image_id = await self.zone.add(DATA)
            found = getattr(images, name)

            async def late(*arguments: Any, found: Any = found) -> Any:
                pieces = await found(*arguments)
                await images.remove(ANYONE, arguments[-1].id)
                return pieces

            patch = self.patch(images, name, late)
            reply = await self.zone.ask("GET", f"/images/{image_id}{path}")
            patch.restore()
            self.assert_problem(reply, 404, image_id)

    async def test_lost_piece(self) -> None:
        """
        A piece that is lost is our mistake: the image is still here.
        """
        await self.start()
        image_id = await self.zone.add(DATA)
        (piece,) = self.zone.pieces()
        os.remove(piece)
        for path in ("", "/stream", "/chain.tar"):
            reply = await self.zone.ask("GET", f"/images/{image_id}{path}")
            self.assert_problem(reply, 500)
        self.assertEqual(len(self.flushLoggedErrors(NoSuchPiece)), 3)

    async def test_undone_later(self) -> None:
        """
        A failed upload that the catalogue does not let us undo is undone before the
        next upload or deletion: its image does not stay saving.
        """
        await self.start()
        catalogue = self.zone.parts.catalogue

        async def full(*arguments: Any) -> None:
            raise CatalogueUnavailable("database or disk is full")

        for method, body, code in [("PUT", DATA, 200), ("DELETE", None, 204)]:
            image_id = await self.zone.add(None)
            path = f"/images/{image_id}"
            patches = [
                self.patch(catalogue, name, full) for name in ("commit", "abandon")
            ]
            self.assert_problem(await self.zone.ask("PUT", path, body=DATA), 503)
            self.assert_problem(await self.zone.ask(method, path, body=body), 503)
            for patch in patches:
                patch.restore()
            shown = await self.show(image_id)
            self.assertEqual(shown.headers["x-image-meta-status"], "saving")
            reply = await self.zone.ask(method, path, body=body)
            self.assertEqual(reply.code, code)
        self.assertEqual(len(self.zone.pieces()), 1)
        self.assertEqual(await catalogue.leftovers(), [])
        self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 2)
