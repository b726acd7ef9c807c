# Copyright glancetx contributors. See LICENSE for details.

"""
Images from before a limit was lowered.
"""

from __future__ import annotations

import json

from glancetx.limits import Limits

from .servers import ServerCase

PATCH = {"content-type": "application/openstack-images-v2.1-json-patch"}


class LoweredTests(ServerCase):
    """``limits.image_properties`` and ``limits.image_tags``"""

    async def test_changed(self) -> None:
        """
        An image that has more than is allowed by now can be changed in every other way,
        and lose some of it.
        """
        server = await self.serve()
        facts = {"property_a": "1", "property_b": "2", "property_c": "3"}
        image_id = await server.add(None, **facts)
        path = f"/v2/images/{image_id}"
        for tag in "abc":
            await server.ask("PUT", f"{path}/tags/{tag}")
        await server.stop()
        limits = Limits(image_properties=1, image_tags=1, property_bytes=1)
        server = await self.serve(limits=limits, folder=server.folder)
        for operation, code in (
            ({"op": "replace", "path": "/visibility", "value": "private"}, 200),
            ({"op": "remove", "path": "/a"}, 200),
            ({"op": "replace", "path": "/b", "value": "x"}, 200),
            ({"op": "replace", "path": "/b", "value": "xx"}, 413),
            ({"op": "add", "path": "/d", "value": "x"}, 413),
        ):
            body = json.dumps([operation]).encode("utf-8")
            reply = await server.ask("PATCH", path, PATCH, body)
            self.assertEqual(reply.code, code, (operation, reply))
        for method, tag, code in (("DELETE", "a", 204), ("PUT", "d", 413)):
            reply = await server.ask(method, f"{path}/tags/{tag}")
            self.assertEqual(reply.code, code, reply)
