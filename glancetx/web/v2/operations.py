# Copyright glancetx contributors. See LICENSE for details.

"""
What each route does, is asked, takes and answers: what the OpenAPI document says beyond
what the routes themselves declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from glancetx.image import LARGEST, MemberStatus, Visibility
from glancetx.web.fields import FORMATS

from .schemas import UUID

__all__ = ["OPERATIONS", "PARAMETERS", "Operation"]

Key = tuple[str, str]

OCTETS = "application/octet-stream"
PATCHES = {
    "application/openstack-images-v2.1-json-patch": "image_patch",
    "application/openstack-images-v2.0-json-patch": "image_patch_v20",
}


@frozen
class Operation:
    """
    What one route is for.

    :ivar does: one line.
    :ivar gives: the schema of the body of its success, or its media type.
    :ivar asks: names in ``PARAMETERS``, beside the variables of the path.
    :ivar takes: media types of the request's body, and their schemas.
    """

    does: str
    gives: str | None = None
    asks: tuple[str, ...] = ()
    takes: Mapping[str, str] = {}


def _header(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"in": "header", "description": description, "schema": schema}


def _query(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"in": "query", "description": description, "schema": schema}


TEXT = {"type": "string"}
NUMBER = {"type": "integer", "minimum": 0, "maximum": LARGEST}
TRUTH = {"type": "string", "enum": ["true", "false"]}
TIME = "a time, or OP:TIME with gt, gte, lt, lte, eq or neq"
SORT_KEYS = ["name", "status", "container_format", "disk_format", "size", "id"]
SORT_KEYS += ["created_at", "updated_at"]

META = "x-image-meta-"

DRAFT: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "id": ({"type": "string", "pattern": UUID}, "never used here before"),
    "name": ({"type": "string", "maxLength": 255}, ""),
    "disk_format": ({"type": "string", "enum": FORMATS["disk_format"]}, ""),
    "container_format": (
        {"type": "string", "enum": FORMATS["container_format"]},
        "bare unless it is given",
    ),
    "is_public": (TRUTH, ""),
    "visibility": ({"type": "string", "enum": [str(v) for v in Visibility]}, ""),
    "protected": (TRUTH, "it cannot be deleted"),
    "parent_id": (TEXT, "the id or URI of the image that this is a difference to"),
    "min_disk": (NUMBER, "GiB"),
    "min_ram": (NUMBER, "MiB"),
}
EXPECTED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "size": (NUMBER, "bytes that the body must have"),
    "checksum": ({"type": "string", "pattern": "^[0-9a-f]{32}$"}, "its MD5"),
}
CONDITIONS = {
    "If-Match": "an ETag",
    "If-None-Match": "an ETag",
    "If-Modified-Since": "a date",
    "If-Unmodified-Since": "a date",
}
RANGES = {"Range": "bytes=FIRST-LAST, or several", "If-Range": "an ETag"}

SETS = ("id", "name", "status", "disk_format", "container_format")
DIGESTS = ("checksum", "os_hash_algo", "os_hash_value")
FILTERS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "limit": (NUMBER, "so many images at most"),
    "marker": (TEXT, "the id of the image before the page"),
    "sort": (TEXT, "KEY:asc or KEY:desc, several between commas"),
    "sort_key": ({"type": "array", "items": {"enum": SORT_KEYS}}, ""),
    "sort_dir": ({"type": "array", "items": {"enum": ["asc", "desc"]}}, ""),
    "visibility": ({"enum": [*(str(v) for v in Visibility), "all"]}, ""),
    "member_status": ({"enum": [*(str(s) for s in MemberStatus), "all"]}, ""),
    "owner": (TEXT, ""),
    "protected": (TRUTH, ""),
    "os_hidden": (TRUTH, "false unless it is given"),
    "tag": ({"type": "array", "items": TEXT}, "all of these"),
    **dict.fromkeys(SETS, (TEXT, 'a value, or in:A,"B,C"')),
    **dict.fromkeys(DIGESTS, (TEXT, "")),
    "os_glance_parent_id": (TEXT, "the id or URI of the parent"),
    "parent_id": (TEXT, "the same"),
    **{
        f"{name}{end}": (NUMBER, "")
        for name in ("size", "virtual_size", "min_disk", "min_ram")
        for end in ("", "_min", "_max")
    },
    "created_at": ({"type": "array", "items": TEXT}, TIME),
    "updated_at": ({"type": "array", "items": TEXT}, TIME),
}
DOOR_FILTERS = (*SETS[1:], "size_min", "size_max", "limit", "marker")

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    **{name: _query(*facts) for name, facts in FILTERS.items()},
    **{META + name: _header(*facts) for name, facts in {**DRAFT, **EXPECTED}.items()},
    f"{META}disk_format": {**_header(*DRAFT["disk_format"]), "required": True},
    **{name: _header(TEXT, text) for name, text in {**CONDITIONS, **RANGES}.items()},
    "force": _query(TRUTH, "though other servers have a lease of it; for admins"),
    "layout": _query(
        {"type": "string", "enum": ["own"]}, "the piece of an image with a parent"
    ),
    "x-openstack-image-size": _header(NUMBER, "bytes that the body must have"),
}
"""By their names, as OpenAPI describes them."""

_DRAFT = tuple(META + name for name in DRAFT)
_EXPECTED = tuple(META + name for name in EXPECTED)
_READING = (*CONDITIONS, *RANGES)
_CHANGING = ("If-Match", "If-None-Match")

ONE = "/images/<image_id>"
V2 = "/v2/images"
V2_ONE = "/v2/images/<image_id>"
OTHER = "/<other_version:version>"

OPERATIONS: Mapping[Key, Operation] = {
    ("GET", "/"): Operation("The versions that there are", "versions"),
    ("GET", "/v1"): Operation("The same: of that there is /v1/images", "versions"),
    ("GET", OTHER): Operation("The same, for versions not offered", "versions"),
    ("GET", f"{OTHER}/<path:rest>"): Operation("The same", "versions"),
    ("GET", "/versions"): Operation("The versions that there are", "versions"),
    ("GET", "/v2"): Operation("The versions that there are", "versions"),
    ("GET", "/openapi.json"): Operation("This document", "document"),
    ("GET", "/healthcheck"): Operation("OK while requests are taken", "text/plain"),
    ("GET", "/metrics"): Operation("Numbers for Prometheus", "text/plain"),
    ("POST", "/images"): Operation(
        "Makes an image; a body is its bytes",
        "door",
        (*_DRAFT, *_EXPECTED),
        {OCTETS: ""},
    ),
    ("GET", "/images"): Operation("A page of images, briefly", "page", DOOR_FILTERS),
    ("GET", "/images/detail"): Operation("A page of images", "page", DOOR_FILTERS),
    ("GET", ONE): Operation("The image's own bytes", OCTETS, _READING),
    ("PUT", ONE): Operation(
        "Brings the bytes of a queued image",
        "door",
        (*_EXPECTED, *_CHANGING),
        {OCTETS: ""},
    ),
    ("DELETE", ONE): Operation(
        "Deletes the image for ever", None, ("force", *_CHANGING)
    ),
    ("GET", f"{ONE}/chain"): Operation("Image and parents: the manifest", "manifest"),
    ("GET", f"{ONE}/stream"): Operation(
        "Its bytes, then its parent's, to the end of the chain", OCTETS, _READING
    ),
    ("GET", f"{ONE}/chain.tar"): Operation(
        "Manifest and pieces as an archive", "application/x-tar", _READING
    ),
    ("GET", f"{ONE}/leases"): Operation("Which servers need the image", "leases"),
    ("PUT", f"{ONE}/leases/<holder>"): Operation(
        "Another server needs the image: it is not to be deleted", "leased"
    ),
    ("DELETE", f"{ONE}/leases/<holder>"): Operation("It does not need it any more"),
    ("GET", "/v2/schemas/<name>"): Operation("A JSON schema", "document"),
    ("GET", "/v2/info/import"): Operation("Ways to import: none", "document"),
    ("GET", "/v2/info/stores"): Operation("Stores to choose from: none"),
    ("GET", "/v2/info/usage"): Operation("Use of quotas: there are none", "document"),
    ("POST", V2): Operation("Makes a record", "image"),
    ("GET", V2): Operation("A page of images", "images", tuple(FILTERS)),
    ("GET", V2_ONE): Operation("A record", "image"),
    ("PATCH", V2_ONE): Operation("Changes a record", "image", takes=PATCHES),
    ("DELETE", V2_ONE): Operation("Deletes the image for ever", None, ("force",)),
    ("POST", f"{V2_ONE}/actions/deactivate"): Operation(
        "Lets only admins read the bytes"
    ),
    ("POST", f"{V2_ONE}/actions/reactivate"): Operation("Takes that back"),
    ("GET", f"{V2_ONE}/file"): Operation(
        "The image's own bytes; of a difference only if it is asked for",
        OCTETS,
        ("layout", *_READING),
    ),
    ("PUT", f"{V2_ONE}/file"): Operation(
        "Brings the bytes of a queued image",
        None,
        ("x-openstack-image-size",),
        {OCTETS: ""},
    ),
    ("PUT", f"{V2_ONE}/tags/<tag>"): Operation("Adds a tag"),
    ("DELETE", f"{V2_ONE}/tags/<tag>"): Operation("Removes a tag"),
    ("GET", f"{V2_ONE}/members"): Operation("Who it is shared with", "members"),
    ("POST", f"{V2_ONE}/members"): Operation("Shares it with a project", "member"),
    ("GET", f"{V2_ONE}/members/<project>"): Operation("One of them", "member"),
    ("PUT", f"{V2_ONE}/members/<project>"): Operation(
        "What a project makes of it", "member"
    ),
    ("DELETE", f"{V2_ONE}/members/<project>"): Operation("Shares it no longer"),
    ("GET", f"{V2_ONE}/tasks"): Operation("Tasks that work on it: none", "tasks"),
    ("GET", f"{V2_ONE}/locations"): Operation("Where else its bytes are", "list"),
    ("POST", f"{V2_ONE}/locations"): Operation("Refused: bytes are uploaded"),
    ("GET", "/v2/tasks"): Operation("Tasks: there are none", "tasks"),
    ("POST", "/v2/tasks"): Operation("Refused: there are no tasks"),
    ("GET", "/v2/tasks/<task_id>"): Operation("One of them"),
}
"""By method and path, as the routes are declared."""
