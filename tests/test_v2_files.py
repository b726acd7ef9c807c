# Copyright glancetx contributors. See LICENSE for details.

"""
Bytes by the Image API v2 of a whole server: ``/v2/images/ID/file``.
"""

from __future__ import annotations

from hashlib import md5

from .servers import Reply
from .test_v2_images import RecordCase

OCTETS = "application/octet-stream"
DATA = bytes(range(100))
FORMATS = {"disk_format": "raw", "container_format": "bare"}


class FileCase(RecordCase):
    """A test with one server, whose callers may do everything."""

    async def put(
        self, image_id: str, data: bytes = DATA, media_type: str = OCTETS, **more: str
    ) -> Reply:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        path = f"/v2/images/{image_id}/file"
        return await self.zone.ask(
            "PUT", path, {"content-type": media_type, **headers}, data
        )

    async def get(
        self, image_id: str, method: str = "GET", query: str = "", **headers: str
    ) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.zone.ask(method, f"/v2/images/{image_id}/file{query}", sent)

    async def stored(self, **fields: str) -> str:
        """An image with bytes; returns its id."""
        image_id: str = (await self.make(**FORMATS, **fields))["id"]
        reply = await self.put(image_id)
        self.assertEqual((reply.code, reply.body), (204, b""))
        return image_id


class UploadTests(FileCase):
    """``PUT``"""

    async def test_formats(self) -> None:
        """
        Bytes of no format are not taken; the answer names what is missing.
        """
        await self.start()
        for fields, words in (
            ({}, "disk_format and container_format: must be given"),
            ({"disk_format": "raw"}, "container_format: must be given"),
            ({"container_format": "bare"}, "disk_format: must be given"),
        ):
            image_id = (await self.make(**fields))["id"]
            reply = await self.put(image_id)
            self.assert_problem(reply, 400, words)
            self.assertEqual((await self.record(image_id))["status"], "queued")

    async def test_media_type(self) -> None:
        """
        Bytes come as ``application/octet-stream``, without any parameter.
        """
        await self.start()
        image_id = (await self.make(**FORMATS))["id"]
        for media_type in ("text/plain", f"{OCTETS}; charset=UTF-8", "multipart/mixed"):
            reply = await self.put(image_id, media_type=media_type)
            self.assert_problem(reply, 415, OCTETS)

    async def test_promised_size(self) -> None:
        """
        As many bytes come as ``x-openstack-image-size`` says; it is queued otherwise.
        """
        await self.start()
        image_id = (await self.make(**FORMATS))["id"]
        for size in (str(len(DATA) - 1), str(len(DATA) + 1), "-1", "x", "1e3"):
            reply = await self.put(image_id, x_openstack_image_size=size)
            self.assert_problem(reply, 400, "size")
            self.assertEqual((await self.record(image_id))["status"], "queued")
        reply = await self.put(image_id, x_openstack_image_size=str(len(DATA)))
        self.assertEqual(reply.code, 204)
        self.assertEqual((await self.record(image_id))["size"], len(DATA))

    async def test_once(self) -> None:
        """
        Bytes come once.
        """
        await self.start()
        image_id = await self.stored()
        self.assert_problem(await self.put(image_id), 409, "is active, not queued")

    async def test_other_format(self) -> None:
        """
        What is not of the declared format leaves the image queued.
        """
        await self.start()
        image_id = (await self.make(**FORMATS | {"disk_format": "qcow2"}))["id"]
        reply = await self.put(image_id)
        self.assert_problem(reply, 415, "disk_format", "qcow2")
        self.assertEqual((await self.record(image_id))["status"], "queued")

    async def test_frozen(self) -> None:
        """
        The formats of an image with bytes stay as they are.
        """
        await self.start()
        image_id = await self.stored()
        for name, value in (("disk_format", "iso"), ("container_format", "ova")):
            path = {"path": f"/{name}"}
            reply = await self.patch(
                image_id, {"op": "replace", **path, "value": value}
            )
            self.assert_problem(reply, 403, name)
            same = {"op": "replace", **path, "value": FORMATS[name]}
            self.assertEqual((await self.patch(image_id, same)).code, 200)


class ReadTests(FileCase):
    """``GET`` and ``HEAD``"""

    async def test_headers(self) -> None:
        """
        The type is exactly what clients look for, the MD5 in hex as Glance has it.
        """
        await self.start()
        image_id = await self.stored()
        for method, body in (("GET", DATA), ("HEAD", b"")):
            reply = await self.get(image_id, method)
            self.assertEqual((reply.code, reply.body), (200, body))
            for name, value in (
                ("content-type", OCTETS),
                ("content-md5", md5(DATA, usedforsecurity=False).hexdigest()),
                ("accept-ranges", "bytes"),
            ):
                self.assertEqual(reply.headers[name], value, (method, name))

    async def test_parts(self) -> None:
        """
        A part has no MD5 of the whole beside it.
        """
        await self.start()
        image_id = await self.stored()
        for ranges in ("bytes=10-19", "bytes=10-19,30-39"):
            reply = await self.get(image_id, Range=ranges)
            self.assertEqual(reply.code, 206)
            self.assertIn(DATA[10:20], reply.body)
            self.assertNotIn("content-md5", reply.headers)
        etag = reply.headers["etag"]
        reply = await self.get(image_id, If_None_Match=etag)
        self.assertEqual(reply.code, 304)
        self.assertNotIn("content-md5", reply.headers)

    async def test_old_range(self) -> None:
        """
        Old clients ask for a part by ``Content-Range``.
        """
        await self.start()
        image_id = await self.stored()
        for text in ("bytes 10-19/*", f"bytes 10-19/{len(DATA)}"):
            reply = await self.get(image_id, Content_Range=text)
            self.assertEqual((reply.code, reply.body), (206, DATA[10:20]))
            place = f"bytes 10-19/{len(DATA)}"
            self.assertEqual(reply.headers["content-range"], place)
        reply = await self.get(image_id, Content_Range="bytes 0-1/*", Range="bytes=2-3")
        self.assertEqual(reply.body, DATA[2:4])
        for text in ("bytes */10", "items 0-1/2", "x"):
            reply = await self.get(image_id, Content_Range=text)
            self.assert_problem(reply, 400, "Content-Range")

    async def test_no_bytes(self) -> None:
        """
        An image that waits for its bytes is a 204; one of no bytes is not.
        """
        await self.start()
        image_id = (await self.make(**FORMATS))["id"]
        for method in ("GET", "HEAD"):
            reply = await self.get(image_id, method)
            self.assertEqual((reply.code, reply.body), (204, b""))
        self.assertEqual((await self.put(image_id, b"")).code, 204)
        reply = await self.get(image_id)
        self.assertEqual((reply.code, reply.body), (200, b""))

    async def test_layout(self) -> None:
        """
        There is no layout here but the image's own, with or without a parent.
        """
        await self.start()
        parent = await self.stored()
        child = await self.stored(parent_id=parent)
        for image_id in (parent, child):
            reply = await self.get(image_id, query="?layout=own")
            self.assertEqual((reply.code, reply.body), (200, DATA))
            for query in ("layout=stream", "layout=", "layout=own&layout=own"):
                reply = await self.get(image_id, query=f"?{query}")
                self.assert_problem(reply, 400, "layout: must be own")
