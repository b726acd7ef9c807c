# Copyright glancetx contributors. See LICENSE for details.

"""
That every route says by which rule it is judged, and is judged by that rule.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from attrs import evolve, frozen

from glancetx.identity.policy import Policy
from glancetx.web.routes import Route

from .servers import Reply, RunningServer, ServerCase

#: Where there is nothing to decide: nothing of any image is told or changed.
OPEN = {
    "/",
    "/versions",
    "/v1",
    "/v2",
    "/<other_version:version>",
    "/<other_version:version>/<path:rest>",
    "/v2/schemas/<name>",
    "/v2/info/import",
    "/v2/info/stores",
    "/v2/info/usage",
    "/v2/tasks",
    "/v2/tasks/<task_id>",
    "/healthcheck",
    "/metrics",
    "/openapi.json",
}

OCTETS = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
PATCH = {"content-type": "application/openstack-images-v2.1-json-patch"}
VARIABLES = {
    "project": "beta",
    "tag": "x",
    "holder": "11111111-1111-4111-8111-111111111111",
}
LEASE = {
    "digest": {
        "algorithm": "sha256",
        "value": hashlib.sha256(b"bytes").hexdigest(),
    },
    "seconds": 60,
    "url": "http://zone.example.com",
}


@frozen
class Sent:
    """What makes a request of a route a good one."""

    headers: dict[str, str] = {}
    body: Any = None
    queued: bool = False

    @property
    def data(self) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode("utf-8")


SENT = {
    ("POST", "/images"): Sent({"x-image-meta-disk_format": "raw"}),
    ("PUT", "/images/<image_id>"): Sent(body=b"bytes", queued=True),
    ("POST", "/v2/images"): Sent(JSON, {}),
    ("PATCH", "/v2/images/<image_id>"): Sent(
        PATCH, [{"op": "replace", "path": "/name", "value": "other"}]
    ),
    ("PUT", "/v2/images/<image_id>/file"): Sent(OCTETS, b"bytes", queued=True),
    ("PUT", "/images/<image_id>/leases/<holder>"): Sent(JSON, LEASE),
    ("POST", "/v2/images/<image_id>/members"): Sent(JSON, {"member": "delta"}),
    ("PUT", "/v2/images/<image_id>/members/<project>"): Sent(
        JSON, {"status": "accepted"}
    ),
}


class RouteTests(ServerCase):
    """All routes of a server."""

    server: RunningServer

    async def start(self) -> None:
        self.server = await self.serve()

    @property
    def routes(self) -> list[Route]:
        return self.server.parts.routes.all

    async def test_declared(self) -> None:
        """
        Nothing is served that was not declared, and each route names a rule that
        there is, but for those that tell nothing of any image.
        """
        await self.start()
        resource = cast(Any, self.server.parts.site.resource)
        served = {
            (method, rule.rule)
            for rule in resource._app.url_map.iter_rules()
            for method in rule.methods - {"HEAD"}
        }
        names = {(route.method, route.path) for route in self.routes}
        for route in self.routes:
            if route.rule is None:
                self.assertIn(route.path, OPEN)
            else:
                self.assertIn(route.rule, Policy().names, route.path)
        self.assertEqual(served, names)

    async def test_aliases(self) -> None:
        """
        Whatever is below ``/images`` and ``/v2`` is found by their other names, too.
        """
        await self.start()
        for route in self.routes:
            path = route.path.replace("<image_id>", VARIABLES["holder"])
            if path == route.path:
                continue
            begin = path.split("/")[1]
            for name in {"images": ["v1/images"], "v2": ["v2.17", "v2.0"]}[begin]:
                alias = path.replace(begin, name, 1)
                expected = await self.send(route, path)
                reply = await self.send(route, alias)
                self.assertEqual(
                    (reply.code, reply.body), (expected.code, expected.body)
                )
                self.assertIn(reply.code, (400, 404))
                self.assertNotIn(b"at this address", reply.body, alias)

    async def test_judged(self) -> None:
        """
        Without its rule a route does nothing, though every other rule is obeyed.
        """
        await self.start()
        policy = self.server.parts.images._access._policy
        allows = policy.allows
        for route in self.routes:
            if route.rule is None or 403 in route.statuses:
                continue
            reply = await self.send(route, await self.path(route))
            self.assertIn(reply.code, route.statuses, (route, reply))
            path = await self.path(route)

            def without(rule: str, *arguments: Any, its: Any = route.rule) -> bool:
                return rule != its and allows(rule, *arguments)

            patch = self.patch(policy, "allows", without)
            reply = await self.send(route, path)
            patch.restore()
            self.assertIn(reply.code, (403, 404), (route, reply))

    async def path(self, route: Route) -> str:
        """The address of an image that a route can do its work with."""
        record = {"disk_format": "raw", "container_format": "bare", "tags": ["x"]}
        ask = self.server.ask
        made = await ask("POST", "/v2/images", JSON, json.dumps(record).encode())
        image_id = made.json["id"]
        path = f"/v2/images/{image_id}"
        if not SENT.get((route.method, route.path), Sent()).queued:
            await ask("PUT", f"{path}/file", OCTETS, b"bytes")
        await ask("POST", f"{path}/members", JSON, b'{"member": "beta"}')
        for name, value in VARIABLES.items():
            route = evolve(route, path=route.path.replace(f"<{name}>", value))
        found = route.path.replace("<image_id>", image_id)
        if VARIABLES["holder"] in found:
            await ask("PUT", found, JSON, json.dumps(LEASE).encode())
        return found

    async def send(self, route: Route, path: str) -> Reply:
        """A request that a route takes."""
        sent = SENT.get((route.method, route.path), Sent())
        return await self.server.ask(route.method, path, sent.headers, sent.data)
