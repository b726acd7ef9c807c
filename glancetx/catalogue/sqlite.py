# Copyright glancetx contributors. See LICENSE for details.

"""
All that is particular to SQLite: a file, which the processes of one machine share.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from glancetx.errors import ConfigError

__all__ = [
    "exists",
    "file_of",
    "find_damage",
    "make_engine",
    "merges",
    "settle",
    "turn",
]

#: What a connection keeps of the file, at most, in KiB: a page of a list lies about.
_CACHE = "PRAGMA cache_size=-8192"


class _Compiler(SQLiteCompiler):
    """Writes hints out, such as ``INDEXED BY``; SQLAlchemy drops them for SQLite."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def file_of(url: URL) -> str:
    """
    The path of the file that a URL names.

    :raises ConfigError: if it names none. A database in memory would be another one
        for each thread.
    """
    path = url.database
    if not path or path == ":memory:" or path.startswith("file:") or url.query:
        problem = "must name a file, as in sqlite:///catalogue.sqlite"
        raise ConfigError("catalogue", "url", problem)
    return path


def merges() -> bool:
    """A list that is made of sorted parts is merged, not sorted."""
    return True


def exists(url: URL) -> bool:
    """Whether there is a file."""
    return os.path.exists(file_of(url))


@contextmanager
def turn(url: URL) -> Iterator[None]:
    """
    Wait until no other process makes or changes tables, and keep them from it.

    The folder of the file is made if it is missing, for this user alone.
    """
    file = file_of(url)
    os.makedirs(os.path.dirname(file) or ".", mode=0o700, exist_ok=True)
    with _locked(f"{file}.lock"):
        yield


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold a lock file, after whoever holds it now; the kernel frees it at a crash."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_engine(
    url: URL, *, writes: bool, alone: bool, connections: int, busy_seconds: float
) -> Engine:
    """
    Connections that all keep these rules; each may change threads.

    A transaction that writes takes the write lock when it begins, so that none fails
    half-way because another wrote first; else writing is refused.
    """
    file_of(url)
    engine = create_engine(
        url,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        hide_parameters=True,
        max_overflow=0,
        pool_size=connections,
        pool_timeout=busy_seconds,
    )
    engine.dialect.statement_compiler = _Compiler
    _keep_rules(engine, writes)
    return engine


def _keep_rules(engine: Engine, writes: bool) -> None:
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


def settle(connection: Connection) -> None:
    """Its plans need no statistics: lists name their indexes."""


def find_damage(connection: Connection) -> str | None:
    """What is wrong with the database itself, or ``None``; reads all of it."""
    report = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
    if report != ["ok"]:
        return str(report[0])
    astray = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if astray:
        return f"{len(astray)} rows of {astray[0][0]} refer to rows that are not there"
    return None
