# Copyright glancetx contributors. See LICENSE for details.

"""
What columns are made of: the same values, in the same order, on every database.

Texts are compared by their bytes. SQLite does nothing else; PostgreSQL is told so, lest
a list is in the order of whatever language somebody made the database for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["EMPTY_FIRST", "Moment", "short", "words"]

_BY_BYTES = "C"

#: Options of an index of columns, for those that may have no value: it comes first, as
#: on SQLite. An index that has it last cannot be read in the order of our lists.
EMPTY_FIRST: dict[str, Any] = {
    "postgresql_ops": dict.fromkeys(
        ("name", "container_format", "disk_format", "size"), "NULLS FIRST"
    )
}


def short(length: int) -> TypeEngine[str]:
    """A text of at most so many characters."""
    bytewise = String(length, collation=_BY_BYTES)
    return String(length).with_variant(bytewise, "postgresql")


def words() -> TypeEngine[str]:
    """A text of any length."""
    return Text().with_variant(Text(collation=_BY_BYTES), "postgresql")


class Moment(TypeDecorator[datetime]):
    """An aware time, kept in UTC to the microsecond, also where SQL has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value.astimezone(UTC)
