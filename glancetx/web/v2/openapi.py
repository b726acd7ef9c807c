# Copyright glancetx contributors. See LICENSE for details.

"""
All routes as an OpenAPI 3.1 document, made of the routes themselves: ``/openapi.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import glancetx
from glancetx.uris import Names
from glancetx.web.bodies import answer_json
from glancetx.web.request import Request
from glancetx.web.routes import Route, Routes

from .operations import OPERATIONS, PARAMETERS, Operation
from .schemas import PUBLISHED, REQUESTS

__all__ = ["OpenApi", "describe", "statuses"]

SECURITY = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "signature": {
        "type": "apiKey",
        "in": "query",
        "name": "gtx_sig",
        "description": "The last of a signed URL's arguments; see glancetx sign.",
    },
}
SIGNED = ("download_image", "upload_image")
"""Rules of what a signed URL may let its bearer do."""

ALWAYS = (400, 401, 408, 414, 417, 431, 500, 503)
"""What every route may answer."""

VARIABLE = re.compile("<(?:[a-z_]+:)?([a-z_]+)>")
JSON = "application/json"
DESCRIPTION = """\
Where there is GET there is HEAD: the same headers, no body. All below /images is also \
below /v1/images, all below /v2 also below /v2.0 and the other versions that /versions \
names. Headers x-image-meta-property-NAME of a POST to /images are properties, as are \
further members of a record of /v2/images."""

OBJECT = {"type": "object"}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "document": OBJECT,
    "list": {"type": "array"},
    "door": {**OBJECT, "required": ["image"], "properties": {"image": OBJECT}},
    "page": {
        **OBJECT,
        "required": ["images"],
        "properties": {
            "images": {"type": "array", "items": OBJECT},
            "next": {"type": "string"},
        },
    },
    "manifest": {**OBJECT, "required": ["chain", "size", "tar_size"]},
    "leases": {
        **OBJECT,
        "required": ["leases"],
        "properties": {"leases": {"type": "array", "items": OBJECT}},
    },
    "leased": {**OBJECT, "required": ["lease"], "properties": {"lease": OBJECT}},
    "versions": {**OBJECT, "required": ["versions"]},
    "problem": {
        **OBJECT,
        "description": "One member, whose name tells the kind of the problem.",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": {
            **OBJECT,
            "required": ["message", "code"],
            "properties": {
                "message": {"type": "string"},
                "code": {"type": "integer"},
            },
        },
    },
}
"""Of answers that have no schema of Glance's."""

Schema = dict[str, Any]


class OpenApi:
    """``/openapi.json``"""

    def __init__(self, routes: Routes, own: Names) -> None:
        """:param own: under which names this server is known."""
        self._routes = routes
        self._url = own.bases[0].url
        self._document: Schema | None = None

    def routes(self) -> list[Route]:
        """What is served here: nothing of any image, to anyone."""
        return [Route("GET", "/openapi.json", self.show, None, anonymous=True)]

    async def show(self, request: Request) -> bytes:
        """The document."""
        if self._document is None:
            self._document = describe(self._routes.all, self._url)
        return answer_json(request, self._document)


def describe(routes: Sequence[Route], url: str) -> Schema:
    """
    The document of some routes.

    :param url: how clients reach the server.
    """
    paths: dict[str, Schema] = {}
    for route in routes:
        path = VARIABLE.sub(r"{\1}", route.path)
        item = paths.setdefault(path, _path(route.path, url))
        item[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "glancetx",
            "version": glancetx.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": dict(_schemas()),
            "securitySchemes": SECURITY,
        },
    }


def _path(path: str, url: str) -> Schema:
    """What all methods of a path share."""
    item: Schema = {}
    names = VARIABLE.findall(path)
    if names:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if f"{path}/".startswith("/images/"):
        item["servers"] = [{"url": url}, {"url": f"{url}/v1"}]
    return item


def _operation(route: Route) -> Schema:
    known = OPERATIONS.get((route.method, route.path), Operation(""))
    found: Schema = {
        "operationId": re.sub("[^a-z0-9]+", "_", f"{route.method}{route.path}".lower()),
        "summary": known.does,
        "parameters": [{"name": name, **PARAMETERS[name]} for name in known.asks],
        "responses": {str(code): _response(code, known) for code in statuses(route)},
        "security": [{"token": []}, {"bearer": []}],
    }
    if route.rule in SIGNED:
        found["security"].append({"signature": []})
    if route.anonymous:
        found["security"].append({})
    if route.rule is not None:
        found["description"] = f"Policy rule: {route.rule}"
    takes = known.takes or ({JSON: route.body} if route.body else {})
    if takes:
        content = {media_type: _content(name) for media_type, name in takes.items()}
        found["requestBody"] = {"content": content, "required": route.body is not None}
    return found


def statuses(route: Route) -> list[int]:
    """All that a route may answer."""
    found = {*route.statuses, *ALWAYS}
    if route.rule is not None:
        found.add(403)
    if "<" in route.path:
        found.add(404)
    return sorted(found)


def _response(code: int, known: Operation) -> Schema:
    phrase = HTTPStatus(code).phrase
    if code >= 400:
        return {"description": phrase, "content": {JSON: _content("problem")}}
    if code in (204, 302, 304) or known.gives is None:
        return {"description": phrase}
    if "/" not in known.gives:
        return {"description": phrase, "content": {JSON: _content(known.gives)}}
    types = [known.gives, *(["multipart/byteranges"] if code == 206 else [])]
    return {"description": phrase, "content": {name: {} for name in types}}


def _content(schema: str) -> Schema:
    """Bytes if it is the empty name."""
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}} if schema else {}


def _schemas() -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from SHAPES.items()
    yield from REQUESTS.items()
    for name in ("member", "members", "task", "tasks"):
        yield name, {"type": "object", **PUBLISHED[name]}
    image = {"type": "object", **_image()}
    images = PUBLISHED["images"]["properties"]
    yield "image", image
    yield (
        "images",
        {
            "type": "object",
            "required": ["images", "first", "schema"],
            "properties": {**images, "images": {"type": "array", "items": image}},
        },
    )


def _image() -> Schema:
    """A record, which may have a format that only the one-call door takes."""
    image = PUBLISHED["image"]
    free = {
        name: {
            key: one for key, one in image["properties"][name].items() if key != "enum"
        }
        for name in ("disk_format", "container_format")
    }
    return {**image, "properties": {**image["properties"], **free}}
