# Copyright glancetx contributors. See LICENSE for details.

"""
Brings the catalogue's database to the shape that this version of the code needs.

These functions block; they belong into a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import SchemaItem

from glancetx.errors import CatalogueUnavailable

from .engines import BUSY_SECONDS, as_fact, exists, find_damage, make_engine, turn
from .schema import metadata

__all__ = [
    "CHECK_SECONDS",
    "check",
    "connected",
    "current",
    "differences",
    "newest",
    "ready",
    "revision_of",
    "upgrade",
]

#: How long each step of reading a whole database may take.
CHECK_SECONDS = 3600.0
#: Alembic keeps what it works on in module variables.
_one_at_a_time = threading.Lock()


def upgrade(url: str, busy_seconds: float = BUSY_SECONDS) -> str:
    """
    Make or upgrade the database; nothing is done to one that is up to date.

    Processes that start together do this one after the other, and a migration that
    fails changes nothing. The folder of the file is made if it is missing, for this
    user alone.

    :returns: the revision that the database now has.
    :raises CatalogueUnavailable: if the database is newer than the code, or in trouble.
    :raises ConfigError: if the URL cannot be used.
    """
    with ready(url, busy_seconds):
        return newest()


def current(url: str) -> str | None:
    """
    The revision that the database has, or ``None`` if there is no database yet.

    :raises CatalogueUnavailable: if it is newer than the code, or in trouble.
    :raises ConfigError: if the URL cannot be used.
    """
    if not exists(url):
        return None
    with connected(url, False) as connection:
        return revision_of(connection)


def check(url: str) -> None:
    """
    See that the database is sound and has the tables that this code needs.

    :raises CatalogueUnavailable: if not; it says what is wrong and what to do.
    :raises ConfigError: if the URL cannot be used.
    """
    revision = current(url)
    if revision != newest():
        problem = f"is at revision {revision}" if revision else "does not exist yet"
        raise CatalogueUnavailable(
            f"the database {problem}, this version needs {newest()}; "
            "run `glancetx db upgrade` or start the server"
        )
    with connected(url, False, CHECK_SECONDS) as connection:
        if damage := find_damage(connection):
            raise CatalogueUnavailable(f"the database is damaged: {damage}")
        if differences(connection):
            raise CatalogueUnavailable(
                "the tables of the database were changed by another program"
            )


def differences(connection: Connection) -> list[Any]:
    """What of the tables is other than this code needs, as Alembic tells it."""
    options = {"include_object": _may_differ}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def _may_differ(
    thing: SchemaItem,
    name: str | None,
    kind: str,
    reflected: bool,
    other: SchemaItem | None,
) -> bool:
    """
    Indexes are compared by the names of their columns. Alembic would also compare their
    order, but understands only what it has read of that.
    """
    if isinstance(thing, Index) and isinstance(other, Index):
        return [*thing.columns.keys()] != [*other.columns.keys()]
    return True


@contextmanager
def ready(url: str, busy_seconds: float = BUSY_SECONDS) -> Iterator[Connection]:
    """
    A connection to a database that was upgraded in the same transaction, which is
    committed if all goes well; others who would upgrade it wait.

    :raises CatalogueUnavailable: if it is newer than the code, or in trouble.
    :raises ConfigError: if the URL cannot be used.
    """
    with _facts(), _one_at_a_time, turn(url):
        with connected(url, True, busy_seconds, alone=True) as connection:
            if revision_of(connection) != newest():
                _migrate(connection)
            yield connection


@contextmanager
def _facts() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        fact = as_fact(error)
        if fact is error:
            raise
        if isinstance(fact, CatalogueUnavailable) and fact.detail:
            fact = CatalogueUnavailable(f"{fact.reason}: {fact.detail}")
        raise fact from error
    except OSError as error:
        raise CatalogueUnavailable(str(error)) from error


@contextmanager
def connected(
    url: str, writes: bool, busy_seconds: float = BUSY_SECONDS, alone: bool = False
) -> Iterator[Connection]:
    """
    A connection in one transaction, which is committed if all goes well.

    :raises CatalogueUnavailable: if the database is in trouble.
    :raises ConfigError: if the URL cannot be used.
    """
    engine = make_engine(url, writes=writes, alone=alone, busy_seconds=busy_seconds)
    try:
        with _facts(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _config() -> Config:
    folder = str(Path(__file__).with_name("migrations"))
    config = Config()
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


def newest() -> str:
    """The revision that this version of the code needs."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def revision_of(connection: Connection) -> str | None:
    """
    The revision of a database, ``None`` if it has no tables yet.

    :raises CatalogueUnavailable: if another version of the code made it.
    """
    revisions = MigrationContext.configure(connection).get_current_heads()
    if len(revisions) > 1:
        raise CatalogueUnavailable(
            f"the database is at several revisions: {', '.join(sorted(revisions))}; "
            "another program changed it"
        )
    revision = next(iter(revisions), None)
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise CatalogueUnavailable(
            f"the database is at revision {revision}, which a newer glancetx made; "
            f"this version knows only {', '.join(sorted(known))}: install the newer one"
        )
    return revision


def _migrate(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
