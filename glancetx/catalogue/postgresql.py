# Copyright glancetx contributors. See LICENSE for details.

"""
All that is particular to PostgreSQL: a server, which others share, and which may be
away.

What SQLite's one writer at a time gives for nothing is had by the isolation level
SERIALIZABLE: whoever would see what no order of the writes explains fails, and his call
is made again (``calls.py``).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    exc,
    func,
    select,
    text,
)
from sqlalchemy import exists as some

from glancetx.errors import BadValue, CatalogueUnavailable, ConfigError, GlancetxError

from .schema import metadata

__all__ = [
    "as_fact",
    "exists",
    "find_damage",
    "hang_up",
    "is_conflict",
    "make_engine",
    "merges",
    "settle",
    "turn",
]

#: The advisory lock under which tables are made: "glancetx".
TABLES_LOCK = 0x676C616E63657478
#: How long opening a connection may take, at most.
CONNECT_SECONDS = 5
#: How much longer than the server itself we wait for an answer.
GRACE_SECONDS = 2.0

#: SQLSTATE of what is to be made again: PostgreSQL's manual, "Serialization Failure
#: Handling".
_CONFLICTS = ("40001", "40P01")
_MISTAKES = (
    exc.DataError,
    exc.IntegrityError,
    exc.ProgrammingError,
)
_NO_RIGHT = "42501"
#: Of schemas, tables, columns or indexes that are not there, or are there already.
_OTHER_TABLES = ("3F000", "42P01", "42703", "42P07", "42701", "42710")
_UNREACHABLE = "PostgreSQL cannot be reached"

#: Of each engine the connections in use, and when each was told something last.
_told: WeakKeyDictionary[Engine, dict[Any, float]] = WeakKeyDictionary()


def merges() -> bool:
    """
    The planner does not see that what is constant in a part does not matter for its
    order: it has "Sort" where a "Merge Append" would do.
    """
    return False


def exists(url: URL) -> bool:
    """There always is one, or it cannot be reached."""
    return True


@contextmanager
def turn(url: URL) -> Iterator[None]:
    """Turns are taken inside of the database: see ``alone`` of :func:`make_engine`."""
    yield


def make_engine(
    url: URL, *, writes: bool, alone: bool, connections: int, busy_seconds: float
) -> Engine:
    """
    Connections that all keep these rules; each may change threads.

    :param alone: wait until nobody else is alone, however long that takes. What was
        written before is seen then, which a snapshot from before would not show.
    """
    level = "READ COMMITTED" if alone else "SERIALIZABLE"
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=_connect_args(url, None if alone else busy_seconds),
            hide_parameters=True,
            isolation_level=level if writes else "REPEATABLE READ",
            max_overflow=0,
            pool_size=connections,
            pool_timeout=busy_seconds,
        )
    except ModuleNotFoundError:
        problem = "needs psycopg: pip install glancetx[postgresql]"
        raise ConfigError("catalogue", "url", problem) from None
    _keep_rules(engine, writes, alone)
    _watch(engine)
    return engine


def _connect_args(url: URL, seconds: float | None) -> dict[str, Any]:
    """
    What libpq and the server are told, unless the URL says otherwise.

    A connection that got lost without a word is noticed by the kernel; an answer that
    takes too long is given up by the server.

    :param seconds: how long a statement, or a wait, may take.
    """
    settings = {"timezone": "UTC"}
    if seconds is not None:
        limit = str(ceil(seconds * 1000))
        for wait in ("statement", "lock", "idle_in_transaction_session"):
            settings[f"{wait}_timeout"] = limit
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "fallback_application_name": "glancetx",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "client_encoding": "utf8",
    }
    for name in url.query:
        arguments.pop(name, None)
    options = [f"-c {name}={value}" for name, value in settings.items()]
    own = url.query.get("options", ())
    options += [own] if isinstance(own, str) else own
    return arguments | {"options": " ".join(options)}


def _keep_rules(engine: Engine, writes: bool, alone: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.read_only = not writes

    if alone:

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.execute(select(func.pg_advisory_xact_lock(TABLES_LOCK)))
            if problem := _wrong_encoding(connection):
                raise CatalogueUnavailable(f"the database cannot be used: {problem}")


def _watch(engine: Engine) -> None:
    """Note when each connection in use was told something."""
    told = _told[engine] = {}

    @event.listens_for(engine, "connect", insert=True)
    def connected(connection: Any, record: object) -> None:
        """Before anybody else: SQLAlchemy asks the first one what it is."""
        told[connection] = monotonic()

    @event.listens_for(engine, "before_cursor_execute")
    def executes(connection: Connection, cursor: Any, *rest: Any) -> None:
        told[cursor.connection] = monotonic()

    @event.listens_for(engine, "commit")
    def commits(connection: Connection) -> None:
        told[connection.connection.dbapi_connection] = monotonic()

    @event.listens_for(engine, "checkin")
    def returned(connection: Any, record: object) -> None:
        told.pop(connection, None)

    @event.listens_for(engine, "close")
    def closed(connection: Any, record: object) -> None:
        told.pop(connection, None)


def hang_up(engine: Engine, seconds: float) -> None:
    """
    Cut the connections whose server has not answered for so long.

    A server that stands still cannot give anything up by itself. Whoever waits for it
    in another thread finds the connection lost.
    """
    now, told = monotonic(), _told.get(engine, {})
    for connection, since in list(told.items()):
        if now - since > seconds:
            told.pop(connection, None)  # nobody else does, if it was just being opened
            with suppress(Exception):  # it may be closed by now
                _shut(connection.pgconn.socket)


def _shut(descriptor: int) -> None:
    """Of a copy, so that the connection closes its own."""
    with socket.socket(fileno=os.dup(descriptor)) as ours:
        ours.shutdown(socket.SHUT_RDWR)


def settle(connection: Connection) -> None:
    """Count what there is, without which plans are guesses."""
    connection.execute(text("ANALYZE"))


def find_damage(connection: Connection) -> str | None:
    """What is wrong with the database itself, or ``None``; reads all of it."""
    if problem := _wrong_encoding(connection):
        return problem
    for table in metadata.sorted_tables:
        row = text(f"SELECT sum(length(t::text)) FROM {table.name} AS t")
        connection.execute(row).scalar()
        if astray := _astray(connection, table):
            return f"{astray} rows of {table.name} refer to rows that are not there"
    broken = text(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    )
    for name in connection.execute(broken).scalars():
        return f"the index {name} is not valid; REINDEX it"
    return None


def _wrong_encoding(connection: Connection) -> str | None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding == "UTF8":
        return None
    return f"its encoding is {encoding}; make it with ENCODING 'UTF8'"


def _astray(connection: Connection, table: Table) -> int:
    for constraint in table.foreign_key_constraints:
        [key] = constraint.elements
        target = key.column.table.alias()
        lost = (
            select(func.count())
            .select_from(table)
            .where(key.parent.is_not(None))
            .where(~some().where(target.c[key.column.name] == key.parent))
        )
        if found := connection.execute(lost).scalar_one():
            return int(found)
    return 0


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was undone because of another, and may succeed now."""
    return isinstance(error, exc.DBAPIError) and _state(error.orig) in _CONFLICTS


