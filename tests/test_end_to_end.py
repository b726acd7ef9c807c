# Copyright glancetx contributors. See LICENSE for details.

"""
Chains over one, two and three servers: what goes in comes out, by every layout.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Sequence

from .servers import Reply, RunningServer, ServerCase


class ChainTests(ServerCase):
    """Chains of real servers on loopback."""

    async def build(
        self, servers: Sequence[RunningServer], depth: int
    ) -> tuple[str, list[bytes]]:
        """
        A chain whose images lie on the servers in turn, the child on the first.

        Returns the child's id and the pieces, child first.
        """
        parent = None
        pieces: list[bytes] = []
        for number in reversed(range(depth)):
            server = servers[number % len(servers)]
            data = bytes([number % 256]) * (1000 + number * 37)
            image_id = await server.add(data, parent)
            parent = server.uri(image_id)
            pieces.insert(0, data)
        return image_id, pieces

    async def check(self, servers: Sequence[RunningServer], depth: int) -> str:
        """Build a chain and read it by every layout; returns the child's id."""
        image_id, pieces = await self.build(servers, depth)
        zone = servers[0]
        stream = await zone.ask("GET", f"/images/{image_id}/stream")
        self.assertEqual(stream.code, 200)
        self.assertEqual(stream.body, b"".join(pieces))
        manifest = (await zone.ask("GET", f"/images/{image_id}/chain")).json
        self.assertEqual(len(manifest["chain"]), depth)
        archive = await zone.ask("GET", f"/images/{image_id}/chain.tar")
        with tarfile.open(fileobj=io.BytesIO(archive.body)) as members:
            found = [members.extractfile(member).read() for member in members]  # type: ignore[union-attr]
        self.assertEqual(found[1:], pieces)
        for entry, piece in zip(manifest["chain"], pieces, strict=True):
            start = entry["offset"]
            self.assertEqual(stream.body[start : start + entry["size"]], piece)
            start = entry["tar_offset"]
            self.assertEqual(archive.body[start : start + entry["size"]], piece)
        self.assertEqual(manifest["size"], len(stream.body))
        self.assertEqual(manifest["tar_size"], len(archive.body))
        return image_id

    async def test_one_server(self) -> None:
        """
        Chains of 1, 2, 3 and 64 images on one server.
        """
        servers = [await self.serve()]
        for depth in (1, 2, 3, 64):
            await self.check(servers, depth)

    async def test_two_servers(self) -> None:
        """
        Chains of 2, 3 and 64 images that lie on two servers in turn; a 65th image is
        refused, and leaves no record.
        """
        servers = await self.serve_circle(2)
        for depth in (2, 3, 64):
            image_id = await self.check(servers, depth)
        before = (await servers[1].ask("GET", "/images?limit=100")).json
        headers = {
            "x-image-meta-parent_id": servers[0].uri(image_id),
            "x-image-meta-disk_format": "raw",
        }
        reply = await servers[1].ask("POST", "/images", headers, b"one too many")
        self.assertEqual(reply.code, 400)
        self.assertIn("parent_id", reply.json["badRequest"]["message"])
        after = (await servers[1].ask("GET", "/images?limit=100")).json
        self.assertEqual(after, before)

    async def test_three_servers(self) -> None:
        """
        Chains of 3 and 64 images that lie on three servers in turn.
        """
        servers = await self.serve_circle(3)
        for depth in (3, 64):
            await self.check(servers, depth)


class RangeTests(ServerCase):
    """Every shape of range, on every layout, against plain concatenation."""

    async def test_ranges(self) -> None:
        """
        Single, suffix, open, overlapping and many ranges give exactly their bytes.
        """
        golden, zone = await self.serve_circle(2)
        parent = await golden.add(random.randbytes(200_000))
        middle = await zone.add(random.randbytes(70_001), golden.uri(parent))
        child = await zone.add(random.randbytes(5_000), middle)
        for layout in ("", "/stream", "/chain.tar"):
            path = f"/images/{child}{layout}"
            whole = await zone.ask("GET", path)
            for ranges in _shapes(len(whole.body)):
                await self.check(zone, path, whole, ranges)

    async def check(
        self, zone: RunningServer, path: str, whole: Reply, ranges: list[str]
    ) -> None:
        headers = {"Range": "bytes=" + ",".join(ranges)}
        reply = await zone.ask("GET", path, headers)
        slices = [part for one in ranges if (part := _slice(one, len(whole.body)))]
        if not slices:
            self.assertEqual(reply.code, 416, ranges)
            expected = f"bytes */{len(whole.body)}"
            self.assertEqual(reply.headers["content-range"], expected)
            return
        self.assertEqual(reply.code, 206, ranges)
        self.assertEqual(reply.headers["etag"], whole.headers["etag"])
        expected_parts = [whole.body[start:stop] for start, stop in slices]
        if len(slices) == 1:
            self.assertEqual(reply.body, expected_parts[0], ranges)
        else:
            self.assertEqual(_parts(reply), expected_parts, ranges)


def _shapes(size: int) -> list[list[str]]:
    """Ranges of all kinds, the same in each run."""
    dice = random.Random(size)
    shapes = [["0-0"], [f"{size - 1}-"], [f"{size}-"], ["-1"], ["-0"], [f"-{size + 9}"]]
    for _ in range(25):
        start = dice.randrange(size)
        stop = dice.randrange(start, size + 100)
        shapes.append([f"{start}-{stop}"])
    for _ in range(12):
        count = dice.randint(2, 16)
        one = [dice.choice(shapes[:31])[0] for _ in range(count)]
        shapes.append(one)
    return shapes


def _slice(text: str, size: int) -> tuple[int, int] | None:
    first, _, last = text.partition("-")
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    return (start, stop) if start < stop else None


def _parts(reply: Reply) -> list[bytes]:
    """The parts of a ``multipart/byteranges`` body."""
    boundary = reply.headers["content-type"].partition("boundary=")[2].encode("ascii")
    first, *parts, last = reply.body.split(b"\r\n--" + boundary)
    assert first == b"" and last == b"--\r\n"
    return [part.partition(b"\r\n\r\n")[2] for part in parts]
