# Copyright glancetx contributors. See LICENSE for details.

"""
A zone that reads its golden images by a real HTTP cache, as ``docs/caches.md`` says.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, ClassVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from glancetx.config import OriginConfig
from tests.servers import Reply, RunningServer, ServerCase, reactor

from .caches import NGINX, SQUID, VARNISH, Cache, Kind

SLICE = 8 * 1024 * 1024
GOLDEN = random.Random(5).randbytes(SLICE + 10_001)
SNAPSHOT = b"what differs"
PART = (SLICE + 1000, SLICE + 5000)


if TYPE_CHECKING:
    Base = ServerCase
else:
    Base = object  # trial would run the mixin, too


class CacheTests(Base):
    """What every cache does for a zone; a mixin."""

    kind: ClassVar[Kind]
    golden: RunningServer
    zone: RunningServer

    async def start(self) -> None:
        self.kind.require()
        self.golden = await self.serve()
        cache = Cache(self.kind, self.golden.port)
        self.addCleanup(lambda: Deferred.fromCoroutine(cache.stop()))
        await cache.listens()
        via = f"http://127.0.0.1:{cache.port}"
        self.zone = await self.serve([OriginConfig("global", self.golden.url, via=via)])

    async def chain(self, is_public: str = "true") -> str:
        """A golden image, and a snapshot in the zone upon it."""
        parent = await self.golden.add(GOLDEN, is_public=is_public)
        return await self.zone.add(SNAPSHOT, self.golden.uri(parent))

    async def read(self, snapshot: str) -> None:
        """Read a whole chain, which must be right."""
        reply = await self.zone.ask("GET", f"/images/{snapshot}/stream")
        self.assertEqual(len(reply.body), len(SNAPSHOT + GOLDEN))
        self.assertTrue(reply.body == SNAPSHOT + GOLDEN)

    async def read_part(self, snapshot: str) -> Reply:
        """Read some bytes of the golden image."""
        start, stop = (len(SNAPSHOT) + offset for offset in PART)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        reply = await self.zone.ask("GET", f"/images/{snapshot}/stream", headers)
        self.assertEqual(reply.code, 206)
        self.assertTrue(reply.body == GOLDEN[slice(*PART)])
        return reply

    async def counted(self, name: str) -> int:
        """The sum of a number that the global server counts."""
        text = (await self.golden.ask("GET", "/metrics")).body.decode("ascii")
        found = re.findall(rf"^glancetx_{name}\S* (\S+)$", text, re.MULTILINE)
        return sum(int(float(value)) for value in found)

    async def crossed(self) -> int:
        """How many bytes of images the global server has sent, to the last reader."""
        while self.golden.parts.site.transfers:  # a cache fills itself when it can
            await deferLater(reactor, 0.01)
        return await self.counted(r"sent_bytes_total\{")

    async def test_kept(self) -> None:
        """
        A golden image crosses the distance once, however often it is read.
        """
        await self.start()
        snapshot = await self.chain()
        for _ in range(3):
            await self.read(snapshot)
            self.assertEqual(await self.crossed(), len(GOLDEN))
        await self.read_part(snapshot)
        self.assertEqual(await self.crossed(), len(GOLDEN))

    async def test_part(self) -> None:
        """
        A part of an image that the cache has not is right, and kept.
        """
        await self.start()
        snapshot = await self.chain()
        await self.read_part(snapshot)
        before = await self.crossed()
        await self.read_part(snapshot)
        self.assertEqual(await self.crossed(), before)
        self.assertIn(before, range(1, len(GOLDEN) + 1))

    async def test_together(self) -> None:
        """
        Readers that come together are all served by one copy.
        """
        await self.start()
        snapshot = await self.chain()
        readers = [Deferred.fromCoroutine(self.read(snapshot)) for _ in range(5)]
        await gatherResults(readers)
        self.assertEqual(await self.crossed(), len(GOLDEN))

    async def test_private(self) -> None:
        """
        The global server is asked for a private image at each read.
        """
        await self.start()
        snapshot = await self.chain(is_public="false")
        asked = []
        for _ in range(3):
            await self.read(snapshot)
            asked.append(await self.counted(r'requests_total\{code="[23][^}]*GET'))
        self.assertGreater(asked[1], asked[0] + 1)  # one is the question itself
        self.assertGreater(asked[2], asked[1] + 1)


class VarnishTests(CacheTests, ServerCase):
    """``docs/samples/varnish.vcl``"""

    kind = VARNISH


class NginxTests(CacheTests, ServerCase):
    """``docs/samples/nginx-cache.conf``"""

    kind = NGINX


class SquidTests(CacheTests, ServerCase):
    """``docs/samples/squid.conf``"""

    kind = SQUID
