# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the OpenAPI document: that it says what there is, and nothing else.
"""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import uuid4

from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.errors import BadValue
from glancetx.identity.nobody import Nobody
from glancetx.limits import Limits
from glancetx.metrics import Metrics
from glancetx.uris import Names
from glancetx.web.app import make_routes
from glancetx.web.metadata import read_draft
from glancetx.web.problems import STATUS
from glancetx.web.query import read_query
from glancetx.web.v2 import listing
from glancetx.web.v2.openapi import OpenApi, describe
from glancetx.web.v2.operations import OPERATIONS
from glancetx.web.v2.schemas import PUBLISHED, REQUESTS

from .servers import ServerCase

URL = "http://images.example.com"
ALLOWED = {"get", "post", "put", "patch", "delete"}


class DocumentCase(SynchronousTestCase):
    """Has the document of all routes of a server."""

    def setUp(self) -> None:
        nothing: Any = None
        resource, self.routes = make_routes(
            images=nothing,
            sharing=nothing,
            leases=nothing,
            own=Names(URL),
            player=nothing,
            identity=Nobody(),
            signatures=nothing,
            limits=Limits(),
            metrics=Metrics(),
            open_door=True,
        )
        self.map = cast(Any, resource)._app.url_map
        self.document = describe(self.routes.all, URL)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document["paths"][path][method]
        return found

    def parameters(self, method: str, path: str) -> set[str]:
        return {one["name"] for one in self.operation(method, path)["parameters"]}


class RoutesTests(DocumentCase):
    """The document, and the map of routes"""

    def test_all(self) -> None:
        """
        Every address that the server serves is there by its first name, and no other.
        """
        served = {
            (method.lower(), re.sub("<(?:.*?:)?(.*?)>", r"{\1}", rule.rule))
            for rule in self.map.iter_rules()
            for method in rule.methods - {"HEAD"}
        }
        documented = {
            (method, path)
            for path, item in self.document["paths"].items()
            for method in item.keys() & ALLOWED
        }
        self.assertEqual(documented, served)

    def test_described(self) -> None:
        """
        Every route is described, and nothing is that is no route.
        """
        routes = {(route.method, route.path) for route in self.routes.all}
        self.assertEqual(set(OPERATIONS), routes)

    def test_bodies(self) -> None:
        """
        A body is described by the schema that the route is judged by.
        """
        named = set()
        for route in self.routes.all:
            path = re.sub("<(?:.*?:)?(.*?)>", r"{\1}", route.path)
            body = self.operation(route.method.lower(), path).get("requestBody", {})
            names = {
                one["schema"]["$ref"].rpartition("/")[2]
                for one in body.get("content", {}).values()
                if one
            }
            self.assertEqual(route.body in names, route.body is not None, route)
            named |= names
        self.assertLessEqual(named, REQUESTS.keys())

    def test_statuses(self) -> None:
        """
        Every status that errors are answered with is that of some route, and each
        route's own are there.
        """
        found = set()
        for route in self.routes.all:
            path = re.sub("<(?:.*?:)?(.*?)>", r"{\1}", route.path)
            answers = self.operation(route.method.lower(), path)["responses"]
            self.assertLessEqual({str(code) for code in route.statuses}, answers.keys())
            found |= {int(code) for code in answers}
        self.assertLessEqual(set(STATUS.values()), found)

    def test_tokens(self) -> None:
        """
        Without a token only those routes can be asked that say so.
        """
        for path, open_ in [
            ("/", True),
            ("/images/{image_id}", True),
            ("/images", False),
            ("/v2/images", False),
        ]:
            security = self.operation("get", path)["security"]
            self.assertEqual({} in security, open_, path)

    def test_signatures(self) -> None:
        """
        A signed URL is for bytes, to read and to bring them.
        """
        signed = {
            (method, path)
            for path, item in self.document["paths"].items()
            for method in item.keys() & ALLOWED
            if {"signature": []} in item[method]["security"]
        }
        one, file = "/images/{image_id}", "/v2/images/{image_id}/file"
        joined = {("get", f"{one}/{name}") for name in ("chain", "stream", "chain.tar")}
        whole = {(method, path) for method in ("get", "put") for path in (one, file)}
        self.assertEqual(signed, joined | whole)


class ParametersTests(DocumentCase):
    """What may be asked"""

    def known(self, problem: BadValue) -> set[str]:
        """The names that the refusal of an unknown one lists."""
        return set(problem.problem.partition("there are ")[2].split(", "))

    def test_door_list(self) -> None:
        """
        The one-call door's list has all of its arguments.
        """
        problem = self.assertRaises(BadValue, read_query, {b"x": [b""]}, Limits())
        for path in ("/images", "/images/detail"):
            self.assertEqual(
                self.parameters("get", path), self.known(problem) - {"property-*"}
            )

    def test_door_metadata(self) -> None:
        """
        A POST to the one-call door has all of its headers.
        """
        headers = Headers({b"x-image-meta-nonsense": [b""]})
        problem = self.assertRaises(BadValue, read_draft, headers)
        names = {f"x-image-meta-{name}" for name in self.known(problem)}
        self.assertEqual(
            self.parameters("post", "/images"), names - {"x-image-meta-property-*"}
        )

    def test_list(self) -> None:
        """
        What a list can be asked for is never taken for the name of a property.
        """
        for name in self.parameters("get", "/v2/images"):
            values = ("1", "true", "all", "asc", "name", "2026-11-23", str(uuid4()))
            for value in values:
                arguments = {name.encode(): [value.encode()]}
                try:
                    query = listing.read_query(arguments, Limits(), Names(URL))
                except BadValue:
                    continue
                self.assertEqual(query.properties, {}, name)
                break
            else:
                self.fail(f"{name} takes none of {values}")

    def test_properties(self) -> None:
        """
        Every field of a record that lists can be asked for is there.
        """
        fields = PUBLISHED["image"]["properties"]
        names = {name for name, one in fields.items() if one.get("is_base", True)}
        unasked = {"tags", "self", "file", "schema", "direct_url", "locations"}
        self.assertLessEqual(
            names - unasked - {"stores"}, self.parameters("get", "/v2/images")
        )


class LawfulTests(DocumentCase):
    """OpenAPI 3.1"""

    def test_valid(self) -> None:
        """
        The document is lawful.
        """
        errors = list(OpenAPIV31SpecValidator(self.document).iter_errors())
        self.assertEqual([error.message for error in errors], [])

    def test_fault(self) -> None:
        """
        An unlawful document would be found out.
        """
        del self.operation("get", "/versions")["responses"]["200"]["description"]
        errors = list(OpenAPIV31SpecValidator(self.document).iter_errors())
        self.assertNotEqual(errors, [])

    def test_names(self) -> None:
        """
        Each operation has a name of its own.
        """
        names = [
            item[method]["operationId"]
            for item in self.document["paths"].values()
            for method in item.keys() & ALLOWED
        ]
        self.assertEqual(len(names), len(set(names)))


class ServedTests(ServerCase):
    """``GET /openapi.json``"""

    async def test_served(self) -> None:
        """
        The document is served, and is that of the server's own routes.
        """
        server = await self.serve(public_url=URL)
        reply = await server.ask("GET", "/openapi.json")
        self.assertEqual(reply.code, 200)
        self.assertEqual(reply.json["servers"], [{"url": URL}])
        self.assertEqual(
            {path for path in reply.json["paths"] if path.startswith("/v2/schemas")},
            {"/v2/schemas/{name}"},
        )
        again = await server.ask("GET", "/v1/../openapi.json")
        self.assertEqual(again.code, 400)

    def test_anonymous(self) -> None:
        """
        It can be had without a token.
        """
        nothing: Any = None
        routes = OpenApi(nothing, Names(URL)).routes()
        self.assertEqual([route.anonymous for route in routes], [True])
