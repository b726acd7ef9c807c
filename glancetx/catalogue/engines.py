# Copyright glancetx contributors. See LICENSE for details.

"""
Connections to the catalogue's database, and what its errors mean.

All that is particular to SQLite stands here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
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

__all__ = ["BUSY_SECONDS", "as_fact", "find_damage", "make_engine", "sqlite_file"]

#: How long a call waits while another process writes.
BUSY_SECONDS = 10.0


#: What a connection keeps of the file, at most, in KiB: a page of a list lies about.
_CACHE = "PRAGMA cache_size=-8192"


class _Compiler(SQLiteCompiler):
    """Writes hints out, such as ``INDEXED BY``; SQLAlchemy drops them for SQLite."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def sqlite_file(url: str) -> str:
    """
    The path of the file that a ``sqlite:///PATH`` URL names.

    :raises ConfigError: if the URL is anything else. A database in memory would be
        another one for each thread.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("catalogue", "url", "is not a database URL") from None
    if parsed.get_backend_name() != "sqlite":
        problem = f"{parsed.get_backend_name()} is not supported, only sqlite:///FILE"
        raise ConfigError("catalogue", "url", problem)
    path = parsed.database
    if not path or path == ":memory:" or path.startswith("file:") or parsed.query:
        problem = "must name a file, as in sqlite:///catalogue.sqlite"
        raise ConfigError("catalogue", "url", problem)
    return path


def make_engine(
    url: str,
    *,
    writes: bool,
    connections: int = 1,
    busy_seconds: float = BUSY_SECONDS,
) -> Engine:
    """
    Connections that all keep the catalogue's rules; each may change threads.

    :param writes: whether transactions take the write lock when they begin, so that
        none fails half-way because another wrote first; else writing is refused.
    :param connections: how many at once, at most.
    :raises ConfigError: if the URL cannot be used.
    """
    sqlite_file(url)
    engine = create_engine(
        url,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        hide_parameters=True,
        max_overflow=0,
        pool_size=connections,
        pool_timeout=busy_seconds,
    )
    engine.dialect.statement_compiler = _Compiler
    _keep_sqlite_rules(engine, writes)
    return engine


def _keep_sqlite_rules(engine: Engine, writes: bool) -> None:
    """
    Set each new connection up, and begin transactions as they are meant.

    The driver's own idea of when to begin is switched off ("Serializable isolation
    / Savepoints / Transactional DDL" in SQLAlchemy's page on pysqlite).
    """
    rules = ["PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON", _CACHE]
    rules.append("PRAGMA journal_mode=WAL" if writes else "PRAGMA query_only=ON")

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.isolation_level = None
        for rule in rules:
            connection.execute(rule).close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def find_damage(connection: Connection) -> str | None:
    """What is wrong with the database itself, or ``None``; reads all of it."""
    report = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
    if report != ["ok"]:
        return str(report[0])
    astray = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if astray:
        return f"{len(astray)} rows of {astray[0][0]} refer to rows that are not there"
    return None


def as_fact(error: Exception) -> Exception:
    """
    What an error means to callers: the database's own trouble (locked, full, broken,
    unreachable) is :class:`CatalogueUnavailable`; everything else is itself.
    """
    trouble = (OperationalError, InterfaceError, InternalError, TimeoutError)
    if isinstance(error, trouble) or type(error) is DatabaseError:
        reason = error.orig if isinstance(error, DBAPIError) else error
        return CatalogueUnavailable(str(reason))
    return error
