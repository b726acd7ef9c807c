# Copyright glancetx contributors. See LICENSE for details.

"""
Changes of a record as a list of operations, in both media types of the Image API v2
("Update image").

The newer one is JSON Patch (RFC 6902) cut down to ``add``, ``replace`` and ``remove``
one level deep; the older one is its fourth draft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import evolve, frozen

from glancetx.errors import BadValue, Conflict, Forbidden
from glancetx.image import Image
from glancetx.web.fields import SETTABLE

from . import schemas
from .records import check_settable, checked_field, checked_property

__all__ = ["MEDIA_TYPES", "Change", "apply", "read_patch"]

OLDER = "application/openstack-images-v2.0-json-patch"
NEWER = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (NEWER, OLDER)
SCHEMAS = {NEWER: "image_patch", OLDER: "image_patch_v20"}

OPERATIONS = ("add", "replace", "remove")
ESCAPE = re.compile("~(.?)", re.DOTALL)
ESCAPED = {"0": "~", "1": "/"}


@frozen
class Change:
    """
    One operation.

    :ivar operation: ``add``, ``replace`` or ``remove``.
    :ivar name: of a field or property.
    :ivar value: of a property its text, of a field the attributes of the image that
        it is; nothing to a ``remove``.
    :ivar new: an ``add`` must not meet what is there already.
    """

    operation: str
    name: str
    value: Any = None
    new: bool = False


def read_patch(media_type: str, document: Any) -> tuple[Change, ...]:
    """
    The changes that a body asks for.

    :param media_type: of the body: one of ``MEDIA_TYPES``.
    :raises BadValue: that names the operation or the field.
    :raises TooMany: if there are too many.
    :raises Forbidden: if clients may not change a field.
    """
    schemas.validate(SCHEMAS[media_type], document)
    read = _newer if media_type == NEWER else _older
    return tuple(
        read(f"[{number}]", operation) for number, operation in enumerate(document)
    )


def apply(changes: Sequence[Change], image: Image) -> Image:
    """
    The record after all changes, one after the other.

    :raises Conflict: if one does not fit to what there is.
    :raises Forbidden: if a field would be removed.
    """
    return reduce(_changed, changes, image)


def _changed(image: Image, change: Change) -> Image:
    name = change.name
    if name in SETTABLE:
        return _changed_field(image, change)
    properties = dict(image.properties)
    if change.operation == "add":
        if change.new and name in properties:
            raise Conflict(f"{name}: is there already; replace it")
    elif name not in properties:
        raise Conflict(f"{name}: the image has no such property")
    if change.operation == "remove":
        del properties[name]
    else:
        properties[name] = change.value
    return evolve(image, properties=properties)


def _changed_field(image: Image, change: Change) -> Image:
    if change.operation == "remove":
        raise Forbidden(f"{change.name}: every image has it; it cannot be removed")
    if change.new:
        raise Conflict(f"{change.name}: every image has it; replace it")
    return evolve(image, **change.value)


def _newer(where: str, found: Mapping[str, Any]) -> Change:
    """``{"op": "add", "path": "/name", "value": ...}``"""
    return _change(f"body{where}.path", found["op"], found["path"], found.get("value"))


def _older(where: str, found: Mapping[str, Any]) -> Change:
    """``{"add": "/name", "value": ...}``"""
    operation = next(name for name in OPERATIONS if name in found)
    where = f"body{where}.{operation}"
    change = _change(where, operation, found[operation], found.get("value"))
    return evolve(change, new=operation == "add")


def _change(where: str, operation: str, path: str, value: Any) -> Change:
    name = _name(where, path)
    if operation == "remove":
        return Change(operation, name)
    schemas.validate("image_create", {name: value})
    check = checked_field if name in SETTABLE else checked_property
    return Change(operation, name, check(name, value))


def _name(where: str, path: str) -> str:
    """
    The field that a path names (a JSON pointer, RFC 6901).

    :raises BadValue: if it is no pointer, or names something within a field.
    :raises Forbidden: if clients may not change the field.
    """
    steps = [_unescaped(where, step) for step in path[1:].split("/")]
    check_settable(steps[0])
    if len(steps) > 1:
        raise BadValue(where, "must be one level deep; write '~1' for a '/' in a name")
    return steps[0]


def _unescaped(where: str, step: str) -> str:
    def letter(match: re.Match[str]) -> str:
        if match[1] not in ESCAPED:
            raise BadValue(where, "must have '~0' for each '~' in a name")
        return ESCAPED[match[1]]

    return ESCAPE.sub(letter, step)
