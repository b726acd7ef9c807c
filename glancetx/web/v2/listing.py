# Copyright glancetx contributors. See LICENSE for details.

"""
The query of ``GET /v2/images``: filters, order, marker and limit (Image API v2, "List
images").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from glancetx.catalogue import Query
from glancetx.catalogue.query import SORT_KEYS, TimeFilter
from glancetx.errors import BadValue
from glancetx.image import MemberStatus, Visibility
from glancetx.limits import Limits
from glancetx.uris import Names, is_image_id, parse_base
from glancetx.web.arguments import Arguments, Texts, read_texts

from .records import PARENT

__all__ = ["PATH", "first_page", "next_page", "read_query"]

PATH = "/v2/images"

ALL = "all"
IN = "in:"
SETS = {
    "id": "ids",
    "name": "names",
    "status": "statuses",
    "disk_format": "disk_formats",
    "container_format": "container_formats",
}
NUMBERS = {"size", "virtual_size", "min_disk", "min_ram"}
TIMES = {"created_at", "updated_at"}
OPERATORS = {"gt", "gte", "lt", "lte", "eq", "neq"}
PARENTS = {"parent_id", PARENT}
VISIBILITIES = (*(one.value for one in Visibility), ALL)
MEMBER_STATUSES = (*(one.value for one in MemberStatus), ALL)
SORT_DIRECTIONS = {"asc": False, "desc": True}
DEFAULT_SORT_KEY = "created_at"
DEFAULT_DIRECTION = "desc"
BOOLEANS = {"true": True, "false": False}
REPEATED = {"tag", "sort_key", "sort_dir", *TIMES}
MOST_TAGS = 64
MOST_TIMES = 16
MOST_PROPERTIES = 64

NUMBER = re.compile("-?[0-9]{1,19}")
LIMIT = re.compile("[0-9]{1,1000}")
# A value of a list: in quotes, where a backslash takes quote and backslash as they
# are, or up to the next comma.
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
PLAIN = re.compile(r'[^,"]*')
ESCAPE = re.compile(r'\\(["\\])')
URI = re.compile(
    r"(?P<base>.+?)(?:/v[12])?(?:/images)?/(?P<id>[0-9a-f-]{36})(?:/file)?"
)


def read_query(arguments: Arguments, limits: Limits, own: Names) -> Query:
    """
    The query that a list's arguments make; a larger limit than allowed is lowered.

    What is no field is the name of a property.

    :param own: under which names this server's images are known.
    :raises BadValue: that names the argument.
    """
    texts = read_texts(arguments, REPEATED)
    facts: dict[str, Any] = {"hidden": False, "limit": limits.list_default}
    properties: dict[str, str] = {}
    for name, values in texts.items():
        if name in _READERS:
            key, read = _READERS[name]
            facts[key] = read(name, values[0])
        elif name in PARENTS:
            facts["parent_id"] = _parent(name, values[0], own)
        elif name not in _TOGETHER and _bound(name) is None:
            properties[name] = values[0]
    if len(properties) > MOST_PROPERTIES:
        raise BadValue(
            "query", f"must not ask for more than {MOST_PROPERTIES} properties"
        )
    facts["limit"] = min(facts["limit"], limits.list_limit)
    return Query(
        properties=properties,
        numbers=_numbers(texts),
        times=_times(texts),
        tags=_tags(texts),
        sort=_sort(texts),
        **facts,
    )


def first_page(arguments: Arguments) -> str:
    """The address of the first page, relative to the server."""
    return _page(arguments, ())


def next_page(arguments: Arguments, marker: str) -> str:
    """The address of the page behind a marker, relative to the server."""
    return _page(arguments, [("marker", marker)])


def _page(arguments: Arguments, more: Sequence[tuple[str, str]]) -> str:
    kept = [
        (name, value)
        for name, values in read_texts(arguments, REPEATED).items()
        for value in values
        if name != "marker"
    ]
    query = urlencode([*kept, *more])
    return f"{PATH}?{query}" if query else PATH


def _text(name: str, value: str) -> str:
    return value


def _one_of(choices: Sequence[str]) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in choices:
            raise BadValue(name, f"must be one of {', '.join(choices)}")
        return value

    return read


def _strict_boolean(name: str, value: str) -> bool:
    if value not in BOOLEANS:
        raise BadValue(name, "must be true or false, in lower case")
    return BOOLEANS[value]


def _boolean(name: str, value: str) -> bool:
    """In any case: the SDK writes them as Python does."""
    if value.lower() not in BOOLEANS:
        raise BadValue(name, "must be true or false")
    return BOOLEANS[value.lower()]


def _limit(name: str, value: str) -> int:
    if not LIMIT.fullmatch(value):
        raise BadValue(name, "must be a whole number, 0 or more")
    return int(value)


def _refused(name: str, value: str) -> str:
    raise BadValue(name, "is not supported; filter by updated_at=gte:TIME")


def _choices(name: str, value: str) -> tuple[str, ...]:
    """One value, or several: ``in:a,"b,c"``."""
    if not value.startswith(IN):
        return (value,)
    return tuple(dict.fromkeys(_values(name, value.removeprefix(IN))))


def _values(name: str, text: str) -> Iterator[str]:
    at = 0
    while True:
        quoted = QUOTED.match(text, at)
        if quoted:
            yield ESCAPE.sub(r"\1", quoted[1])
            at = quoted.end()
        else:
            plain = PLAIN.match(text, at)
            assert plain is not None
            yield plain[0]
            at = plain.end()
        if at == len(text):
            return
        if text[at] != ",":
            raise BadValue(
                name, 'must have a quoted value whole, and between commas: in:a,"b,c"'
            )
        at += 1


def _parent(name: str, value: str, own: Names) -> str | tuple[str, str]:
    """Of an image of this server its id, of one elsewhere with where that is."""
    image_id = value if is_image_id(value) else own.image_id(value)
    if image_id is not None:
        return image_id
    match = URI.fullmatch(value)
    try:
        if match is not None and is_image_id(match["id"]):
            return parse_base(match["base"]).url, match["id"]
    except BadValue:
        pass
    raise BadValue(name, "must be the id of an image of this server, or an image's URI")


def _bound(name: str) -> tuple[str, str] | None:
    """Which number an argument bounds, and how: ``min``, ``max`` or both."""
    field, _, end = name.rpartition("_")
    if end in ("min", "max") and field in NUMBERS:
        return field, end
    return (name, "both") if name in NUMBERS else None


def _numbers(texts: Texts) -> dict[str, tuple[int | None, int | None]]:
    found: dict[str, tuple[int | None, int | None]] = {}
    for name, values in texts.items():
        bound = _bound(name)
        if bound is None:
            continue
        if not NUMBER.fullmatch(values[0]):
            raise BadValue(name, "must be a whole number")
        field, end = bound
        number = int(values[0])
        least, most = found.get(field, (None, None))
        if end != "max":
            least = number if least is None else max(least, number)
        if end != "min":
            most = number if most is None else min(most, number)
        found[field] = least, most
    return found


def _times(texts: Texts) -> tuple[TimeFilter, ...]:
    for name in TIMES:
        if len(texts.get(name, ())) > MOST_TIMES:
            raise BadValue(name, f"must not be given more than {MOST_TIMES} times")
    return tuple(
        _time(name, value) for name in sorted(TIMES) for value in texts.get(name, ())
    )


def _time(name: str, value: str) -> TimeFilter:
    """``gt:2026-11-23T10:00:00Z``; without an operator it is ``eq``."""
    operator, _, rest = value.partition(":")
    if operator not in OPERATORS:
        operator, rest = "eq", value
    try:
        when = datetime.fromisoformat(rest)
        when = when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
        when + timedelta(seconds=1)  # the catalogue looks at whole seconds
    except (ValueError, OverflowError):
        raise BadValue(
            name,
            "must be a time like 2026-11-23T10:00:00Z, behind one of gt:, gte:, lt:, "
            "lte:, eq:, neq:",
        ) from None
    return TimeFilter(name, operator, when)


def _tags(texts: Texts) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(texts.get("tag", ())))
    if len(tags) > MOST_TAGS:
        raise BadValue("tag", f"must not be given more than {MOST_TAGS} times")
    return tags


def _sort(texts: Texts) -> tuple[tuple[str, bool], ...]:
    """Both forms: ``sort=name:asc,size``, or ``sort_key`` and ``sort_dir``."""
    if not texts.keys() & {"sort", "sort_key", "sort_dir"}:
        return ()
    if "sort" in texts:
        if "sort_key" in texts or "sort_dir" in texts:
            raise BadValue("sort", "cannot stand beside sort_key and sort_dir")
        pairs = [part.partition(":")[::2] for part in texts["sort"][0].split(",")]
        fields = [("sort", key, way) for key, way in pairs]
    else:
        keys = list(texts.get("sort_key", (DEFAULT_SORT_KEY,)))
        ways = list(texts.get("sort_dir", (DEFAULT_DIRECTION,)))
        if len(ways) not in (1, len(keys)):
            raise BadValue("sort_dir", "must be given once, or once for each sort_key")
        ways = ways if len(ways) == len(keys) else ways * len(keys)
        fields = [("sort_key", key, way) for key, way in zip(keys, ways, strict=True)]
    return _order(fields)


def _order(fields: Sequence[tuple[str, str, str]]) -> tuple[tuple[str, bool], ...]:
    order: dict[str, bool] = {}
    for name, key, way in fields:
        direction = way.strip() or DEFAULT_DIRECTION
        if key.strip() not in SORT_KEYS:
            raise BadValue(name, f"must be one of {', '.join(SORT_KEYS)}")
        if direction not in SORT_DIRECTIONS:
            where = "sort_dir" if name == "sort_key" else name
            raise BadValue(where, "must be asc or desc")
        order.setdefault(key.strip(), SORT_DIRECTIONS[direction])
    return tuple(order.items())


_READERS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    **{name: (key, _choices) for name, key in SETS.items()},
    "limit": ("limit", _limit),
    "marker": ("marker", _text),
    "visibility": ("visibility", _one_of(VISIBILITIES)),
    "member_status": ("member_status", _one_of(MEMBER_STATUSES)),
    "owner": ("owner", _text),
    "os_hidden": ("hidden", _boolean),
    "protected": ("protected", _strict_boolean),
    "checksum": ("checksum", _text),
    "os_hash_algo": ("os_hash_algo", _text),
    "os_hash_value": ("os_hash_value", _text),
    "changes-since": ("changes_since", _refused),
}
_TOGETHER = {"tag", "sort", "sort_key", "sort_dir", *TIMES}
