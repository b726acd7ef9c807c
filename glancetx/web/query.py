# Copyright glancetx contributors. See LICENSE for details.

"""
The query of a list: filters, marker and limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from glancetx.catalogue import Query
from glancetx.errors import BadValue
from glancetx.image import Image
from glancetx.limits import Limits

from .arguments import Arguments, read_texts
from .metadata import read_number

__all__ = ["cut_page", "next_page", "read_query"]

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


def read_query(arguments: Arguments, limits: Limits) -> Query:
    """
    The query that a list's arguments make; a larger limit than allowed is lowered.

    :raises BadValue: that names the argument.
    """
    facts: dict[str, Any] = {}
    numbers: dict[str, int] = {"limit": limits.list_default}
    properties: dict[str, str] = {}
    for name, (value,) in read_texts(arguments).items():
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
    kept = [
        (name, value)
        for name, (value,) in read_texts(arguments).items()
        if name != "marker"
    ]
    return f"{path.decode('ascii')}?{urlencode([*kept, ('marker', marker)])}"
