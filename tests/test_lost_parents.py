# Copyright glancetx contributors. See LICENSE for details.

"""
Parents whose server is no longer configured, has moved, or has deleted them.
"""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.web.client import ResponseFailed

from glancetx.config import OriginConfig
from glancetx.errors import NoSuchPiece

from .servers import Reply, RunningServer, ServerCase

PARENT = random.Random(1).randbytes(30_000)
CHILD = b"what differs"


class LostParentTests(ServerCase):
    """A child in the zone, its parent on the global server."""

    golden: RunningServer
    zone: RunningServer
    parent: str
    child: str

    async def start(self) -> None:
        self.golden = await self.serve()
        self.zone = await self.serve([self.golden])
        self.parent = await self.golden.add(PARENT)
        self.child = await self.zone.add(CHILD, self.golden.uri(self.parent))

    async def reconfigure(self, *origins: OriginConfig) -> None:
        """The zone as it is with other origins, beside the one that was."""
        self.zone = await self.serve(origins, folder=self.zone.folder)

    async def read(self, layout: str = "", **headers: str) -> Reply:
        return await self.zone.ask("GET", f"/images/{self.child}{layout}", headers)

    def assert_problem(self, reply: Reply, code: int, *words: str) -> None:
        (problem,) = reply.json.values()
        self.assertEqual((reply.code, problem["code"]), (code, code))
        for word in words:
            self.assertIn(word, problem["message"])

    async def test_removed_origin(self) -> None:
        """
        A chain that leads to a server which is no longer configured is a 503 that
        names it; what the zone has itself can still be read.
        """
        await self.start()
        await self.reconfigure()
        for layout in ("/stream", "/chain.tar"):
            self.assert_problem(await self.read(layout), 503, self.golden.url)
        self.assertEqual((await self.read()).body, CHILD)
        manifest = (await self.read("/chain")).json
        self.assertEqual(manifest["size"], len(CHILD + PARENT))

    async def test_moved_origin(self) -> None:
        """
        A server that moved is read at its new address if the old one is an alias.
        """
        await self.start()
        moved = await self.serve(folder=self.golden.folder)
        names = (self.golden.url,)
        await self.reconfigure(OriginConfig("global", moved.url, aliases=names))
        self.assertEqual((await self.read("/stream")).body, CHILD + PARENT)
        counted = (await moved.ask("GET", "/metrics")).body.decode("ascii")
        self.assertIn(f'_sent_bytes_total{{layout="own"}} {len(PARENT)}.0\n', counted)

    async def test_deleted_parent(self) -> None:
        """
        A parent that its server was forced to delete is named where no byte has gone
        yet, and cuts a stream that has begun.
        """
        await self.start()
        await self.golden.ask("DELETE", f"/images/{self.parent}?force=true")
        part = await self.read("/stream", Range=f"bytes={len(CHILD)}-")
        self.assert_problem(part, 500, self.golden.uri(self.parent))
        whole = Deferred.fromCoroutine(self.read("/stream"))
        await self.assertFailure(whole, ResponseFailed)
        self.assertEqual(len(self.flushLoggedErrors(NoSuchPiece)), 2)
