# Copyright glancetx contributors. See LICENSE for details.

"""
Uploads that are not what they were declared to be, while they come.
"""

from __future__ import annotations

import random

from tests.disks import MIB, patch, qcow2_disk, vhdx_disk
from tests.wire import Answer, Client

from .uploads import UploadCase, request

CHUNKED = b"Transfer-Encoding: chunked"


class WrongFormatTests(UploadCase):
    """Bodies whose first bytes say enough."""

    async def test_early(self) -> None:
        """
        The answer is there while most of the body is still to come, whether its length
        is known or not; nothing is left of it.
        """
        await self.start()
        for framing, frame in (
            (b"Content-Length: 134217728", b"%b"),
            (CHUNKED, b"10000\r\n%b\r\n"),
        ):
            name = await self.queued()
            head = request(b"PUT", f"/images/{name}", framing)
            answer = await self.send(head + frame % qcow2_disk()[:65536])
            self.assertEqual(answer.code, 415)
            self.assertIn(b"raw was declared, but the bytes are qcow2", answer.body)
            await self.settled()
            self.assertEqual(await self.status(name), "queued")
        await self.check_kept()

    async def test_first_batch(self) -> None:
        """
        The first 64 KiB are enough, in however small bits they come.
        """
        await self.start()
        name, disk = await self.queued(), qcow2_disk()
        head = request(b"PUT", f"/images/{name}", b"Content-Length: 1048576")

        def work(client: Client) -> Answer:
            client.send(head)
            for offset in range(0, 65536, 97):
                client.send(disk[offset : offset + 97])
            return client.answer()

        self.assertEqual((await self.raw(self.zone, work)).code, 415)
        await self.settled()
        self.assertEqual(await self.status(name), "queued")
        await self.check_kept()

    async def test_late(self) -> None:
        """
        What is known only after some MiB is refused then, and nothing is left either.
        """
        await self.start()
        disk = patch(vhdx_disk(metadata=8 * MIB), 8 * MIB, b"METADATA")
        name = await self.zone.add(None, id=self.next_id(), disk_format="vhdx")
        self.assertEqual(await self.put(name, disk + random.randbytes(MIB)), 415)
        self.assertEqual(await self.status(name), "queued")
        await self.check_kept()

    async def test_many(self) -> None:
        """
        Many at once harm no good one beside them.
        """
        await self.start()
        body = random.randbytes(MIB)
        good = await self.queued()
        bad = [await self.queued() for _ in range(20)]
        answers = [
            self.zone.ask("PUT", f"/images/{one}", None, qcow2_disk()) for one in bad
        ]
        code = await self.put(good, body)
        self.assertEqual({(await one).code for one in answers}, {415})
        self.assertEqual(code, 200)
        await self.check_kept((good, body))
