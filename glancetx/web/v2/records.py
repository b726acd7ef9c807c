# Copyright glancetx contributors. See LICENSE for details.

"""
Images as the JSON of the Image API v2, both ways (Image API v2, "Images").

A record is flat: properties stand beside the fields, so none may be called as a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from glancetx.errors import BadValue, Forbidden
from glancetx.image import Image, Visibility
from glancetx.library.images import Draft
from glancetx.times import format_time
from glancetx.uris import Names
from glancetx.web.fields import NAMESPACE, PARENTS, READ_ONLY, RESERVED, SETTABLE
from glancetx.web.links import parent_uri
from glancetx.web.metadata import CONTROL

from . import schemas

__all__ = [
    "GUARDED",
    "PARENT",
    "check_settable",
    "checked_field",
    "checked_property",
    "path_of",
    "read_draft",
    "to_record",
]

PARENT = "os_glance_parent_id"
GUARDED = "os_glance_parent_guarded"
NAME_CHARACTERS = 255
VALUE_BYTES = 65535

#: Of the settable fields those that are called otherwise here, or are no plain JSON.
ATTRIBUTES = {"os_hidden": "hidden"}
KINDS: Mapping[str, Callable[[Any], Any]] = {
    "visibility": Visibility,
    "tags": frozenset,
    "min_disk": int,
    "min_ram": int,
}


def path_of(image_id: str) -> str:
    """Where a record is, relative to the server."""
    return f"/v2/images/{image_id}"


def to_record(image: Image, own: Names) -> dict[str, Any]:
    """
    An image as the Image API shows it.

    :param own: under which names this server's images are known.
    """
    digest = image.digest
    return {
        **image.properties,
        **_chain_facts(image, own),
        "id": image.id,
        "name": image.name,
        "status": image.status.value,
        "visibility": image.visibility.value,
        "protected": image.protected,
        "os_hidden": image.hidden,
        "owner": image.owner,
        "tags": sorted(image.tags),
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": digest.algorithm if digest else None,
        "os_hash_value": digest.value if digest else None,
        "created_at": format_time(image.created_at),
        "updated_at": format_time(image.updated_at),
        "self": path_of(image.id),
        "file": f"{path_of(image.id)}/file",
        "schema": "/v2/schemas/image",
    }


def read_draft(document: Any) -> Draft:
    """
    What a document says of a new image.

    :raises BadValue: that names the field.
    :raises Forbidden: if the server alone says what the field is.
    :raises TooMany: if there are too many.
    """
    if isinstance(document, dict):
        for name in document.keys() - {"id"} - PARENTS:
            check_settable(name)
    schemas.validate("image_create", document)
    facts: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in document.items():
        if name == "id":
            facts["id"] = value
        elif name in SETTABLE:
            facts |= checked_field(name, value)
        elif name not in PARENTS:
            properties[name] = checked_property(name, value)
    return Draft(properties=properties, parent_id=_parent(document), **facts)


def check_settable(name: str) -> None:
    """
    Whether clients may say what a field or property is.

    :raises Forbidden: if they may not.
    """
    if name in PARENTS:
        raise Forbidden(f"{name}: is given when an image is made, and stays so")
    if name in READ_ONLY:
        raise Forbidden(f"{name}: is read-only; the server says what it is")
    if name in RESERVED or name.startswith(NAMESPACE):
        raise Forbidden(f"{name}: is a reserved name; choose another")


def checked_field(name: str, value: Any) -> dict[str, Any]:
    """
    A settable field as the attribute of :class:`Image` that it is.

    :param value: that obeys the schema.
    :raises BadValue: if it has control characters.
    """
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and CONTROL.search(text):
            raise BadValue(name, "must not have control characters")
    return {ATTRIBUTES.get(name, name): KINDS.get(name, _as_is)(value)}


def checked_property(name: str, value: str) -> str:
    """
    The value of a property.

    :raises BadValue: if name or value cannot be kept, or not be shown.
    """
    if not 0 < len(name) <= NAME_CHARACTERS or CONTROL.search(name):
        raise BadValue(
            ascii(name[:NAME_CHARACTERS]),
            f"the name of a property must be 1 to {NAME_CHARACTERS} characters, and "
            "none of them control characters",
        )
    if "\0" in value:
        raise BadValue(name, "must not have the character NUL")
    if len(value.encode("utf-8")) > VALUE_BYTES:
        raise BadValue(name, f"must have at most {VALUE_BYTES} bytes")
    return value


def _chain_facts(image: Image, own: Names) -> dict[str, str]:
    """
    What the server has found out about an image's parents.

    Strings, as clients want it of all that is no field; Nova copies nothing whose name
    begins so into later snapshots.
    """
    parent = parent_uri(image, own)
    if parent is None:
        return {}
    digest = image.parents[0].digest
    return {
        PARENT: parent,
        "os_glance_parent_digest": f"{digest.algorithm}:{digest.value}",
        "os_glance_chain_length": str(1 + len(image.parents)),
    }


def _as_is(value: Any) -> Any:
    return value


def _parent(document: Mapping[str, Any]) -> str | None:
    """
    The parent that a document names.

    :raises BadValue: if it names two.
    """
    said = {document[name] for name in PARENTS if document.get(name) is not None}
    if len(said) > 1:
        raise BadValue(PARENT, "is another one than parent_id; give one of the two")
    return said.pop() if said else None
