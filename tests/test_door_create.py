# Copyright glancetx contributors. See LICENSE for details.

"""
What goes in by the one-call door, and what is refused.
"""

from __future__ import annotations

import hashlib
from uuid import uuid4

from .disks import make_qcow2
from .door import DATA, RAW, DoorCase


class CreateTests(DoorCase):
    """``POST /images``"""

    async def test_with_bytes(self) -> None:
        """
        One call makes an active image, whose digests are those of its bytes.
        """
        await self.start()
        reply = await self.post(name="golden", is_public="true", min_ram="512")
        self.assertEqual(reply.code, 201)
        image = reply.json["image"]
        self.assertEqual(reply.headers["location"], self.zone.uri(image["id"]))
        self.assertEqual(image["status"], "active")
        self.assertEqual(image["size"], len(DATA))
        self.assertEqual(image["checksum"], hashlib.md5(DATA).hexdigest())
        self.assertEqual(image["os_hash_algo"], "sha256")
        self.assertEqual(image["os_hash_value"], hashlib.sha256(DATA).hexdigest())
        self.assertEqual(image["name"], "golden")
        self.assertEqual(image["min_ram"], 512)
        self.assertIs(image["is_public"], True)

    async def test_header_forms(self) -> None:
        """
        Names are read with dashes and in any case, values as UTF-8.
        """
        await self.start()
        headers = {
            "X-Image-Meta-Disk-Format": "qcow2",
            "x-image-meta-NAME": 'Größe \N{SNOWMAN} \U0001f600 "quoted"',
            "X-Image-Meta-Property-Os-Type": "linux",
        }
        disk = make_qcow2(self.mktemp()).read_bytes()
        reply = await self.zone.ask("POST", "/images", headers, disk)
        image = reply.json["image"]
        self.assertEqual(image["disk_format"], "qcow2")
        self.assertEqual(image["properties"], {"os_type": "linux"})
        shown = await self.show(image["id"])
        name = headers["x-image-meta-NAME"]
        self.assertEqual(shown.headers["x-image-meta-name"], name)
        self.assertEqual(shown.headers["x-image-meta-property-os_type"], "linux")

    async def test_without_bytes(self) -> None:
        """
        Without a body the record stays queued; a PUT then brings the bytes, once.
        """
        await self.start()
        image_id = await self.zone.add(None)
        empty = await self.zone.ask("GET", f"/images/{image_id}")
        self.assertEqual((empty.code, empty.body), (204, b""))
        self.assertEqual(empty.headers["x-image-meta-status"], "queued")
        path = f"/images/{image_id}"
        reply = await self.zone.ask("PUT", path, body=DATA)
        self.assertEqual(reply.code, 200)
        self.assertEqual(reply.json["image"]["status"], "active")
        again = await self.zone.ask("PUT", path, body=b"other bytes")
        self.assert_problem(again, 409, image_id, "active")
        self.assertEqual((await self.zone.ask("GET", path)).body, DATA)

    async def test_empty_piece(self) -> None:
        """
        A PUT of no bytes makes an active image of no bytes.
        """
        await self.start()
        image_id = await self.zone.add(None)
        reply = await self.zone.ask("PUT", f"/images/{image_id}", body=b"")
        self.assertEqual(reply.json["image"]["size"], 0)
        read = await self.zone.ask("GET", f"/images/{image_id}")
        self.assertEqual((read.code, read.body), (200, b""))

    async def test_late_metadata(self) -> None:
        """
        A PUT that would change the metadata is refused, and brings no bytes.
        """
        await self.start()
        path = f"/images/{await self.zone.add(None)}"
        headers = {"X-Image-Meta-Disk_format": "qcow2"}
        refused = await self.zone.ask("PUT", path, headers, DATA)
        self.assert_problem(refused, 400, "disk_format", "POST")
        self.assertEqual(self.zone.pieces(), [])
        self.assertEqual((await self.zone.ask("PUT", path, body=DATA)).code, 200)

    async def test_taken_id(self) -> None:
        """
        An id that is or was taken is refused, and the image that has it is unharmed.
        """
        await self.start()
        image_id = str(uuid4())
        self.assertEqual((await self.post(id=image_id)).code, 201)
        self.assert_problem(await self.post(b"other", id=image_id), 409, image_id)
        path = f"/images/{image_id}"
        self.assertEqual((await self.zone.ask("GET", path)).body, DATA)
        self.assertEqual((await self.zone.ask("DELETE", path)).code, 204)
        self.assert_problem(await self.post(id=image_id), 409, image_id)

    async def test_wrong_promises(self) -> None:
        """
        A body that is not what the headers promise is refused; no byte of it is kept.
        """
        await self.start()
        wrong_md5 = "0" * 32
        self.assert_problem(await self.post(size="5"), 400, "size")
        self.assert_problem(await self.post(checksum=wrong_md5), 400, "checksum")
        found = (await self.zone.ask("GET", "/images/detail")).json["images"]
        self.assertEqual([image["status"] for image in found], ["queued"])
        self.assertEqual(self.zone.pieces(), [])

    async def test_parts(self) -> None:
        """
        A part of a body, or a coded one, is not taken for the image.
        """
        await self.start()
        image_id = await self.zone.add(None)
        for name, value in [
            ("Content-Range", "bytes 100-199/200"),
            ("Content-Encoding", "gzip"),
            ("Content-Encoding", "identity, br"),
        ]:
            for method, path in [("POST", "/images"), ("PUT", f"/images/{image_id}")]:
                headers = (RAW if method == "POST" else {}) | {name: value}
                reply = await self.zone.ask(method, path, headers, DATA)
                self.assert_problem(reply, 400, name)
        found = (await self.zone.ask("GET", "/images/detail")).json["images"]
        self.assertEqual([image["status"] for image in found], ["queued"])
        plain = {"Content-Encoding": "identity"}
        reply = await self.zone.ask("PUT", f"/images/{image_id}", plain, DATA)
        self.assertEqual(reply.code, 200)

    async def test_right_promises(self) -> None:
        """
        Size and checksum that are right are accepted.
        """
        await self.start()
        md5 = hashlib.md5(DATA).hexdigest().upper()
        reply = await self.post(size=str(len(DATA)), checksum=md5)
        self.assertEqual(reply.code, 201)

    async def test_bad_metadata(self) -> None:
        """
        Metadata that cannot be used are refused by name, and leave no record.
        """
        await self.start()
        bad = {
            "id": "NOT-A-UUID",
            "disk_format": "no/such",
            "min_disk": "-1",
            "min_ram": "9" * 25,
            "is_public": "perhaps",
            "checksum": "md5",
            "size": "many",
            "colour": "red",
            "name": "x" * 256,
            "property-": "nameless",
            "property-long": "\N{SNOWMAN}" * 1366,
            "property-parent_id": str(uuid4()),
            "parent_id": "http://elsewhere.invalid/images/" + str(uuid4()),
        }
        for name, value in bad.items():
            words = name.replace("-", "_").rstrip("_")
            self.assert_problem(await self.post(DATA, **{name: value}), 400, words)
        missing = await self.zone.ask("POST", "/images", {}, DATA)
        self.assert_problem(missing, 400, "disk_format")
        found = (await self.zone.ask("GET", "/images")).json
        self.assertEqual(found, {"images": []})
