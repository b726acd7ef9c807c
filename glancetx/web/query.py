# Copyright glancetx contributors. See LICENSE for details.

"""
The query of a list: filters, marker and limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from glancetx.catalogue import Query
from glancetx.errors import BadValue
from glancetx.image import Image
from glancetx.limits import Limits

from .metadata import read_number

__all__ = ["cut_page", "next_page", "read_force", "read_query"]

PROPERTY = "property-"
#: Texts, and the fields of a query that each is the one value of.
TEXTS = {
    "name": "names",
    "status": "statuses",
    "disk_format": "disk_formats",
    "container_format": "container_formats",
}
NUMBERS = ("size_min", "size_max", "limit")
KNOWN = ", ".join(sorted([*TEXTS, *NUMBERS, "marker", "property-*"]))
MOST_PROPERTIES = 64

Arguments = Mapping[bytes, Sequence[bytes]]


def read_query(arguments: Arguments, limits: Limits) -> Query:
    """
    The query that a list's arguments make; a larger limit than allowed is lowered.

    :raises BadValue: that names the argument.
    """
    facts: dict[str, Any] = {}
    numbers: dict[str, int] = {"limit": limits.list_default}
    properties: dict[str, str] = {}
    for name, value in _texts(arguments):
        if name.startswith(PROPERTY):
            key = name.removeprefix(PROPERTY).lower().replace("-", "_")
            if key in properties:
                raise BadValue(name, "is given more than once")
            properties[key] = value
        elif name in TEXTS:
            facts[TEXTS[name]] = (value,)
        elif name in NUMBERS:
            numbers[name] = read_number(name, value)
        elif name == "marker":
            facts[name] = value
        else:
            raise BadValue(name, f"is not known; there are {KNOWN}")
    if len(properties) > MOST_PROPERTIES:
        raise BadValue("property-*", f"is given more than {MOST_PROPERTIES} times")
    sizes = (numbers.get("size_min"), numbers.get("size_max"))
    return Query(
        properties=properties,
        numbers={} if sizes == (None, None) else {"size": sizes},
        limit=min(numbers["limit"], limits.list_limit),
        **facts,
    )


def cut_page(found: Sequence[Image], limit: int, weight: int) -> Sequence[Image]:
    """
    What is shown of the images that were found: the rest says that there are more.

    :param limit: how many at most.
    :param weight: how much they weigh together at most, but for a single one.
    """
    for count, image in enumerate(found[:limit]):
        weight -= image.weight
        if count and weight < 0:
            return found[:count]
    return found[:limit]


def next_page(path: bytes, arguments: Arguments, marker: str) -> str:
    """The address of the page behind a marker, relative to the server."""
    kept = [(name, value) for name, value in _texts(arguments) if name != "marker"]
    return f"{path.decode('ascii')}?{urlencode([*kept, ('marker', marker)])}"


def read_force(arguments: Arguments) -> bool:
    """
    Whether a deletion is to be forced.

    :raises BadValue: if that is said otherwise than by true or false.
    """
    values = arguments.get(b"force", [b"false"])
    if len(values) != 1 or values[0] not in (b"true", b"false"):
        raise BadValue("force", "must be true or false")
    return values[0] == b"true"


def _texts(arguments: Arguments) -> list[tuple[str, str]]:
    found = []
    for raw, values in arguments.items():
        try:
            name, texts = raw.decode("utf-8"), [v.decode("utf-8") for v in values]
        except UnicodeDecodeError:
            name = raw.decode("utf-8", "backslashreplace")
            raise BadValue(name, "must be UTF-8") from None
        if len(texts) > 1:
            raise BadValue(name, "is given more than once")
        if "\0" in name or "\0" in texts[0]:
            raise BadValue(name, "must not have the character NUL")
        found.append((name, texts[0]))
    return found
