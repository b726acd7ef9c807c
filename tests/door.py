# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of the one-call door of a whole server share.
"""

from __future__ import annotations

from .servers import Reply, RunningServer, ServerCase

__all__ = ["DATA", "RAW", "DoorCase"]

RAW = {"x-image-meta-disk_format": "raw"}
DATA = bytes(range(256)) * 300


class DoorCase(ServerCase):
    """A test with one server."""

    zone: RunningServer

    async def start(self) -> None:
        self.zone = await self.serve()

    async def post(self, body: bytes | None = DATA, **metadata: str) -> Reply:
        headers = {f"x-image-meta-{k}": v for k, v in metadata.items()}
        return await self.zone.ask("POST", "/images", RAW | headers, body)

    async def show(self, image_id: str) -> Reply:
        return await self.zone.ask("HEAD", f"/images/{image_id}")

    def assert_problem(self, reply: Reply, code: int, *words: str) -> None:
        """An answer is an error in nested JSON whose sentence has these words."""
        self.assertEqual(reply.code, code, reply)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["content-type"], "application/json")
        (problem,) = reply.json.values()
        self.assertEqual(problem["code"], code)
        for word in words:
            self.assertIn(word, problem["message"])
