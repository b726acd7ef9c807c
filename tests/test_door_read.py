# Copyright glancetx contributors. See LICENSE for details.

"""
What comes out by the one-call door, and how it is told apart.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from uuid import uuid4

from .door import DATA, RAW, DoorCase
from .wire import Client, get


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
