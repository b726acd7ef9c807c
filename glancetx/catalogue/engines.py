# Copyright glancetx contributors. See LICENSE for details.

"""
Connections to the catalogue's database, of whichever kind, and what its errors mean.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError,
)

from glancetx.errors import CatalogueUnavailable, ConfigError

from . import postgresql, sqlite

__all__ = [
    "BUSY_SECONDS",
    "as_fact",
    "exists",
    "find_damage",
    "is_same",
    "make_engine",
    "merges",
    "settle",
    "shown",
    "sqlite_file",
    "turn",
]

#: How long a call waits while another process writes.
BUSY_SECONDS = 10.0


class Kind(Protocol):
    """What there is of each kind of database, in a module of its own."""

    def merges(self) -> bool: ...

    def exists(self, url: URL) -> bool: ...

    def turn(self, url: URL) -> AbstractContextManager[None]: ...

    def make_engine(
        self,
        url: URL,
        *,
        writes: bool,
        alone: bool,
        connections: int,
        busy_seconds: float,
    ) -> Engine: ...

    def find_damage(self, connection: Connection) -> str | None: ...

    def settle(self, connection: Connection) -> None: ...


_KINDS: dict[str, Kind] = {"sqlite": sqlite, "postgresql": postgresql}
_DRIVERS = ("sqlite", "postgresql", "postgresql+psycopg")


def _parsed(url: str) -> tuple[URL, Kind]:
    """
    :raises ConfigError: if it is no URL of a database that we know; without a word of
        it, since it may have a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("catalogue", "url", "is not a database URL") from None
    if parsed.drivername not in _DRIVERS:
        problem = (
            f"{parsed.drivername} is not supported, only sqlite:///FILE and "
            "postgresql://USER@HOST/DATABASE"
        )
        raise ConfigError("catalogue", "url", problem)
    if "password" in parsed.query:
        problem = "has a password among its options; write it as USER:PASSWORD@HOST"
        raise ConfigError("catalogue", "url", problem)
    if "@" in (parsed.host or ""):
        problem = "has an @ in its user or password; write it as %40"
        raise ConfigError("catalogue", "url", problem)
    return parsed, _KINDS[parsed.get_backend_name()]


def shown(url: str) -> str:
    """
    A URL as it may be shown: without a password, and without options.

    :raises ConfigError: if it cannot be used.
    """
    parsed, _ = _parsed(url)
    return parsed.set(query={}).render_as_string(hide_password=True)


def sqlite_file(url: str) -> str:
    """
    The path of the file that a ``sqlite:///PATH`` URL names.

    :raises ConfigError: if the URL is anything else.
    """
    parsed, kind = _parsed(url)
    if kind is not sqlite:
        raise ConfigError("catalogue", "url", "must name a file of SQLite")
    return sqlite.file_of(parsed)


def exists(url: str) -> bool:
    """
    Whether there is a database, with tables or without.

    :raises ConfigError: if the URL cannot be used.
    """
    parsed, kind = _parsed(url)
    return kind.exists(parsed)


def is_same(one: str, other: str) -> bool:
    """
    Whether two URLs certainly lead to the same database.

    :raises ConfigError: if one of them cannot be used.
    """
    ours, kind = _parsed(one)
    theirs, their_kind = _parsed(other)
    if kind is sqlite and their_kind is sqlite:
        files = (sqlite.file_of(ours), sqlite.file_of(theirs))
        return len(set(map(os.path.realpath, files))) == 1
    return ours == theirs


def turn(url: str) -> AbstractContextManager[None]:
    """
    What is to be held by who makes or changes tables, besides an engine for one
    who is ``alone``.

    :raises ConfigError: if the URL cannot be used.
    """
    parsed, kind = _parsed(url)
    return kind.turn(parsed)


def make_engine(
    url: str,
    *,
    writes: bool,
    alone: bool = False,
    connections: int = 1,
    busy_seconds: float = BUSY_SECONDS,
) -> Engine:
    """
    Connections that all keep the catalogue's rules; each may change threads.

    :param writes: whether transactions may write; each is as if it were alone then.
    :param alone: for who makes or changes tables.
    :param connections: how many at once, at most.
    :param busy_seconds: how long is waited for others who write.
    :raises ConfigError: if the URL cannot be used.
    """
    parsed, kind = _parsed(url)
    return kind.make_engine(
        parsed,
        writes=writes,
        alone=alone,
        connections=connections,
        busy_seconds=busy_seconds,
    )


def find_damage(connection: Connection) -> str | None:
    """What is wrong with the database itself, or ``None``; reads all of it."""
    return _KINDS[connection.dialect.name].find_damage(connection)


def merges(connection: Connection) -> bool:
    """Whether it merges the parts of a ``UNION ALL`` that come sorted."""
    return _KINDS[connection.dialect.name].merges()


def settle(connection: Connection) -> None:
    """After many rows came: let the database see what it has."""
    _KINDS[connection.dialect.name].settle(connection)


def as_fact(error: Exception) -> Exception:
    """
    What an error means to callers: the database's own trouble (locked, full, broken,
    unreachable) is :class:`CatalogueUnavailable`; everything else is itself.
    """
    if isinstance(error, DBAPIError) and _is_of_psycopg(error.orig):
        return postgresql.as_fact(error) or error
    trouble = (OperationalError, InterfaceError, InternalError, TimeoutError)
    if isinstance(error, trouble) or type(error) is DatabaseError:
        reason = error.orig if isinstance(error, DBAPIError) else error
        return CatalogueUnavailable(str(reason))
    return error


def _is_of_psycopg(error: object) -> bool:
    return type(error).__module__.partition(".")[0] == "psycopg"
