# Copyright glancetx contributors. See LICENSE for details.

"""
Forgets what nobody needs of what is gone; blocks, so it belongs into a thread.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen
from sqlalchemy import Connection, delete, exists, update

from .db import check, connected
from .schema import ids, intents, processes

__all__ = ["Purged", "purge"]


@frozen
class Purged:
    """
    What was forgotten.

    :ivar deletions: of so many deleted images nothing is known any more but the id,
        which is never given again.
    :ivar processes: so many that were not heard of since, and left no bytes.
    """

    deletions: int
    processes: int


def purge(url: str, before: datetime) -> Purged:
    """
    Forget what has been gone since then. What still stands for bytes stays: a scrub
    removes these, and then what is known of them.

    :raises CatalogueUnavailable: if the database is not sound, or in trouble.
    :raises ConfigError: if the URL cannot be used.
    """
    check(url)
    with connected(url, True) as connection:
        return Purged(
            deletions=_forget_deletions(connection, before),
            processes=_forget_processes(connection, before),
        )


def _forget_deletions(connection: Connection, before: datetime) -> int:
    old = update(ids).where(ids.c.deleted_at < before).values(deleted_at=None)
    return connection.execute(old).rowcount


def _forget_processes(connection: Connection, before: datetime) -> int:
    writing = exists().where(intents.c.process_id == processes.c.id)
    old = delete(processes).where(processes.c.heartbeat < before, ~writing)
    return connection.execute(old).rowcount
