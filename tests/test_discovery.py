# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for what clients ask for before anything else.
"""

from __future__ import annotations

from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from glancetx.uris import Names
from glancetx.web.v2.discovery import VERSIONS, Discovery
from glancetx.web.v2.schemas import PUBLISHED

from .servers import Reply, RunningServer, ServerCase


class DiscoveryCase(ServerCase):
    """A test with a server that clients know by a name."""

    server: RunningServer

    async def start(self, public_url: str = "http://images.example.com") -> None:
        self.server = await self.serve(public_url=public_url)

    async def get(self, path: str) -> Reply:
        return await self.server.ask("GET", path)


class VersionsTests(DiscoveryCase):
    """``/``, ``/versions`` and ``/v2``"""

    async def test_choices(self) -> None:
        """
        Who names no version, or one that is not offered, is given the choice.
        """
        await self.start()
        shown = (await self.get("/versions")).json
        others = (
            "/v1",
            "/v1/",
            "/v9",
            "/v9/",
            "/v2.8/images",
            "/v2.18/a/b",
            "/v3.0/a/",
        )
        for path in ("/", *others):
            reply = await self.get(path)
            self.assertEqual(reply.code, 300, path)
            self.assertEqual(reply.json, shown)
            self.assertNotIn("location", reply.headers)

    async def test_list(self) -> None:
        """
        Each version has an id, a status and a link to itself; the newest is current.
        """
        await self.start("http://images.example.com/base")
        for path in ("/versions", "/v2", "/v2/", "/v2.5/"):
            reply = await self.get(path)
            self.assertEqual(reply.code, 200, path)
            first, *rest = reply.json["versions"]
            links = [{"rel": "self", "href": "http://images.example.com/base/v2/"}]
            self.assertEqual(
                first, {"id": "v2.17", "status": "CURRENT", "links": links}
            )
            self.assertEqual([one["id"] for one in rest], list(VERSIONS[1:]))
            for one in rest:
                self.assertEqual((one["status"], one["links"]), ("SUPPORTED", links))

    async def test_host(self) -> None:
        """
        Links lead where the configuration says, whatever host a request names.
        """
        await self.start()
        reply = await self.server.ask("GET", "/", {"Host": "evil.example.com"})
        self.assertNotIn(b"evil", reply.body)

    async def test_aliases(self) -> None:
        """
        All that is below /v2 is below each version that is offered.
        """
        await self.start()
        for version in VERSIONS:
            for path in ("schemas/image", "info/usage", f"images/{uuid4()}"):
                plain = await self.get(f"/v2/{path}")
                self.assertEqual(
                    (await self.get(f"/{version}/{path}")).code, plain.code
                )

    async def test_nothing(self) -> None:
        """
        What is no version is no choice: there is nothing.
        """
        await self.start()
        for path in ("/v", "/vx", "/v2.5.1", "/v1/nothing", "/v2/nothing"):
            self.assertEqual((await self.get(path)).code, 404, path)

    async def test_other_methods(self) -> None:
        """
        A choice of versions cannot be changed.
        """
        await self.start()
        for path in ("/", "/versions", "/v2", "/v9/images"):
            reply = await self.server.ask("POST", path)
            self.assertEqual(
                (reply.code, reply.headers["allow"]), (405, "GET, HEAD"), path
            )


class AnonymousTests(SynchronousTestCase):
    """Who may ask"""

    def test_anonymous(self) -> None:
        """
        Which versions there are can be asked without a token; the rest cannot.
        """
        routes = Discovery(Names("http://images.example.com")).routes()
        self.assertEqual(
            {route.path for route in routes if not route.anonymous},
            {"/v2/schemas/<name>", "/v2/info/import", "/v2/info/stores"}
            | {"/v2/info/usage"},
        )


class SchemaTests(DiscoveryCase):
    """``/v2/schemas/NAME``"""

    async def test_known(self) -> None:
        """
        Each schema is there by its name.
        """
        await self.start()
        for name, schema in PUBLISHED.items():
            reply = await self.get(f"/v2/schemas/{name}")
            self.assertEqual((reply.code, reply.json), (200, schema))
            self.assertEqual(reply.headers["content-type"], "application/json")

    async def test_unknown(self) -> None:
        """
        Of another there is nothing, and those that there are are named.
        """
        await self.start()
        for name in ("volume", "metadefs", "metadefs/namespace"):
            reply = await self.get(f"/v2/schemas/{name}")
            self.assertEqual(reply.code, 404)
        reply = await self.get("/v2/schemas/volume")
        self.assertIn("there are image, images", reply.json["itemNotFound"]["message"])


class InfoTests(DiscoveryCase):
    """``/v2/info/NAME``"""

    async def test_import(self) -> None:
        """
        There is no way to import.
        """
        await self.start()
        reply = await self.get("/v2/info/import")
        self.assertEqual(reply.json["import-methods"]["value"], [])

    async def test_stores(self) -> None:
        """
        There is no choice of stores, which clients take from a 404.
        """
        await self.start()
        for path in ("/v2/info/stores", "/v2/info/stores/detail"):
            self.assertEqual((await self.get(path)).code, 404)

    async def test_usage(self) -> None:
        """
        There are no quotas.
        """
        await self.start()
        self.assertEqual((await self.get("/v2/info/usage")).json, {"usage": {}})


class AbsentTests(DiscoveryCase):
    """Tasks and locations"""

    async def test_tasks(self) -> None:
        """
        There are no tasks, and none can be started.
        """
        await self.start()
        reply = await self.get("/v2/tasks?limit=20")
        self.assertEqual((reply.code, reply.json["tasks"]), (200, []))
        self.assertNotIn("next", reply.json)
        self.assertEqual((await self.get(f"/v2/tasks/{uuid4()}")).code, 404)
        reply = await self.server.ask("POST", "/v2/tasks", body=b'{"type": "import"}')
        self.assertEqual(reply.code, 403)
        self.assertIn("no tasks here", reply.json["forbidden"]["message"])

    async def test_image(self) -> None:
        """
        No task works on an image, and its bytes lie nowhere else.
        """
        await self.start()
        path = f"/v2/images/{await self.server.add(b'bytes')}"
        self.assertEqual((await self.get(f"{path}/tasks")).json, {"tasks": []})
        self.assertEqual((await self.get(f"{path}/locations")).json, [])
        reply = await self.server.ask("POST", f"{path}/locations", body=b"{}")
        self.assertEqual(reply.code, 403)
        self.assertIn(f"{path}/file", reply.json["forbidden"]["message"])

    async def test_no_image(self) -> None:
        """
        Of an image that is not there, nothing is said.
        """
        await self.start()
        for image_id in (uuid4(), "nothing"):
            for name in ("tasks", "locations"):
                reply = await self.get(f"/v2/images/{image_id}/{name}")
                self.assertEqual(reply.code, 404)
