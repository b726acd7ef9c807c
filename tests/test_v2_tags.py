# Copyright glancetx contributors. See LICENSE for details.

"""
Tags of images, one at a time.
"""

from __future__ import annotations

from urllib.parse import quote

from .servers import ServerCase


class TagTests(ServerCase):
    """``/v2/images/ID/tags/TAG``"""

    async def test_characters(self) -> None:
        """
        A tag that a record could not be made with cannot be added either.
        """
        server = await self.serve()
        image_id = await server.add(None)
        path = f"/v2/images/{image_id}/tags"
        for tag in ("\x85", "a\u2028b", "a" * 256):
            reply = await server.ask("PUT", f"{path}/{quote(tag)}")
            self.assertEqual(reply.code, 400, reply)
            self.assertIn("tag: must ", reply.json["badRequest"]["message"])
        for tag in ("a" * 255, "ä b", "😀", ";", "a=b,c"):
            reply = await server.ask("PUT", f"{path}/{quote(tag)}")
            self.assertEqual(reply.code, 204, reply)
            reply = await server.ask("GET", f"/v2/images/{image_id}")
            self.assertEqual(reply.json["tags"], [tag])
            reply = await server.ask("DELETE", f"{path}/{quote(tag)}")
            self.assertEqual(reply.code, 204, reply)