def as_fact(error: exc.DBAPIError) -> GlancetxError | None:
    """
    What an error means to callers, or ``None`` if it is just an error.

    They are told nothing of where the server is, or whom it knows us as: that is for
    the log.
    """
    detail = " ".join(str(error.orig).split())
    if isinstance(error, _MISTAKES):
        return _mistake(error, detail)
    if is_conflict(error):
        return CatalogueUnavailable("too many others write at the same time")
    said = _said(error)
    if said is None or error.connection_invalidated:
        return CatalogueUnavailable(_UNREACHABLE, detail)
    return CatalogueUnavailable(f"PostgreSQL: {said}")


def _mistake(error: exc.DBAPIError, detail: str) -> GlancetxError | None:
    """What is wrong with what was said, if that is not for the program to mend."""
    state = _state(error.orig)
    if "(0x00)" in detail:
        return BadValue("a text", "must not have the character NUL")
    if state is None and "connection option" in detail:
        return ConfigError("catalogue", "url", detail)
    if state == _NO_RIGHT:
        return CatalogueUnavailable(f"PostgreSQL: {detail}")
    if state in _OTHER_TABLES:
        return CatalogueUnavailable(
            f"PostgreSQL: {_said(error)}; its tables are not those that "
            "this version makes"
        )
    return None


def _said(error: exc.DBAPIError) -> str | None:
    """The server's own sentence; ``None`` if it said nothing."""
    diagnosis = getattr(error.orig, "diag", None)
    said: str | None = getattr(diagnosis, "message_primary", None)
    return said


def _state(cause: object) -> str | None:
    return getattr(cause, "sqlstate", None)
