# Copyright glancetx contributors. See LICENSE for details.

"""
The processes that share a catalogue, in SQL.
"""

from __future__ import annotations

from datetime import datetime

from attrs import asdict, frozen
from sqlalchemy import Connection, bindparam, exists, insert, select, update
from sqlalchemy import delete as delete_from

from .schema import intents, processes

__all__ = ["Process", "beat", "bury", "everyone", "join", "leave"]

_ALL = select(processes).order_by(processes.c.id)
_ADD = insert(processes)
_HERE = processes.c.id == bindparam("process_id")
_BEAT = update(processes).where(_HERE).values(heartbeat=bindparam("now"))
_LEAVE = delete_from(processes).where(_HERE)
_BURY = (
    delete_from(processes)
    .where(_HERE, processes.c.heartbeat == bindparam("last"))
    .where(~exists().where(intents.c.process_id == processes.c.id))
)


@frozen
class Process:
    """
    A running server, or one that was.

    :ivar id: a UUID, new for each start.
    :ivar host: the name of the machine that it runs on.
    :ivar lock: the path there of the file that it keeps locked while it lives.
    :ivar heartbeat: when it was last heard of.
    """

    id: str
    host: str
    pid: int
    lock: str
    heartbeat: datetime


def join(connection: Connection, process: Process) -> None:
    """Make a process known, or known again; its intents stay its own."""
    if not beat(connection, process.heartbeat, process.id):
        connection.execute(_ADD, asdict(process))


def beat(connection: Connection, now: datetime, process_id: str) -> bool:
    """Say that a process lives; false if nobody knows it (any more)."""
    done = connection.execute(_BEAT, {"process_id": process_id, "now": now})
    return done.rowcount == 1


def leave(connection: Connection, process_id: str) -> None:
    """Forget a process; intents that it leaves belong to nobody."""
    connection.execute(_LEAVE, {"process_id": process_id})


def bury(connection: Connection, process: Process) -> bool:
    """Forget a dead process, unless it has intents or was heard of since."""
    which = {"process_id": process.id, "last": process.heartbeat}
    return connection.execute(_BURY, which).rowcount == 1


def everyone(connection: Connection) -> list[Process]:
    """All processes, dead ones too."""
    return [Process(**row._mapping) for row in connection.execute(_ALL).all()]
