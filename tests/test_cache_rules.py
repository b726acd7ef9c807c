# Copyright glancetx contributors. See LICENSE for details.

"""
What caches are told of answers that not everyone may have.
"""

from __future__ import annotations

import os

from attrs import evolve

from .personas import PersonaCase

PRIVATE = "private, no-cache"


class CacheRuleTests(PersonaCase):
    """``Cache-Control`` where callers are asked who they are"""

    async def test_private(self) -> None:
        """
        No cache of several people keeps bytes or records of what is not public.
        """
        server = await self.serve(identity=self.identity)
        image_id = await self.make(server, "owner", {"visibility": "shared"})
        queued = await self.make(server, "owner", {"visibility": "shared"}, None)
        for path in (
            "/v2/images",
            f"/v2/images/{image_id}",
            f"/v2/images/{image_id}/file",
            f"/v2/images/{image_id}/members",
            f"/v2/images/{queued}/file",
            "/images/detail",
            f"/images/{image_id}",
            f"/images/{image_id}/chain",
            f"/images/{image_id}/chain.tar",
            f"/images/{image_id}/leases",
            f"/images/{image_id}/stream",
            f"/images/{queued}",
        ):
            for who in ("owner", "admin"):
                reply = await self.ask(server, who, "GET", path)
                self.assertIn(reply.code, (200, 204), path)
                self.assertEqual(reply.headers["cache-control"], PRIVATE, path)

    async def test_public(self) -> None:
        """
        Caches may keep the bytes of a public image, until only admins may read it.
        """
        server = await self.serve(identity=self.identity)
        image_id = await self.make(server, "admin", {"visibility": "public"})
        for who in ("nobody", "owner", "admin"):
            reply = await self.ask(server, who, "GET", f"/images/{image_id}")
            self.assertEqual(reply.headers["cache-control"], "public, max-age=60")
        path = f"/v2/images/{image_id}/actions/deactivate"
        await self.ask(server, "admin", "POST", path)
        reply = await self.ask(server, "admin", "GET", f"/images/{image_id}")
        self.assertEqual(reply.headers["cache-control"], PRIVATE)

    async def test_closed_door(self) -> None:
        """
        Where nobody reads without a token, no cache may hand out public images either.
        """
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        path = os.path.join(folder, "policy.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('read_public_image: "!"\n')
        identity = evolve(self.identity, policy_file=path)
        server = await self.serve(identity=identity)
        image_id = await self.make(server, "admin", {"visibility": "public"})
        for layout in ("", "/stream", "/chain.tar"):
            path = f"/images/{image_id}{layout}"
            reply = await self.ask(server, "nobody", "GET", path)
            self.assertEqual(reply.code, 401)
            reply = await self.ask(server, "owner", "GET", path)
            self.assertEqual(reply.headers["cache-control"], PRIVATE, path)
