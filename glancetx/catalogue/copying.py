# Copyright glancetx contributors. See LICENSE for details.

"""
Copies a catalogue into another database; blocks, so it belongs into a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, select

from glancetx.errors import BadValue, CatalogueUnavailable

from . import processes
from .db import CHECK_SECONDS, connected, newest, ready, revision_of
from .engines import exists, is_same, settle, turn
from .processes import Process
from .schema import metadata, server

__all__ = ["BATCH", "copy"]

#: How many rows are under way at once.
BATCH = 500

#: Is told how many rows came, and of how many.
Progress = Callable[[int, int], None]


def copy(
    source: str,
    target: str,
    progress: Progress = lambda came, total: None,
    check: Callable[[Sequence[Process]], None] = lambda processes: None,
) -> dict[str, int]:
    """
    Copy all rows, as they are at one moment: all of them or none.

    No server that uses the source starts meanwhile, if it is a file.

    :param check: raises if the processes that are known at the source are in the way.
    :returns: how many rows each table has.
    :raises CatalogueUnavailable: if the source is no catalogue of this version, the
        target is not empty or the source itself, or either is in trouble.
    :raises BadValue: if a text cannot be kept at the target.
    :raises ConfigError: if a URL cannot be used.
    """
    if not exists(source):
        raise CatalogueUnavailable("there is nothing to be copied")
    if is_same(source, target):
        raise CatalogueUnavailable("it cannot be copied to where it is")
    with turn(source), connected(source, False, CHECK_SECONDS) as there:
        _require_current(there)
        check(processes.everyone(there))
        with ready(target) as here:
            _require_empty(here)
            here.execute(delete(server))
            counts = {table.name: _count(there, table) for table in _tables()}
            _copy_tables(there, here, progress, sum(counts.values()))
            for table in _tables():
                if _count(here, table) != counts[table.name]:
                    raise CatalogueUnavailable(f"rows of {table.name} got lost")
            settle(here)
    return counts


def _tables() -> Sequence[Table]:
    """Each behind those that it refers to."""
    return metadata.sorted_tables


def _require_current(connection: Connection) -> None:
    revision = revision_of(connection)
    if revision != newest():
        raise CatalogueUnavailable(
            f"what is to be copied is at revision {revision}, this version needs "
            f"{newest()}; upgrade it first"
        )


def _require_empty(connection: Connection) -> None:
    for table in _tables():
        if table is not server and _count(connection, table):
            raise CatalogueUnavailable(
                f"where it is to be copied to is not empty: there are {table.name}"
            )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _copy_tables(
    there: Connection, here: Connection, progress: Progress, total: int
) -> None:
    came = 0
    progress(came, total)
    for table in _tables():
        for rows in _batches(there, table):
            here.execute(insert(table), [_fitting(table, row) for row in rows])
            came += len(rows)
            progress(came, total)


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    rows = connection.execution_options(stream_results=True).execute(select(table))
    return rows.partitions(BATCH)


def _fitting(table: Table, row: Row[Any]) -> dict[str, Any]:
    """:raises BadValue: if a text has a character that PostgreSQL cannot keep."""
    values = dict(row._mapping)
    for name, value in values.items():
        if isinstance(value, str) and "\0" in value:
            key = ", ".join(str(values[column.name]) for column in table.primary_key)
            problem = f"has the character NUL in the row {key!a}; change it first"
            raise BadValue(f"{table.name}.{name}", problem)
    return values
