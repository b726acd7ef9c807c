# Copyright glancetx contributors. See LICENSE for details.

"""
What another server says of an image of its, checked before anything believes it.

A forged or broken server must not bring nonsense into our catalogue, our headers or
the names in our archives.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.web.http_headers import Headers

from .errors import BadValue
from .image import LARGEST, Digest, Pin, Visibility

__all__ = ["Found", "Nonsense", "believe", "said_in_headers", "said_in_json", "shown"]

_PREFIX = "x-image-meta-"
_TEXTS = (
    "id",
    "name",
    "status",
    "disk_format",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "parent_id",
    "visibility",
)
_NUMBERS = ("size", "virtual_size")
_V2_PARENT = "os_glance_parent_id"

_LONGEST_NAME = 255
_LONGEST_URI = 2048
_SHOWN = 200

_DIGITS = re.compile(r"[0-9]{1,19}")
_TOKEN = re.compile(r"[a-z0-9]{1,20}")
_STATUS = re.compile(r"[a-z_]{1,20}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_DIGESTS = {
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "sha512": re.compile(r"[0-9a-f]{128}"),
}


class Nonsense(ValueError):
    """What a server says cannot be true, or is none of the forms it could have."""


@frozen
class Found:
    """
    An image that another server has.

    :ivar parent: what it says its parent is, not looked at yet; ``None`` if it has
        none.
    """

    pin: Pin
    parent: str | None


def said_in_headers(headers: Headers) -> dict[str, Any] | None:
    """
    What a glancetx says of an image in the headers of an answer.

    :returns: ``None`` if these are not a glancetx's headers.
    :raises Nonsense: if one stands there twice, or is neither UTF-8 nor a number.
    """
    if not headers.hasHeader((_PREFIX + "id").encode("ascii")):
        return None
    said: dict[str, Any] = {name: _header(headers, name) for name in _TEXTS}
    for name in _NUMBERS:
        text = _header(headers, name)
        if text is not None and not _DIGITS.fullmatch(text):
            raise Nonsense(f"{name} is {shown(text)}, not a number")
        said[name] = None if text is None else int(text)
    return said


def _header(headers: Headers, name: str) -> str | None:
    values = headers.getRawHeaders((_PREFIX + name).encode("ascii"), [])
    if len(values) > 1:
        raise Nonsense(f"{name} is said twice")
    try:
        return values[0].decode("utf-8") or None if values else None
    except UnicodeDecodeError:
        raise Nonsense(f"{name} is not UTF-8") from None


def said_in_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a Glance says of an image in the document of the Image API v2."""
    said = {name: document.get(name) for name in (*_TEXTS, *_NUMBERS)}
    said["parent_id"] = document.get(_V2_PARENT)
    return said


def believe(
    said: Mapping[str, Any], image_id: str, where: str, origin: str, path: str
) -> Found:
    """
    Make a pin of what was said, if all of it can be true.

    :param where: names the server, for messages.
    :param origin: its ``url``.
    :param path: where the bytes lie below it.
    :raises Nonsense: if it cannot be true.
    :raises BadValue: if the image cannot be a parent: it is not active, or there is
        no digest by which to prove its bytes.
    """
    if said["id"] != image_id:
        raise Nonsense("it answered about another image")
    status = _fitting(said, "status", _STATUS)
    if status != "active":
        raise BadValue("parent_id", f"image {image_id} of {where} is {status}")
    size = _number(said, "size")
    if size is None:
        raise Nonsense("it is active and has no size")
    pin = Pin(
        origin=origin,
        image_id=image_id,
        path=path,
        name=_text(said, "name", _LONGEST_NAME),
        disk_format=_fitting(said, "disk_format", _TOKEN) or "raw",
        size=size,
        virtual_size=_number(said, "virtual_size"),
        checksum=_fitting(said, "checksum", _MD5),
        digest=_digest(said, image_id, where),
        visibility=_visibility(said),
        anonymous=False,
    )
    return Found(pin, _text(said, "parent_id", _LONGEST_URI) or None)


def _visibility(said: Mapping[str, Any]) -> Visibility:
    """As it says; a server that does not say it shows its images to few."""
    try:
        return Visibility(said["visibility"])
    except ValueError:
        return Visibility.PRIVATE


def _digest(said: Mapping[str, Any], image_id: str, where: str) -> Digest:
    algorithm, value = said["os_hash_algo"], said["os_hash_value"]
    form = _DIGESTS.get(algorithm) if isinstance(algorithm, str) else None
    if form is None or value is None:
        raise BadValue(
            "parent_id",
            f"image {image_id} of {where} has no SHA-256 or SHA-512 digest "
            "(os_hash_value), without which its bytes cannot be proved; upload it "
            "there again, so that it gets one",
        )
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Nonsense(f"os_hash_value is no {algorithm}")
    return Digest(algorithm, value)


def _fitting(said: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    value = said[name]
    if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
        raise Nonsense(f"{name} is {shown(value)}")
    return value


def _number(said: Mapping[str, Any], name: str) -> int | None:
    value = said[name]
    if value is not None and not (type(value) is int and 0 <= value <= LARGEST):
        raise Nonsense(f"{name} is {shown(value)}")
    return value


def _text(said: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = said[name]
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest or not _printable(value):
        raise Nonsense(f"{name} is {shown(value)}")
    return value


def _printable(text: str) -> bool:
    """Without control characters and halves of surrogate pairs."""
    return all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in text)


def shown(value: object) -> str:
    """What a stranger sent, as it may stand in a message: in ASCII, and not long."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
