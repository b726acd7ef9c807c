# Copyright glancetx contributors. See LICENSE for details.

"""
What the JSON of the Image API looks like: for clients to read, and to judge what they
send.

``PUBLISHED`` are the schemas that Glance's clients ask for (``/v2/schemas/NAME``):
glanceclient and Nova learn from ``is_base`` which names are an image's own fields, and
from ``enum`` which formats there are. ``REQUESTS`` are what request bodies obey.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from glancetx.errors import BadValue, TooMany
from glancetx.image import LARGEST, MemberStatus, Status, Visibility
from glancetx.web.fields import FORMATS

from .sentences import explain

__all__ = ["PUBLISHED", "REQUESTS", "UUID", "validate"]

Schema = dict[str, Any]

UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MOST_VALUES = 2000
"""In one document: what is judged takes no longer than some 0.1 s."""
DEEPEST = 8

READ_ONLY = {"readOnly": True}


def _text(description: str, longest: int = 255, **more: Any) -> Schema:
    return {
        "type": "string",
        "description": description,
        "maxLength": longest,
        **more,
    }


def _uuid(description: str, **more: Any) -> Schema:
    comment = "must be a lower-case UUID with dashes"
    return {
        "type": "string",
        "description": description,
        "pattern": UUID,
        "$comment": comment,
        **more,
    }


def _choice(description: str, choices: list[str], **more: Any) -> Schema:
    return {
        "type": "string",
        "description": description,
        "enum": choices,
        **more,
    }


def _number(description: str, **more: Any) -> Schema:
    return {
        "type": "integer",
        "description": description,
        "minimum": 0,
        "maximum": LARGEST,
        **more,
    }


def _boolean(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _time(description: str) -> Schema:
    return {"type": "string", "description": description, **READ_ONLY}


def _nullable(schema: Schema) -> Schema:
    """What a schema describes, or null. Glance names null first."""
    found = {**schema, "type": ["null", schema["type"]]}
    if "enum" in schema:
        found["enum"] = [None, *schema["enum"]]
    return found


def _list_of(description: str, items: Schema) -> Schema:
    return {"type": "array", "description": description, "items": items}


SETTABLE: Mapping[str, Schema] = {
    "id": _uuid("An identifier for the image"),
    "name": _nullable(_text("Descriptive name for the image")),
    "visibility": _choice(
        "Scope of image accessibility", [str(one) for one in reversed(Visibility)]
    ),
    "protected": _boolean("If true, image will not be deletable."),
    "os_hidden": _boolean(
        "If true, image will not appear in default image list response."
    ),
    "owner": _nullable(_text("Owner of the image")),
    "container_format": _nullable(
        _choice("Format of the container", FORMATS["container_format"])
    ),
    "disk_format": _nullable(_choice("Format of the disk", FORMATS["disk_format"])),
    "tags": _list_of(
        "List of strings related to the image",
        {"type": "string", "minLength": 1, "maxLength": 255},
    ),
    "min_ram": _number("Amount of ram (in MB) required to boot image."),
    "min_disk": _number("Amount of disk space (in GB) required to boot image."),
}
"""The fields of an image that clients give."""

KEPT: Mapping[str, Schema] = {
    "status": _choice("Status of the image", [str(one) for one in Status], **READ_ONLY),
    "checksum": _nullable(_text("md5 hash of image contents.", 32, **READ_ONLY)),
    "os_hash_algo": _nullable(
        _text("Algorithm to calculate the os_hash_value", 64, **READ_ONLY)
    ),
    "os_hash_value": _nullable(
        _text(
            "Hexdigest of the image contents using the algorithm specified by the "
            "os_hash_algo",
            128,
            **READ_ONLY,
        )
    ),
    "size": _nullable(_number("Size of image file in bytes", **READ_ONLY)),
    "virtual_size": _nullable(_number("Virtual size of image in bytes", **READ_ONLY)),
    "created_at": _time("Date and time of image registration"),
    "updated_at": _time("Date and time of the last image modification"),
    "self": _text("An image self url", 2048, **READ_ONLY),
    "file": _text("An image file url", 2048, **READ_ONLY),
    "schema": _text("An image schema url", 2048, **READ_ONLY),
    "direct_url": _text(
        "URL to access the image file kept in external store; not shown here",
        2048,
        **READ_ONLY,
    ),
    "locations": {
        "type": "array",
        "description": "URLs of the image file in external stores; not shown here",
        **READ_ONLY,
    },
    "stores": _text(
        "Store in which image data resides; not shown here", 2048, **READ_ONLY
    ),
}
"""The fields of an image that the server gives."""

CUSTOM: Mapping[str, Schema] = {
    "kernel_id": _uuid(
        "ID of image stored in Glance that should be used as the kernel when booting "
        "an AMI-style image."
    ),
    "ramdisk_id": _uuid(
        "ID of image stored in Glance that should be used as the ramdisk when booting "
        "an AMI-style image."
    ),
    "instance_uuid": {
        "type": "string",
        "description": "Metadata which can be used to record which instance this "
        "image is associated with. (Informational only, does not create an instance "
        "snapshot.)",
    },
    "architecture": {
        "type": "string",
        "description": "Operating system architecture, e.g. x86_64 or aarch64",
    },
    "os_distro": {
        "type": "string",
        "description": "Common name of operating system distribution",
    },
    "os_version": {
        "type": "string",
        "description": "Operating system version as specified by the distributor.",
    },
}
"""What Glance declares of properties (``schema-image.json``)."""

PARENT: Schema = {
    "type": "string",
    "description": "The image that this one is a difference to: an id or a URI. "
    "Given when the image is made, and never changed.",
    "minLength": 1,
    "maxLength": 2048,
}
PROPERTY: Schema = {"type": "string", "maxLength": 65535}


def _links(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"rel": rel, "href": f"{{{name}}}"} for rel, name in pairs]


def _image() -> Schema:
    custom = {**CUSTOM, "os_glance_parent_id": PARENT}
    return {
        "name": "image",
        "properties": {
            **SETTABLE,
            **KEPT,
            **{name: {**one, "is_base": False} for name, one in custom.items()},
        },
        "additionalProperties": {"type": "string"},
        "links": _links(
            ("self", "self"), ("enclosure", "file"), ("describedby", "schema")
        ),
    }


def _member() -> Schema:
    return {
        "name": "member",
        "properties": {
            "member_id": _text("An identifier for the image member (tenantId)"),
            "image_id": _uuid("An identifier for the image"),
            "created_at": _time("Date and time of image member creation"),
            "updated_at": _time("Date and time of last modification of image member"),
            "status": _choice(
                "The status of this image member", [str(one) for one in MemberStatus]
            ),
            "schema": {"type": "string", **READ_ONLY},
        },
        "additionalProperties": False,
    }


def _task() -> Schema:
    text = {"type": "string"}
    return {
        "name": "task",
        "properties": {
            "id": _uuid("An identifier for the task"),
            "type": _choice("The type of task represented by this content", ["import"]),
            "status": _choice(
                "The current status of this task",
                ["pending", "processing", "success", "failure"],
            ),
            "input": {"type": ["null", "object"], "description": "Its parameters"},
            "result": {"type": ["null", "object"], "description": "Its result"},
            "owner": {**text, "description": "An identifier for the owner of it"},
            "message": {**text, "description": "Human-readable informative message"},
            "expires_at": {"type": ["null", "string"], "description": "When it goes"},
            "created_at": _time("Date and time when it was made"),
            "updated_at": _time("Date and time of its last change"),
            "image_id": {"type": ["null", "string"], "description": "Its image"},
            "request_id": {"type": ["null", "string"], "description": "Of its maker"},
            "user_id": {"type": ["null", "string"], "description": "Its maker"},
            "self": {**text, **READ_ONLY},
            "schema": {**text, **READ_ONLY},
        },
        "additionalProperties": False,
    }


def _collection(name: str, item: Schema, paged: bool) -> Schema:
    text = {"type": "string"}
    pages = [("first", "first"), ("next", "next")] if paged else []
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            **{page: text for page, _ in pages},
            "schema": text,
        },
        "links": _links(*pages, ("describedby", "schema")),
    }


PUBLISHED: Mapping[str, Schema] = {
    "image": _image(),
    "images": _collection("images", _image(), paged=True),
    "member": _member(),
    "members": _collection("members", _member(), paged=False),
    "task": _task(),
    "tasks": _collection("tasks", _task(), paged=True),
}
"""By the name in their path."""

_POINTER = {
    "type": "string",
    "maxLength": 1024,
    "pattern": r"^/[\s\S]+$",
    "$comment": "must be a JSON pointer: a slash and the name of a field",
}
_OPERATIONS = ["add", "replace", "remove"]

REQUESTS: Mapping[str, Schema] = {
    "image_create": {
        "type": "object",
        "description": "A new image. What is not listed is a property, a text.",
        "properties": {
            **SETTABLE,
            **CUSTOM,
            "parent_id": _nullable(PARENT),
            "os_glance_parent_id": _nullable(PARENT),
        },
        "propertyNames": {"minLength": 1, "maxLength": 255},
        "additionalProperties": PROPERTY,
    },
    "image_patch": {
        "type": "array",
        "description": "application/openstack-images-v2.1-json-patch",
        "items": {
            "type": "object",
            "properties": {
                "op": {"type": "string", "enum": _OPERATIONS},
                "path": _POINTER,
                "value": True,
            },
            "required": ["op", "path"],
            "if": {"properties": {"op": {"enum": ["add", "replace"]}}},
            "then": {"required": ["value"]},
        },
    },
    "image_patch_v20": {
        "type": "array",
        "description": "application/openstack-images-v2.0-json-patch",
        "items": {
            "type": "object",
            "properties": {
                **dict.fromkeys(_OPERATIONS, _POINTER),
                "value": True,
            },
            "$comment": "must have exactly one of add, replace and remove",
            "oneOf": [{"required": [name]} for name in _OPERATIONS],
            "if": {"not": {"required": ["remove"]}},
            "then": {"required": ["value"]},
        },
    },
    "member_create": {
        "type": "object",
        "properties": {
            "member": {
                **_text("The project that the image is shared with", minLength=1),
                "pattern": r"^(?!\.{1,2}$)[^\x00-\x1f\x7f/\\]*$",
                "$comment": "must be an id that can stand in a path",
            }
        },
        "required": ["member"],
    },
    "member_update": {
        "type": "object",
        "properties": {
            "status": _choice(
                "What the project makes of it", [str(one) for one in MemberStatus]
            )
        },
        "required": ["status"],
    },
    "lease": {
        "type": "object",
        "description": "Why the image is needed elsewhere, and for how long.",
        "properties": {
            "digest": {
                "type": "object",
                "properties": {
                    "algorithm": {"type": "string", "enum": ["sha256", "sha512"]},
                    "value": {
                        "type": "string",
                        "pattern": "^(?:[0-9a-f]{64}|[0-9a-f]{128})$",
                        "$comment": "must be a digest in lower-case hex",
                    },
                },
                "required": ["algorithm", "value"],
                "additionalProperties": False,
            },
            "seconds": {
                "type": "integer",
                "description": "until it expires",
                "minimum": 60,
                "maximum": 2**31 - 1,
            },
            "url": _text("Where the server is that holds it", 2048, minLength=1),
        },
        "required": ["digest", "seconds", "url"],
        "additionalProperties": False,
    },
}
"""What bodies obey, by the names that routes give."""


def validate(name: str, document: Any) -> None:
    """
    Judge what a client sent.

    Of several faults the one that is first by its path is told, so that the same
    document always gets the same answer.

    :param name: of a schema in ``REQUESTS`` or ``PUBLISHED``.
    :raises BadValue: that names the field and says what is wrong with it.
    :raises TooMany: if there are so many values that judging them would take long.
    """
    _check_extent(document)
    errors = _VALIDATORS[name].iter_errors(document)
    first = min(errors, key=lambda error: list(error.absolute_path), default=None)
    if first is not None:
        raise BadValue(*explain(first))


def _check_extent(document: Any) -> None:
    """Go through a document level by level: never deeper than need be."""
    level, count = [document], 1
    for _ in range(DEEPEST):
        level = [one for parent in level for one in _children(parent)]
        count += len(level)
        if count > MOST_VALUES:
            raise TooMany("values of the body", MOST_VALUES)
        if not level:
            return
    raise BadValue("body", f"is nested too deeply: {DEEPEST} levels are allowed")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    """All patterns here are whole. In Python ``$`` would let a newline follow."""
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError("does not match")


def _is_integer(checker: Any, instance: Any) -> bool:
    return type(instance) is int


_Validator = extend(
    Draft202012Validator,
    {"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)
_VALIDATORS = {
    name: _Validator(schema) for name, schema in {**PUBLISHED, **REQUESTS}.items()
}
