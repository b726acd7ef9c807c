# Copyright glancetx contributors. See LICENSE for details.

"""
A zone's server with children whose parents are on a forged origin.
"""

from __future__ import annotations

import io
import random
import tarfile

from twisted.internet.defer import DeferredSemaphore

from glancetx.config import OriginConfig
from glancetx.limits import Limits
from tests.loopback import Loopback
from tests.servers import RunningServer, reactor

from .origin import FaultyOrigin, Framing, Parent, image_id
from .reading import Download, FaultCase

__all__ = ["CHILD", "SIZE", "ParentCase"]

CHILD = 5_000
SIZE = 300_000

FIRST_CHILD = 1_000_000


class ParentCase(FaultCase):
    """
    A test of chains over two servers.

    :ivar origin: has the parents.
    :ivar zone: has the children, which are all alike.
    """

    async def start(self, limits: Limits | None = None) -> None:
        """Start both servers."""
        self.origin = FaultyOrigin()
        self.loopback = Loopback(reactor, self.origin)
        self.addCleanup(self.loopback.stop)
        self.far = OriginConfig("far", self.loopback.url)
        self.zone: RunningServer = await self.serve([self.far], limits)
        self.child = random.randbytes(CHILD)
        self.data = random.randbytes(SIZE)
        self._count = 0
        self._few = DeferredSemaphore(8)

    async def make(self, framing: Framing = Framing.LENGTH, size: int = SIZE) -> Parent:
        """A parent that is well, and its child."""
        self._count += 1
        parent = Parent(self._count, self.data[:size], framing=framing)
        self.origin.add(parent)
        async with self._few:
            await self.zone.add(self.child, self.uri(parent), id=child_id(parent))
        return parent

    def uri(self, parent: Parent) -> str:
        """How others name the parent."""
        return f"{self.loopback.url}/images/{parent.id}"

    def path(self, parent: Parent, layout: str = "stream") -> str:
        """Where the zone has the child, with the parent."""
        return f"/images/{child_id(parent)}/{layout}"

    async def stream(self, parent: Parent, ranges: str | None = None) -> Download:
        """Read the child, and the parent behind it."""
        return await self.read(self.zone, self.path(parent), ranges)

    async def reference(self, parent: Parent, layout: str) -> bytes:
        """What a reader gets when nothing is wrong."""
        if layout == "stream":
            return self.child + parent.data
        found = await self.read(self.zone, self.path(parent, layout))
        with tarfile.open(fileobj=io.BytesIO(found.body)) as archive:
            files = [archive.extractfile(member) for member in archive]
        pieces = [file and file.read() for file in files[1:]]
        self.assertEqual(pieces, [self.child, parent.data])
        return found.body


def child_id(parent: Parent) -> str:
    """The id of the child that a test makes of a parent."""
    return image_id(FIRST_CHILD + parent.number)
