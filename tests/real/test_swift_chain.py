# Copyright glancetx contributors. See LICENSE for details.

"""
A snapshot in a zone's folder, upon a golden image in a Swift far away.
"""

from __future__ import annotations

import random

from attrs import evolve

from glancetx.config import Config, OriginConfig, StoreConfig
from tests.wire import MIB

from .swift_case import SwiftServerCase

GOLDEN = random.Random(6).randbytes(9 * MIB + 4_321)
SNAPSHOT = random.Random(7).randbytes(MIB + 77)
ZONE = StoreConfig("main", "filesystem", {"path": "pieces"}, default=True)


class ChainTests(SwiftServerCase):
    """A global server with Swift, and a zone's server with a folder"""

    async def test_restored(self) -> None:
        """
        The zone sends both in one answer, whole and in part; the
        golden image lies in Swift alone, the snapshot in the zone's folder alone.
        """
        golden = await self.serve()
        zone = await self.serve([OriginConfig("global", golden.url)])
        parent = await golden.add(GOLDEN, is_public="true")
        snapshot = await zone.add(SNAPSHOT, golden.uri(parent))
        self.assertEqual(golden.pieces(), [])
        self.assertEqual(len(zone.pieces()), 1)
        self.assertGreater(len(self.names()), len(GOLDEN) // self.segment_size)
        path = f"/images/{snapshot}/stream"
        reply = await zone.ask("GET", path)
        self.assertTrue(reply.body == SNAPSHOT + GOLDEN)
        whole = reply.headers["etag"]
        start, stop = MIB // 2, 7 * MIB
        reply = await zone.ask("GET", path, {"Range": f"bytes={start}-{stop - 1}"})
        self.assertEqual((reply.code, reply.headers["etag"]), (206, whole))
        self.assertTrue(reply.body == (SNAPSHOT + GOLDEN)[start:stop])
        for server, name in ((zone, snapshot), (golden, f"{parent}?force=true")):
            reply = await server.ask("DELETE", f"/images/{name}")
            self.assertEqual(reply.code, 204)  # by force, as its lease lasts a while
        self.assertEqual(zone.pieces(), [])
        await self.story(self.assert_empty)

    def config(self, *args: object, **kwargs: object) -> Config:
        config = super().config(*args, **kwargs)
        return evolve(config, stores=(ZONE,)) if config.origins else config
