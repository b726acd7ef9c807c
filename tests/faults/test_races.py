# Copyright glancetx contributors. See LICENSE for details.

"""
Two servers on one catalogue and one store: who comes first, and nobody else.
"""

from __future__ import annotations

import random
from functools import partial

from twisted.internet.defer import Deferred, gatherResults

from tests.players import image_id
from tests.wire import Client

from .reading import FaultCase
from .uploads import request

ROUNDS = 20
LOOKS = 10_000


class RaceTests(FaultCase):
    """Uploads to one image by two servers."""

    async def start(self) -> None:
        self.one = await self.serve()
        self.two = await self.serve(folder=self.one.folder)
        self.servers = [self.one, self.two]

    async def race(
        self, name: str, bodies: list[bytes], also: list[bytes]
    ) -> list[int]:
        """Send uploads, and other requests, all at once; the statuses."""
        length = b"Content-Length: %d"
        path = f"/images/{name}"
        requests = also + [
            request(b"PUT", path, length % len(body)) + body for body in bodies
        ]

        def work(data: bytes, client: Client) -> int:
            client.send(data)
            return client.answer().code

        asking = [
            self.raw(self.servers[number % 2], partial(work, data))
            for number, data in enumerate(requests)
        ]
        codes = await gatherResults(asking, consumeErrors=True)
        for server in self.servers:
            await server.parts.images.settled()
        return codes

    async def pieces(self) -> int:
        """How many files there are; nothing waits to be removed."""
        self.assertEqual(await self.one.parts.catalogue.leftovers(), [])
        return len(self.one.pieces())

    async def read_all(self, name: str) -> list[bytes]:
        path = f"/images/{name}"
        replies = [await server.ask("GET", path) for server in self.servers]
        return [reply.body for reply in replies if reply.code == 200]

    async def test_uploads(self) -> None:
        """
        Of several uploads exactly one wins, by whichever server; the others are told
        so, and the image has the winner's bytes alone.
        """
        await self.start()
        for number in range(ROUNDS):
            name = await self.servers[number % 2].add(None, id=image_id(number))
            bodies = [
                random.randbytes(random.randint(1, 600_000))
                for _ in range(random.randint(2, 4))
            ]
            codes = await self.race(name, bodies, [])
            self.assertEqual(sorted(codes), [200] + [409] * (len(bodies) - 1))
            winner = bodies[codes.index(200)]
            self.assertTrue(await self.read_all(name) == [winner, winner])
            self.assertEqual(await self.pieces(), number + 1)

    async def test_deletion(self) -> None:
        """
        With a deletion among them, the image is gone with all bytes, or has the
        winner's and the deletion was refused.
        """
        await self.start()
        kept = 0
        for number in range(ROUNDS):
            name = await self.servers[number % 2].add(None, id=image_id(number))
            bodies = [random.randbytes(300_000) for _ in range(2)]
            also = [request(b"DELETE", f"/images/{name}")]
            deleted, *codes = await self.race(name, bodies, also)
            self.assertIn(deleted, (204, 409))
            self.assertLessEqual(codes.count(200), 1)
            self.assertLessEqual(set(codes), {200, 404, 409})
            if deleted == 409:
                kept += 1
                winner = bodies[codes.index(200)]
                self.assertTrue(await self.read_all(name) == [winner, winner])
            else:
                self.assertEqual(await self.read_all(name), [])
            self.assertEqual(await self.pieces(), kept)

    async def test_persistent_deletion(self) -> None:
        """
        Who asks for the deletion of what is being uploaded, until he is heard, has it
        in the end; the upload ended before.
        """
        await self.start()
        for number in range(ROUNDS):
            name = await self.servers[number % 2].add(None, id=image_id(number))
            racing = Deferred.fromCoroutine(
                self.race(name, [random.randbytes(10**6)], [])
            )
            delete = partial(delete_begun, f"/images/{name}")
            codes = await self.raw(self.servers[number // 2 % 2], delete)
            self.assertEqual(set(codes[:-1]), {409})
            self.assertEqual(codes[-1], 204)
            self.assertEqual(await racing, [200])
            self.assertEqual(await self.read_all(name), [])
            self.assertEqual(await self.pieces(), 0)

    async def test_one_id(self) -> None:
        """
        Of several images that are made with one id, exactly one is.
        """
        await self.start()
        for number in range(ROUNDS):
            named = b"X-Image-Meta-Id: " + image_id(number).encode("ascii")
            bodies = [random.randbytes(1000) for _ in range(3)]
            facts = named, b"X-Image-Meta-Disk_format: raw", b"Content-Length: 1000"
            making = [request(b"POST", "/images", *facts) + body for body in bodies]
            codes = await self.race(image_id(number), [], making)
            self.assertEqual(sorted(codes), [201, 409, 409])
            winner = bodies[codes.index(201)]
            self.assertTrue(await self.read_all(image_id(number)) == [winner, winner])
            self.assertEqual(await self.pieces(), number + 1)


def delete_begun(path: str, client: Client) -> list[int]:
    """Delete an image as soon as its upload has begun; all answers."""
    for _ in range(LOOKS):
        client.send(request(b"HEAD", path))
        status = client.answer(head=True).headers[b"x-image-meta-status"]
        if status != b"queued":
            break
    codes = [409]
    while codes[-1] == 409:
        client.send(request(b"DELETE", path))
        codes.append(client.answer().code)
    return codes
