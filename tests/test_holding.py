# Copyright glancetx contributors. See LICENSE for details.

"""
Leases that this server takes of images elsewhere: :mod:`glancetx.library.holding`, by
whole servers.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from glancetx.library import holding

from .servers import Reply, RunningServer, ServerCase

GOLDEN, DELTA = b"golden bytes" * 100, b"delta"


class HoldingCase(ServerCase):
    """A test with a global server and a zone."""

    there: RunningServer
    here: RunningServer

    async def start(self) -> None:
        self.there = await self.serve()
        self.here = await self.serve([self.there])

    async def golden(self) -> str:
        return await self.there.add(GOLDEN, is_public="true")

    async def child(self, parent: str, data: bytes | None = DELTA) -> str:
        return await self.here.add(data, self.there.uri(parent))

    async def leases(self, image_id: str) -> list[dict[str, Any]]:
        """What the global server knows of who needs an image."""
        reply = await self.there.ask("GET", f"/images/{image_id}/leases")
        found: list[dict[str, Any]] = reply.json["leases"]
        return found


class TakenTests(HoldingCase):
    """A lease is taken before a child is made."""

    async def test_taken(self) -> None:
        """
        The parent's server knows which server needs the image, and where it is.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        [lease] = await self.leases(golden)
        self.assertEqual(lease["url"], self.here.url)
        name = await self.here.parts.catalogue.server_id()
        self.assertEqual(lease["holder"], name)
        reply = await self.here.ask("HEAD", f"/images/{child}")
        self.assertEqual(reply.headers["x-image-meta-parent-guarded"], "true")
        reply = await self.there.ask("DELETE", f"/images/{golden}")
        self.assertEqual(reply.code, 409)
        self.assertIn(self.here.url, reply.json["conflictingRequest"]["message"])
