# Copyright glancetx contributors. See LICENSE for details.

"""
What is found by the one-call door, what goes, and what is counted.
"""

from __future__ import annotations

from uuid import uuid4

from .door import DATA, DoorCase


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
