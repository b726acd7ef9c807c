# Copyright glancetx contributors. See LICENSE for details.

"""
The one-call door of a whole server: what goes in, what comes out, what is refused.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from typing import Any
from uuid import uuid4

from glancetx.errors import CatalogueUnavailable, NoSuchPiece
from glancetx.image import Image

from .servers import Reply, RunningServer, ServerCase
from .wire import Client, get

RAW = {"x-image-meta-disk_format": "raw"}
DATA = bytes(range(256)) * 300


class DoorCase(ServerCase):
    """A test with one server."""

    zone: RunningServer

    async def start(self) -> None:
        self.zone = await self.serve()

    async def post(self, body: bytes | None = DATA, **metadata: str) -> Reply:
        headers = {f"x-image-meta-{k}": v for k, v in metadata.items()}
        return await self.zone.ask("POST", "/images", RAW | headers, body)

    async def show(self, image_id: str) -> Reply:
        return await self.zone.ask("HEAD", f"/images/{image_id}")

    def assert_problem(self, reply: Reply, code: int, *words: str) -> None:
        """An answer is an error in nested JSON whose sentence has these words."""
        self.assertEqual(reply.code, code, reply)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["content-type"], "application/json")
        (problem,) = reply.json.values()
        self.assertEqual(problem["code"], code)
        for word in words:
            self.assertIn(word, problem["message"])


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
        reply = await self.zone.ask("POST", "/images", headers, DATA)
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


class ReadTests(DoorCase):
    """``GET`` and ``HEAD /images/ID``"""

    async def test_headers(self) -> None:
        """
        An answer has its length, strong validators, its digest and cache rules.
        """
        await self.start()
        image_id = await self.zone.add(DATA, is_public="true")
        for method in ("GET", "HEAD"):
            reply = await self.zone.ask(method, f"/images/{image_id}")
            sha256 = hashlib.sha256(DATA)
            found = reply.headers
            self.assertEqual(reply.body, DATA if method == "GET" else b"")
            self.assertEqual(found["etag"], f'"sha256-{sha256.hexdigest()}"')
            digest = b64encode(sha256.digest()).decode("ascii")
            self.assertEqual(found["repr-digest"], f"sha-256=:{digest}:")
            self.assertEqual(found["accept-ranges"], "bytes")
            self.assertEqual(found["cache-control"], "public, max-age=60")
            self.assertTrue(found["last-modified"].endswith("GMT"))
            self.assertNotIn("vary", found)
            self.assertTrue(found["x-openstack-request-id"].startswith("req-"))

    async def test_length(self) -> None:
        """
        The answer to a HEAD has the length of the body that a GET would have.
        """
        await self.start()
        image_id = await self.zone.add(DATA)

        def heads(client: Client) -> list[bytes]:
            found = []
            for suffix in ("", "/stream", "/chain.tar", "/chain"):
                path = f"/images/{image_id}{suffix}".encode("ascii")
                client.send(get(path, b"HEAD"))
                found.append(client.answer(head=True).headers[b"content-length"])
                client.send(get(path))
                self.assertEqual(len(client.answer().body), int(found[-1]))
            return found

        lengths = await self.raw(self.zone, heads)
        self.assertEqual(lengths[:2], [b"%d" % len(DATA)] * 2)

    async def test_private(self) -> None:
        """
        Private images and joined answers are kept by no cache without asking.
        """
        await self.start()
        public = await self.zone.add(DATA, is_public="true")
        private = await self.zone.add(DATA)
        for path in (
            f"/images/{private}",
            f"/images/{public}/stream",
            f"/images/{public}/chain",
            f"/images/{public}/chain.tar",
        ):
            reply = await self.zone.ask("GET", path)
            self.assertEqual(reply.headers["cache-control"], "no-cache", path)

    async def test_conditions(self) -> None:
        """
        What the client has is not sent again, and what it does not expect not at all.
        """
        await self.start()
        path = f"/images/{await self.zone.add(DATA)}"
        shown = (await self.zone.ask("HEAD", path)).headers
        etag, date = shown["etag"], shown["last-modified"]
        cases = [
            ({"If-None-Match": etag}, 304),
            ({"If-None-Match": f'"x", W/{etag}'}, 304),
            ({"If-None-Match": '"x"'}, 200),
            ({"If-Modified-Since": date}, 304),
            ({"If-Match": etag}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": f"W/{etag}"}, 412),
            ({"Range": "bytes=0-9", "If-Range": etag}, 206),
            ({"Range": "bytes=0-9", "If-Range": '"x"'}, 200),
            ({"Range": "bytes=0-9", "If-Range": date}, 200),
            ({"Range": "bytes=9-0"}, 200),
            ({"Range": "bytes=" + ",".join(["0-0"] * 17)}, 200),
            ({"Range": "pages=1-2"}, 200),
        ]
        for headers, code in cases:
            reply = await self.zone.ask("GET", path, headers)
            self.assertEqual(reply.code, code, headers)
            if code == 304:
                self.assertEqual((reply.body, reply.headers["etag"]), (b"", etag))

    async def test_unknown(self) -> None:
        """
        An image that nobody has is a 404 that names it, whatever is asked of it.
        """
        await self.start()
        for image_id in (str(uuid4()), "not-an-id", "x" * 200):
            for suffix in ("", "/chain", "/stream", "/chain.tar"):
                reply = await self.zone.ask("GET", f"/images/{image_id}{suffix}")
                self.assert_problem(reply, 404, image_id)

    async def test_older_address(self) -> None:
        """
        The door is open below ``/v1`` as well.
        """
        await self.start()
        reply = await self.zone.ask("POST", "/v1/images", RAW, DATA)
        image_id = reply.json["image"]["id"]
        for suffix in ("", "/stream"):
            path = f"/v1/images/{image_id}{suffix}"
            self.assertEqual((await self.zone.ask("GET", path)).body, DATA)

    async def test_other_methods(self) -> None:
        """
        A method that an address does not take is a 405 that names those it takes.
        """
        await self.start()
        reply = await self.zone.ask("PATCH", "/images")
        self.assert_problem(reply, 405, "POST")
        self.assertEqual(reply.headers["allow"], "GET, HEAD, POST")
        self.assert_problem(await self.zone.ask("GET", "/nowhere"), 404)


class TroubleTests(DoorCase):
    """What goes wrong between the catalogue and the store."""

    async def test_deleted_meanwhile(self) -> None:
        """
        An image that is deleted while it is looked up is not here, and no mistake.
        """
        await self.start()
        images = self.zone.parts.images
        for name, path in [
            ("open", ""),
            ("open_chain", "/stream"),
            ("open_chain", "/chain.tar"),
        ]:
            image_id = await self.zone.add(DATA)
            found = getattr(images, name)

            async def late(image: Image, found: Any = found) -> Any:
                pieces = await found(image)
                await images.remove(image.id)
                return pieces

            patch = self.patch(images, name, late)
            reply = await self.zone.ask("GET", f"/images/{image_id}{path}")
            patch.restore()
            self.assert_problem(reply, 404, image_id)

    async def test_lost_piece(self) -> None:
        """
        A piece that is lost is our mistake: the image is still here.
        """
        await self.start()
        image_id = await self.zone.add(DATA)
        (piece,) = self.zone.pieces()
        os.remove(piece)
        for path in ("", "/stream", "/chain.tar"):
            reply = await self.zone.ask("GET", f"/images/{image_id}{path}")
            self.assert_problem(reply, 500)
        self.assertEqual(len(self.flushLoggedErrors(NoSuchPiece)), 3)

    async def test_undone_later(self) -> None:
        """
        A failed upload that the catalogue does not let us undo is undone before the
        next upload or deletion: its image does not stay saving.
        """
        await self.start()
        catalogue = self.zone.parts.catalogue

        async def full(*arguments: Any) -> None:
            raise CatalogueUnavailable("database or disk is full")

        for method, body, code in [("PUT", DATA, 200), ("DELETE", None, 204)]:
            image_id = await self.zone.add(None)
            path = f"/images/{image_id}"
            patches = [
                self.patch(catalogue, name, full) for name in ("commit", "abandon")
            ]
            self.assert_problem(await self.zone.ask("PUT", path, body=DATA), 503)
            self.assert_problem(await self.zone.ask(method, path, body=body), 503)
            for patch in patches:
                patch.restore()
            shown = await self.show(image_id)
            self.assertEqual(shown.headers["x-image-meta-status"], "saving")
            reply = await self.zone.ask(method, path, body=body)
            self.assertEqual(reply.code, code)
        self.assertEqual(len(self.zone.pieces()), 1)
        self.assertEqual(await catalogue.leftovers(), [])
        self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 2)


class RemoveTests(DoorCase):
    """``DELETE /images/ID``"""

    async def test_remove(self) -> None:
        """
        A deleted image and its bytes are gone at once.
        """
        await self.start()
        image_id = await self.zone.add(DATA)
        self.assertEqual(len(self.zone.pieces()), 1)
        reply = await self.zone.ask("DELETE", f"/images/{image_id}")
        self.assertEqual((reply.code, reply.body), (204, b""))
        gone = await self.zone.ask("GET", f"/images/{image_id}")
        self.assert_problem(gone, 404, image_id)
        self.assertEqual(self.zone.pieces(), [])

    async def test_parent(self) -> None:
        """
        A parent stays while a child is known, and can go after it.
        """
        await self.start()
        parent = await self.zone.add(DATA)
        child = await self.zone.add(b"difference", parent)
        refused = await self.zone.ask("DELETE", f"/images/{parent}")
        self.assert_problem(refused, 409, child)
        for image_id in (child, parent):
            reply = await self.zone.ask("DELETE", f"/images/{image_id}")
            self.assertEqual(reply.code, 204)

    async def test_conditions(self) -> None:
        """
        A DELETE or PUT that names other bytes than the image has is refused.
        """
        await self.start()
        path = f"/images/{await self.zone.add(DATA)}"
        waiting = f"/images/{await self.zone.add(None)}"
        etag = (await self.zone.ask("HEAD", path)).headers["etag"]
        for method, target, headers in [
            ("DELETE", path, {"If-Match": '"x"'}),
            ("DELETE", path, {"If-None-Match": etag}),
            ("DELETE", waiting, {"If-Match": "*"}),
            ("PUT", waiting, {"If-Match": etag}),
            ("PUT", path, {"If-None-Match": "*"}),
        ]:
            reply = await self.zone.ask(method, target, headers, DATA)
            self.assert_problem(reply, 412, target.rpartition("/")[2])
        for method, target, headers, code in [
            ("PUT", waiting, {"If-None-Match": "*"}, 200),
            ("DELETE", waiting, {"If-Match": "*"}, 204),
            ("DELETE", path, {"If-Match": etag}, 204),
        ]:
            reply = await self.zone.ask(method, target, headers, DATA)
            self.assertEqual(reply.code, code, (method, headers))


class ListTests(DoorCase):
    """``GET /images`` and ``/images/detail``"""

    async def names(self, query: str) -> list[str]:
        reply = await self.zone.ask("GET", f"/images?{query}")
        return [image["name"] for image in reply.json["images"]]

    async def test_filters(self) -> None:
        """
        Filters leave the images that match all of them.
        """
        await self.start()
        await self.zone.add(b"1", name="a")
        await self.zone.add(b"22", name="b", **{"property-os": "linux"})
        await self.zone.add(None, name="c", disk_format="qcow2")
        for query, expected in [
            ("", ["c", "b", "a"]),
            ("name=a", ["a"]),
            ("status=queued", ["c"]),
            ("disk_format=qcow2", ["c"]),
            ("size_min=2", ["b"]),
            ("size_max=1", ["a"]),
            ("property-os=linux", ["b"]),
            ("property-os=linux&name=a", []),
            ("container_format=bare&size_min=1&size_max=2", ["b", "a"]),
        ]:
            self.assertEqual(await self.names(query), expected, query)

    async def test_pages(self) -> None:
        """
        Pages follow each other by ``next`` until there is none.
        """
        await self.start()
        for number in range(5):
            await self.zone.add(None, name=str(number))
        found = []
        path = "/images/detail?limit=2"
        while path:
            document = (await self.zone.ask("GET", path)).json
            found += [image["name"] for image in document["images"]]
            path = document.get("next")
        self.assertEqual(found, ["4", "3", "2", "1", "0"])

    async def test_empty_page(self) -> None:
        """
        A page of no images has no next one, or it would never end.
        """
        await self.start()
        await self.zone.add(None)
        document = (await self.zone.ask("GET", "/images?limit=0")).json
        self.assertEqual(document, {"images": []})

    async def test_bad_queries(self) -> None:
        """
        An argument that cannot be used is refused by name.
        """
        await self.start()
        for query, word in [
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            (f"marker={uuid4()}", "marker"),
            ("size_min=big", "size_min"),
            ("colour=red", "colour"),
            ("name=a&name=b", "name"),
            ("name=%ff", "name: must be UTF-8"),
            ("na%ffme=a", "na\\xffme: must be UTF-8"),
            ("&".join(f"property-p{n}=1" for n in range(65)), "property-*"),
        ]:
            reply = await self.zone.ask("GET", f"/images?{query}")
            self.assert_problem(reply, 400, word)


class StatusTests(DoorCase):
    """``/healthcheck`` and ``/metrics``"""

    async def test_metrics(self) -> None:
        """
        Bytes are counted where they go.
        """
        await self.start()
        self.assertEqual((await self.zone.ask("GET", "/healthcheck")).body, b"OK\n")
        image_id = await self.zone.add(DATA)
        await self.zone.ask("GET", f"/images/{image_id}")
        await self.zone.ask("GET", f"/images/{image_id}/stream")
        text = (await self.zone.ask("GET", "/metrics")).body.decode("ascii")
        for line in [
            f"glancetx_received_bytes_total {len(DATA):.1f}",
            f'glancetx_sent_bytes_total{{layout="own"}} {len(DATA):.1f}',
            f'glancetx_sent_bytes_total{{layout="stream"}} {len(DATA):.1f}',
            'glancetx_requests_total{code="201",method="POST"} 1.0',
            'glancetx_chain_depth_bucket{le="1.0"} 1.0',
        ]:
            self.assertIn(line, text.splitlines())
