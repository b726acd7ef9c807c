# Copyright glancetx contributors. See LICENSE for details.

"""
Signed URLs against a whole server: what they open, and what they do not.
"""

from __future__ import annotations

import os
from datetime import timedelta
from hashlib import sha256

from attrs import evolve

from glancetx.caller import Grant
from glancetx.identity.keyfile import add_key
from glancetx.identity.signatures import Signatures

from .personas import PersonaCase
from .servers import RunningServer

DATA = b"some bytes"
DIGEST = f"sha256:{sha256(DATA).hexdigest()}"
OCTETS = "application/octet-stream"
HOUR = timedelta(hours=1)


class SignedTests(PersonaCase):
    """Requests of those who have no token."""

    server: RunningServer

    async def start(self) -> None:
        folder = os.path.dirname(self.identity.tokens_file or "")
        keys = os.path.join(folder, "keys.toml")
        add_key(keys)
        identity = evolve(self.identity, signing_keys_file=keys)
        self.server = await self.serve(identity=identity)
        self.signer = Signatures(keys)

    def signed(self, path: str, grant: Grant) -> str:
        return f"{path}?{self.signer.sign(grant, path, HOUR)}"

    async def test_read(self) -> None:
        """
        A signed address is read as it stands, by any layout that it was signed for,
        and no cache that is shared keeps what is not public.
        """
        await self.start()
        image_id = await self.make(self.server, "owner", {"visibility": "private"})
        grant = Grant("GET", image_id, DIGEST)
        for path in (
            f"/images/{image_id}",
            f"/images/{image_id}/stream",
            f"/v2/images/{image_id}/file",
        ):
            url = self.signed(path, grant)
            reply = await self.ask(self.server, "nobody", "GET", url)
            self.assertEqual((reply.code, reply.body), (200, DATA), path)
            self.assertIn("private", reply.headers["cache-control"])
            reply = await self.ask(self.server, "nobody", "HEAD", url)
            self.assertEqual(reply.code, 200, path)
            reply = await self.ask(self.server, "nobody", "GET", path)
            self.assertEqual(reply.code, 401, path)

    async def test_nothing_else(self) -> None:
        """
        It opens no other address, method or image, and not the record.
        """
        await self.start()
        image_id = await self.make(self.server, "owner", {"visibility": "private"})
        other = await self.make(self.server, "owner", {"visibility": "private"})
        url = self.signed(f"/images/{image_id}", Grant("GET", image_id, DIGEST))
        query = url.partition("?")[2]
        for method, path in (
            ("GET", f"/images/{other}"),
            ("GET", f"/images/{image_id}/stream"),
            ("GET", f"/v2/images/{image_id}"),
            ("GET", "/v2/images"),
            ("DELETE", f"/images/{image_id}"),
            ("DELETE", f"/v2/images/{image_id}"),
        ):
            reply = await self.ask(self.server, "nobody", method, f"{path}?{query}")
            self.assertEqual(reply.code, 401, (method, path, reply))

    async def test_other_bytes(self) -> None:
        """
        It opens the bytes that it was signed for, and no others.
        """
        await self.start()
        image_id = await self.make(self.server, "owner", {"visibility": "private"})
        grant = Grant("GET", image_id, "sha256:" + "0" * 64)
        url = self.signed(f"/images/{image_id}", grant)
        reply = await self.ask(self.server, "nobody", "GET", url)
        self.assertEqual(reply.code, 404, reply)

    async def test_store(self) -> None:
        """
        A signed upload brings the bytes that were promised, once.
        """
        await self.start()
        image_id = await self.make(self.server, "owner", {}, None)
        grant = Grant("PUT", image_id, DIGEST, len(DATA))
        url = self.signed(f"/v2/images/{image_id}/file", grant)
        for body, code in (
            (DATA + b"!", 400),
            (b"?" * len(DATA), 400),
            (DATA, 204),
            (DATA, 409),
        ):
            reply = await self.ask(
                self.server, "nobody", "PUT", url, body, content_type=OCTETS
            )
            self.assertEqual(reply.code, code, reply)
        image = await self.server.parts.catalogue.find(image_id)
        self.assertEqual(image.size, len(DATA))

    async def test_no_keys(self) -> None:
        """
        A server without keys takes no signed address, not even of an empty key.
        """
        await self.start()
        image_id = await self.make(self.server, "owner", {})
        url = self.signed(f"/images/{image_id}", Grant("GET", image_id, DIGEST))
        other = await self.serve(identity=self.identity, folder=self.server.folder)
        reply = await self.ask(other, "nobody", "GET", url)
        self.assertEqual(reply.code, 401, reply)
