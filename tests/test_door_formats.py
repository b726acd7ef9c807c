# Copyright glancetx contributors. See LICENSE for details.

"""
The one-call door and the formats of what is brought to it.
"""

from __future__ import annotations

from .disks import GIB, make_qcow2, qcow2_disk
from .door import DATA, DoorCase
from .test_headers import DISKS, SIZES


class FormatTests(DoorCase):
    """Bytes that are, or are not, what they were declared to be."""

    async def test_virtual_size(self) -> None:
        """
        Every format says how large its disk is, in headers, in JSON and in the chain.
        """
        await self.start()
        for declared, disk in DISKS.items():
            reply = await self.post(disk, disk_format=declared)
            image = reply.json["image"]
            self.assertEqual(image["virtual_size"], SIZES[declared], declared)
            shown = await self.show(image["id"])
            size = str(SIZES[declared])
            self.assertEqual(shown.headers["x-image-meta-virtual_size"], size)
            chain = await self.zone.ask("GET", f"/images/{image['id']}/chain")
            [piece] = chain.json["chain"]
            self.assertEqual(piece["virtual_size"], SIZES[declared])

    async def test_refused(self) -> None:
        """
        What is not as declared is a 415 that says what it is; the record stays queued,
        nothing is kept, and bytes that are right are welcome still.
        """
        await self.start()
        image_id = await self.zone.add(None, disk_format="qcow2")
        path = f"/images/{image_id}"
        for body, words in (
            (DATA, ("disk_format", "qcow2 was declared")),
            (DISKS["vmdk"], ("disk_format", "the bytes are vmdk")),
            (qcow2_disk(backing="/etc/passwd"), ("disk_format", "backing file")),
        ):
            reply = await self.zone.ask("PUT", path, body=body)
            self.assert_problem(reply, 415, *words)
            shown = await self.show(image_id)
            self.assertEqual(shown.headers["x-image-meta-status"], "queued")
            self.assertEqual(self.zone.pieces(), [])
            self.assertEqual(await self.zone.parts.catalogue.leftovers(), [])
        reply = await self.zone.ask("PUT", path, body=DISKS["qcow2"])
        self.assertEqual(reply.json["image"]["status"], "active")

    async def test_refused_at_once(self) -> None:
        """
        So is what comes with its metadata; the answer says which record waits.
        """
        await self.start()
        reply = await self.post(DISKS["qcow2"])
        self.assert_problem(reply, 415, "raw was declared, but the bytes are qcow2")
        [image] = (await self.zone.ask("GET", "/images/detail")).json["images"]
        self.assertIn(image["id"], reply.body.decode("utf-8"))
        self.assertEqual((image["status"], image["size"]), ("queued", None))

    async def test_parent(self) -> None:
        """
        An image with a parent may name it, and is never taken for more than it is.
        """
        await self.start()
        golden = await self.zone.add(DISKS["qcow2"], disk_format="qcow2")
        named = make_qcow2(self.mktemp(), backing="/var/golden.qcow2").read_bytes()
        refused = await self.post(named, disk_format="qcow2")
        self.assert_problem(refused, 415, "names a backing file", "parent")
        child = await self.zone.add(named, golden, disk_format="qcow2")
        read = await self.zone.ask("GET", f"/images/{child}")
        self.assertEqual(read.body, named)
        self.assertEqual(read.headers["x-image-meta-virtual_size"], str(GIB))

    async def test_containers(self) -> None:
        """
        An archive of a disk is kept as it is.
        """
        await self.start()
        reply = await self.post(DATA, disk_format="vmdk", container_format="ova")
        image = reply.json["image"]
        self.assertEqual((image["status"], image["virtual_size"]), ("active", None))

    async def test_no_disk_yet(self) -> None:
        """
        An image of any format may be of no bytes.
        """
        await self.start()
        image_id = await self.zone.add(None, disk_format="qcow2")
        reply = await self.zone.ask("PUT", f"/images/{image_id}", body=b"")
        image = reply.json["image"]
        self.assertEqual((image["status"], image["virtual_size"]), ("active", None))
