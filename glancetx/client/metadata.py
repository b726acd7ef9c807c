# Copyright glancetx contributors. See LICENSE for details.

"""
What a caller says of a new image, as request headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.web.http_headers import Headers

from glancetx.errors import BadValue

__all__ = ["image_headers"]

FIELDS = {
    "id": str,
    "name": str,
    "disk_format": str,
    "container_format": str,
    "checksum": str,
    "is_public": bool,
    "min_disk": int,
    "min_ram": int,
}
TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def image_headers(
    metadata: Mapping[str, Any], size: int | None = None, parent: str | None = None
) -> Headers:
    """
    The ``x-image-meta-*`` headers that create an image.

    :param metadata: ``id``, ``name``, ``disk_format``, ``container_format``,
        ``checksum`` (MD5 in hex), ``is_public``, ``min_disk`` (GB), ``min_ram``
        (MB) and ``properties`` (text by text); what is ``None`` is left out.
    :param size: bytes of the image's own piece, if that is known.
    :param parent: the parent's id or URI.
    :raises BadValue: if something cannot be said in a header, or is not known.
    """
    headers = Headers()
    for key, value in metadata.items():
        if key == "properties" or value is None:
            continue
        kind = FIELDS.get(key)
        if kind is None:
            known = ", ".join([*FIELDS, "properties"])
            raise BadValue(key, f"is not a field of an image; there are {known}")
        if type(value) is not kind:
            raise BadValue(key, f"must be {kind.__name__}, not {value!r}")
        _add(headers, key, key, str(value))
    for key, value in (metadata.get("properties") or {}).items():
        if not TOKEN.fullmatch(key):
            raise BadValue("properties", f"{key!r} cannot be the name of a property")
        _add(headers, "properties", f"property-{key}", value)
    if size is not None:
        _add(headers, "size", "size", str(size))
    if parent is not None:
        _add(headers, "parent_id", "parent_id", parent)
    return headers


def _add(headers: Headers, field: str, key: str, text: str) -> None:
    if UNSENDABLE.search(text) or text != text.strip():
        raise BadValue(
            field, f"{text!r} has control characters, or blanks at an end; leave them"
        )
    try:
        value = text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadValue(field, f"{text!r} is not text") from None
    headers.addRawHeader(f"x-image-meta-{key}".encode("ascii"), value)
