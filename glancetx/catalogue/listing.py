# Copyright glancetx contributors. See LICENSE for details.

"""
Pages of the list of images.

Images that come or go between two pages neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
)

from glancetx.errors import BadValue
from glancetx.image import LARGEST, Image

from .engines import merges
from .images import load
from .pages import Key, behind, keys_of
from .query import Query
from .schema import images, pins, properties, tags
from .views import BY_ID, View, is_seen, views_of

__all__ = ["list_images", "page_of"]

Condition = ColumnElement[bool]

#: The fields of a query with the columns that must have one of their values.
ANY_OF = {
    "names": images.c.name,
    "statuses": images.c.status,
    "disk_formats": images.c.disk_format,
    "container_formats": images.c.container_format,
    "ids": images.c.id,
}
#: The fields of a query with the columns that must have their value.
EQUAL = {
    "protected": images.c.protected,
    "checksum": images.c.checksum,
    "os_hash_algo": images.c.digest_algorithm,
    "os_hash_value": images.c.digest_value,
}
#: How many values may be asked for at once of one field.
MOST_VALUES = 500
#: How many images are loaded at once: a page of 100 and the one behind it.
BATCH = 101


def list_images(connection: Connection, query: Query) -> list[Image]:
    """
    The images that a query asks for, in its order.

    :raises BadValue: if the marker is no image that who asks can see.
    """
    keys = keys_of(query)
    found: list[str] = []
    for begin in _beginnings(connection, query, keys):
        room = query.limit - len(found)
        if room <= 0:
            break
        each = None if merges(connection) else room
        page = page_of(query, keys, begin, each)
        if page is not None:
            found += connection.execute(page.limit(room)).scalars()
    return _loaded(connection, found, query.weight)


def _loaded(
    connection: Connection, found: Sequence[str], most: int | None
) -> list[Image]:
    """
    The images with these ids, up to the one with which they weigh too much.

    :param most: see :attr:`Query.weight`.
    """
    loaded: list[Image] = []
    weight = 0
    for start in range(0, len(found), BATCH):
        for image in load(connection, found[start : start + BATCH]):
            loaded.append(image)
            weight += image.weight
            if most is not None and weight > most and len(loaded) > 1:
                return loaded
    return loaded


def page_of(
    query: Query, keys: Sequence[Key], begin: Condition, each: int | None = None
) -> CompoundSelect[Any] | None:
    """
    The statement that finds the ids of what a query asks for, or ``None`` if it asks
    for nothing.

    It is a merge of views, each read in the order of the list.

    :param begin: what comes behind the marker.
    :param each: how many are taken of each view, for a database that would read all of
        them to merge them.
    """
    conditions = [*_conditions(query), begin]
    views = views_of(query, _lead(query, keys))
    if not views:
        return None
    order = [key.order for key in keys]
    parts = [_part(view, keys, conditions) for view in views]
    if each is not None:
        cut = [part.order_by(*order).limit(each).subquery() for part in parts]
        parts = [select(*part.c) for part in cut]
    return union_all(*parts).order_by(*order)


def _part(
    view: View, keys: Sequence[Key], conditions: Sequence[Condition]
) -> Select[Any]:
    columns = [images.c[key.name] for key in reversed(keys)]
    hint = f"INDEXED BY {view.index}"
    part = select(*columns).with_hint(images, hint, "sqlite")
    return part.where(view.condition, *conditions)


def _lead(query: Query, keys: Sequence[Key]) -> str:
    """The column whose index leads to what is asked for with the least detours."""
    if query.names is not None:
        return "name"
    if keys[0].name == "created_at":
        for field in ("statuses", "container_formats", "disk_formats"):
            values = getattr(query, field)
            if values is not None and len(values) == 1:
                return ANY_OF[field].name
    return keys[0].name


def _beginnings(
    connection: Connection, query: Query, keys: Sequence[Key]
) -> Iterator[Condition]:
    """What comes behind the marker: one condition after the other."""
    if query.marker is None:
        return iter([true()])
    statement = (
        select(*(images.c[key.name] for key in keys))
        .with_hint(images, f"INDEXED BY {BY_ID}", "sqlite")
        .where(images.c.id == query.marker, is_seen(query))
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise BadValue("marker", f"no image {query.marker}")
    return behind(keys, row)


def _conditions(query: Query) -> Iterator[Condition]:
    for field, column in ANY_OF.items():
        if (values := getattr(query, field)) is not None:
            _require_few(column.name, values)
            yield column == values[0] if len(values) == 1 else column.in_(values)
    for field, column in EQUAL.items():
        if (value := getattr(query, field)) is not None:
            yield column == value
    for name, bounds in query.numbers.items():
        yield from _between(images.c[name], *bounds)
    for moment in query.times:
        yield _at(images.c[moment.field], moment.op, moment.when)
    if query.tags:
        yield _has_tags(set(query.tags))
    if query.properties:
        yield _has_properties(query.properties)
    if query.parent_id is not None:
        yield _is_child(query.parent_id)


def _between(
    column: Column[int], least: int | None, greatest: int | None
) -> Iterator[Condition]:
    if least is not None:
        yield column >= _bounded(least)
    if greatest is not None:
        yield column <= _bounded(greatest)


def _at(column: Column[datetime], op: str, when: datetime) -> Condition:
    """Times are compared as they are shown: 10:00:07.9 is equal to 10:00:07."""
    begin = when.replace(microsecond=0)
    end = begin + timedelta(seconds=1)
    within = and_(column >= begin, column < end)
    conditions: dict[str, Condition] = {
        "gt": column >= end,
        "gte": column >= begin,
        "lt": column < begin,
        "lte": column < end,
        "eq": within,
        "neq": not_(within),
    }
    return conditions[op]


def _has_tags(asked: set[str]) -> Condition:
    _require_few("tag", asked)
    found = select(func.count()).where(
        tags.c.image_id == images.c.id, tags.c.tag.in_(asked)
    )
    return found.scalar_subquery() == len(asked)


def _has_properties(asked: Mapping[str, str]) -> Condition:
    """Counted, not looked up one by one: no planner can join a hundred tables."""
    each = [
        and_(properties.c.name == name, properties.c.value == value)
        for name, value in asked.items()
    ]
    found = select(func.count()).where(properties.c.image_id == images.c.id, or_(*each))
    return found.scalar_subquery() == len(asked)


def _is_child(parent: str | tuple[str, str]) -> Condition:
    origin, image_id = (None, parent) if isinstance(parent, str) else parent
    children = select(pins.c.image_id).where(
        pins.c.parent_id == image_id, pins.c.origin == origin, pins.c.depth == 1
    )
    return images.c.id.in_(children)


def _require_few(name: str, values: Collection[str]) -> None:
    """SQLite takes some 32,000 values, and each is told to each view."""
    if len(values) > MOST_VALUES:
        raise BadValue(name, f"must not be asked for with over {MOST_VALUES} values")


def _bounded(number: int) -> int:
    """The nearest number that the database can compare with."""
    return min(max(number, -LARGEST), LARGEST)
