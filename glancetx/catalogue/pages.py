# Copyright glancetx contributors. See LICENSE for details.

"""
The order of a list, and where one of its pages begins, in SQL.

A page begins behind its marker by the values that the list is sorted by. An index that
has them in this order leads straight there, so the cost of a page does not grow with
its distance from the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Row, UnaryExpression, and_, column, tuple_

from .query import Query
from .schema import images

__all__ = ["Key", "behind", "keys_of"]

Condition = ColumnElement[bool]

#: Those of the keys that an image may have no value of.
NULLABLE = frozenset({"name", "container_format", "disk_format", "size"})


@frozen
class Key:
    """One of the columns that a list is sorted by."""

    name: str
    descending: bool

    @property
    def may_be_null(self) -> bool:
        return self.name in NULLABLE

    @property
    def order(self) -> UnaryExpression[Any]:
        """
        The order of this key; what has no value comes before what has one.

        Where there always is a value nothing is said of that, since PostgreSQL reads an
        index only in the order that it was made for.
        """
        by: ColumnElement[Any] = column(self.name)
        ordered = by.desc() if self.descending else by.asc()
        if not self.may_be_null:
            return ordered
        return ordered.nulls_last() if self.descending else ordered.nulls_first()

    def at(self, row: Row[Any]) -> Condition:
        """What has the same value as a row; said so that indexes lead there."""
        here, there = images.c[self.name], getattr(row, self.name)
        return here.is_(None) if there is None else here == there

    def beyond(self, row: Row[Any]) -> Iterator[Condition]:
        """What comes behind the value of a row: one after the other."""
        here, there = images.c[self.name], getattr(row, self.name)
        if not self.descending:
            yield here.is_not(None) if there is None else here > there
        elif there is not None:
            yield here < there
            if self.may_be_null:
                yield here.is_(None)


def keys_of(query: Query) -> tuple[Key, ...]:
    """All that decides the order of a query's list; the last key is the id."""
    asked = query.sort or (("created_at", True),)
    descending = asked[0][1]
    keys: dict[str, Key] = {}
    for name, down in (*asked, ("created_at", descending), ("id", descending)):
        keys.setdefault(name, Key(name, down))
        if name == "id":
            break
    return tuple(keys.values())


def behind(keys: Sequence[Key], row: Row[Any]) -> Iterator[Condition]:
    """
    What comes behind a row: first what differs only in the last keys, and so on.

    What one condition finds comes before all that those after it find, and for each of
    them an index of the keys leads to its first row.
    """
    last = _last_alike(keys)
    alike = and_(*(key.at(row) for key in keys[:last]))
    columns = [images.c[key.name] for key in keys[last:]]
    values = [getattr(row, key.name) for key in keys[last:]]
    here, there = tuple_(*columns), tuple_(*values)
    yield and_(alike, here < there if keys[-1].descending else here > there)
    for index in range(last - 1, -1, -1):
        alike = and_(*(key.at(row) for key in keys[:index]))
        for condition in keys[index].beyond(row):
            yield and_(alike, condition)


def _last_alike(keys: Sequence[Key]) -> int:
    """Where those last keys begin that can be compared as one, with the id's."""
    index = len(keys) - 1
    while (
        index
        and not keys[index - 1].may_be_null
        and (keys[index - 1].descending == keys[-1].descending)
    ):
        index -= 1
    return index
