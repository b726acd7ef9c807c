# Copyright glancetx contributors. See LICENSE for details.

"""
Images as ``x-image-meta-*`` headers and as JSON, in both directions.

Names are read with dashes or underscores and in any case; values are UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve
from twisted.web.http_headers import Headers

from glancetx.errors import BadValue
from glancetx.image import LARGEST, Image, Visibility
from glancetx.library.images import Draft
from glancetx.library.uploads import Expected
from glancetx.times import format_time
from glancetx.uris import is_image_id

from .fields import FORMATS, PARENTS, is_taken
from .request import header_value

__all__ = [
    "CONTROL",
    "read_draft",
    "read_expected",
    "refuse_draft",
    "to_brief",
    "to_headers",
    "to_json",
]

PREFIX = "x-image-meta-"
PROPERTY = "property_"
NAME_CHARACTERS = 255
VALUE_BYTES = 4096
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PROPERTY_NAME = re.compile(r"[a-z0-9_.]{1,255}")
NUMBER = re.compile(r"[0-9]{1,19}")
MD5 = re.compile(r"[0-9a-f]{32}")
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False}
BOOLEANS["no"] = False

EXPECTED = {"size", "checksum"}

#: What one header of a property, and all of them together, may take of an answer:
#: a Varnish with default settings gives up on more than 32 KiB or 54 lines in all.
PROPERTY_LINES = 20
PROPERTY_BYTES = 16384
OMITTED = b"X-Image-Meta-Properties-Omitted"


def read_draft(headers: Headers) -> Draft:
    """
    What the headers of a request say of a new image; ``bare`` and private unless they
    say otherwise.

    :raises BadValue: that names the header.
    """
    draft = Draft(container_format="bare", visibility=Visibility.PRIVATE)
    properties: dict[str, str] = {}
    said = dict(_fields(headers))
    _settle_visibility(said)
    for name, value in said.items():
        if name.startswith(PROPERTY):
            properties[_property_name(name)] = _property(name, value)
        elif name in _READERS:
            key, read = _READERS[name]
            draft = evolve(draft, **{key: read(name, value)})
        elif name not in EXPECTED:
            known = ", ".join(sorted(_READERS.keys() | EXPECTED | {"property-*"}))
            raise BadValue(PREFIX + name, f"is not known; there are {known}")
    return evolve(draft, properties=properties)


def read_expected(headers: Headers) -> Expected:
    """
    What the headers of a request say of the bytes of its body.

    :raises BadValue: that names the header.
    """
    expected = Expected()
    for name, value in _fields(headers):
        if name == "size":
            expected = evolve(expected, size=_number(name, value))
        elif name == "checksum":
            checksum = value.lower()
            if not MD5.fullmatch(checksum):
                raise BadValue(PREFIX + name, "must be an MD5 in 32 hex digits")
            expected = evolve(expected, checksum=checksum)
    return expected


def refuse_draft(headers: Headers) -> None:
    """
    Bytes that come for a record bring no metadata for it.

    :raises BadValue: that names the header.
    """
    for name, _ in _fields(headers):
        if name not in EXPECTED:
            raise BadValue(
                PREFIX + name, "belongs to the POST; bytes bring size and checksum only"
            )


def to_headers(image: Image, parent: str | None) -> dict[bytes, bytes]:
    """
    An image as the headers of an answer; of its properties those that fit in there.

    :param parent: the URI of its parent.
    """
    facts = {
        f"X-Image-Meta-{name.capitalize()}".encode("ascii"): _value(value)
        for name, value in _facts(image, parent).items()
        if value is not None
    }
    return facts | _property_headers(image.properties)


def to_json(image: Image, uri: str, parent: str | None) -> dict[str, Any]:
    """
    An image as JSON shows it.

    :param uri: its own.
    :param parent: the URI of its parent.
    """
    return {
        **_facts(image, parent),
        "tags": sorted(image.tags),
        "properties": dict(image.properties),
        "uri": uri,
    }


def to_brief(image: Image) -> dict[str, Any]:
    """The few facts that a plain list shows of an image."""
    return {
        "id": image.id,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "checksum": image.checksum,
    }


def read_number(name: str, text: str) -> int:
    """
    A whole number from 0 to ``LARGEST``.

    :raises BadValue: if it is none.
    """
    if not NUMBER.fullmatch(text) or int(text) > LARGEST:
        raise BadValue(name, f"must be a whole number from 0 to {LARGEST}")
    return int(text)


def _facts(image: Image, parent: str | None) -> dict[str, Any]:
    digest = image.digest
    return {
        "id": image.id,
        "name": image.name,
        "status": str(image.status),
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": digest.algorithm if digest else None,
        "os_hash_value": digest.value if digest else None,
        "is_public": image.visibility.is_public,
        "visibility": image.visibility.value,
        "owner": image.owner,
        "protected": image.protected,
        "os_hidden": image.hidden,
        "parent_id": parent,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "created_at": format_time(image.created_at),
        "updated_at": format_time(image.updated_at),
    }


def _property_headers(properties: Mapping[str, str]) -> dict[bytes, bytes]:
    """
    The properties that fit into headers, and how many do not.

    Names and values that the Image API v2 allows need not fit; and there must not be
    more than the caches and clients of a zone take, or they would not get the bytes.
    """
    shown: dict[bytes, bytes] = {}
    room = PROPERTY_BYTES
    for name, text in properties.items():
        value = header_value(text)
        taken = len(PREFIX + PROPERTY + name) + len(value) + len(": \r\n")
        if (
            PROPERTY_NAME.fullmatch(name)
            and len(value) <= VALUE_BYTES
            and taken <= room
            and len(shown) < PROPERTY_LINES
        ):
            shown[f"X-Image-Meta-Property-{name}".encode("ascii")] = value
            room -= taken
    if len(shown) < len(properties):
        shown[OMITTED] = b"%d" % (len(properties) - len(shown))
    return shown


def _fields(headers: Headers) -> Iterator[tuple[str, str]]:
    seen = set()
    for raw, values in headers.getAllRawHeaders():
        name = raw.decode("latin-1").lower().replace("_", "-")
        if not name.startswith(PREFIX):
            continue
        name = name.removeprefix(PREFIX).replace("-", "_")
        if name in seen or len(values) != 1:
            raise BadValue(PREFIX + name, "is given more than once")
        seen.add(name)
        yield name, _decoded(name, values[0])


def _decoded(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8").strip(" \t")
    except UnicodeDecodeError:
        raise BadValue(PREFIX + name, "must be UTF-8") from None
    if CONTROL.search(text):
        raise BadValue(PREFIX + name, "must not have control characters")
    return text


def _property_name(name: str) -> str:
    key = name.removeprefix(PROPERTY)
    if not PROPERTY_NAME.fullmatch(key):
        raise BadValue(PREFIX + name, "must be 1 to 255 of a-z, 0-9, '_' and '.'")
    if key in PARENTS:
        raise BadValue(PREFIX + name, f"is no property; send {PREFIX}parent_id")
    if is_taken(key):
        raise BadValue(PREFIX + name, f"is no property: {key} is a name that is taken")
    return key


def _property(name: str, value: str) -> str:
    """A line of the answer, which clients and caches with smaller limits read."""
    if len(value.encode("utf-8")) > VALUE_BYTES:
        raise BadValue(PREFIX + name, f"must have at most {VALUE_BYTES} bytes")
    return value


def _text(name: str, value: str) -> str:
    return value


def _image_id(name: str, value: str) -> str:
    if not is_image_id(value):
        raise BadValue(PREFIX + name, "must be a lower-case UUID with dashes")
    return value


def _image_name(name: str, value: str) -> str:
    if len(value) > NAME_CHARACTERS:
        raise BadValue(PREFIX + name, f"must have at most {NAME_CHARACTERS} characters")
    return value


def _format(name: str, value: str) -> str:
    known = FORMATS[name]
    if value not in known:
        raise BadValue(PREFIX + name, f"must be one of {', '.join(known)}")
    return value


def _number(name: str, value: str) -> int:
    return read_number(PREFIX + name, value)


def _boolean(name: str, value: str) -> bool:
    found = BOOLEANS.get(value.lower())
    if found is None:
        raise BadValue(PREFIX + name, "must be true or false")
    return found


def _visibility(name: str, value: str) -> Visibility:
    try:
        return Visibility(value.lower())
    except ValueError:
        known = ", ".join(Visibility)
        raise BadValue(PREFIX + name, f"must be one of {known}") from None


def _publicity(name: str, value: str) -> Visibility:
    return Visibility.PUBLIC if _boolean(name, value) else Visibility.PRIVATE


def _settle_visibility(said: dict[str, str]) -> None:
    """
    Leave ``is_public`` out where ``visibility`` says more.

    :raises BadValue: if they contradict each other.
    """
    if not {"is_public", "visibility"} <= said.keys():
        return
    visibility = _visibility("visibility", said["visibility"])
    if _boolean("is_public", said.pop("is_public")) != visibility.is_public:
        raise BadValue(
            PREFIX + "visibility",
            f"is {visibility}, but {PREFIX}is_public says otherwise; send one of them",
        )


_READERS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "id": ("id", _image_id),
    "name": ("name", _image_name),
    "disk_format": ("disk_format", _format),
    "container_format": ("container_format", _format),
    "is_public": ("visibility", _publicity),
    "visibility": ("visibility", _visibility),
    "protected": ("protected", _boolean),
    "parent_id": ("parent_id", _text),
    "min_disk": ("min_disk", _number),
    "min_ram": ("min_ram", _number),
}


def _value(value: object) -> bytes:
    return str(value).encode("utf-8")
