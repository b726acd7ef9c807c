# Copyright glancetx contributors. See LICENSE for details.

"""
What a policy file cannot bring about, asked of a whole server.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve

from glancetx.config import IdentityConfig
from glancetx.identity.policy import RULES

from .personas import PersonaCase

PATCH = "application/openstack-images-v2.1-json-patch"


class PolicyServerTests(PersonaCase):
    """Servers with policy files"""

    def governed(self, text: str) -> IdentityConfig:
        """The identity of a server with a policy file."""
        path = os.path.abspath(self.mktemp())
        Path(path).write_text(text, encoding="utf-8")
        return evolve(self.identity, policy_file=path)

    async def test_everybody(self) -> None:
        """
        Rules for everybody show nobody what is not shown to him, and let nobody change
        what is not his.
        """
        free = RULES.keys() - {"context_is_admin", "carry_image"}
        text = "".join(f'{name}: ""\n' for name in sorted(free))
        server = await self.serve(identity=self.governed(text))
        hidden = await self.make(server, "owner", {"visibility": "private"})
        seen = await self.make(server, "owner", {"visibility": "community"})
        patch = [{"op": "replace", "path": "/name", "value": "mine"}]
        for image_id, codes in ((hidden, (404, 401)), (seen, (403, 401))):
            for who, code in zip(("stranger", "nobody"), codes, strict=True):
                path = f"/v2/images/{image_id}"
                reply = await self.ask(
                    server, who, "PATCH", path, patch, content_type=PATCH
                )
                self.assertEqual(reply.code, code, (who, reply))
                reply = await self.ask(server, who, "DELETE", path)
                self.assertEqual(reply.code, code, (who, reply))
                for read in (path, f"{path}/file", f"/images/{image_id}/stream"):
                    reply = await self.ask(server, who, "GET", read)
                    readable = who == "stranger" and image_id == seen
                    expected = 200 if readable else code
                    self.assertEqual(reply.code, expected, (who, read, reply))

    async def test_admin(self) -> None:
        """
        Who is no admin by the rule ``context_is_admin`` is none in anything, though he
        has a role of this name.
        """
        rule = 'context_is_admin: "role:admin and project_id:another"\n'
        server = await self.serve(identity=self.governed(rule))
        image_id = await self.make(server, "owner", {"visibility": "private"})
        reply = await self.ask(server, "admin", "GET", "/v2/images")
        self.assertEqual(reply.json["images"], [])
        reply = await self.ask(server, "admin", "GET", f"/v2/images/{image_id}")
        self.assertEqual(reply.code, 404)
        mine = await self.make(server, "admin", {"visibility": "private"})
        path = f"/v2/images/{mine}"
        patch = [{"op": "replace", "path": "/owner", "value": "alpha"}]
        reply = await self.ask(
            server, "admin", "PATCH", path, patch, content_type=PATCH
        )
        self.assertEqual(reply.code, 403, reply)
        await self.ask(server, "admin", "POST", f"{path}/actions/deactivate")
        reply = await self.ask(server, "admin", "GET", f"{path}/file")
        self.assertEqual(reply.code, 403, reply)
