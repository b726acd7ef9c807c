# Copyright glancetx contributors. See LICENSE for details.

"""
Forgets what nobody needs of what is gone; blocks, so it belongs into a thread.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from attrs import frozen
from sqlalchemy import Connection, delete, exists, update
from sqlalchemy.exc import SQLAlchemyError
from twisted.python.failure import Failure

from .calls import write
from .db import CHECK_SECONDS, check
from .engines import as_fact, make_engine
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
    engine = make_engine(url, writes=True, busy_seconds=CHECK_SECONDS)
    try:
        found = write(engine, [partial(f, before=before) for f in _FORGETTING])
    except SQLAlchemyError as error:
        raise as_fact(error) from error
    finally:
        engine.dispose()
    for one in found:
        if isinstance(one, Failure):
            one.raiseException()
    return Purged(*found)


def _forget_deletions(connection: Connection, before: datetime) -> int:
    old = update(ids).where(ids.c.deleted_at < before).values(deleted_at=None)
    return connection.execute(old).rowcount


def _forget_processes(connection: Connection, before: datetime) -> int:
    writing = exists().where(intents.c.process_id == processes.c.id)
    old = delete(processes).where(processes.c.heartbeat < before, ~writing)
    return connection.execute(old).rowcount


#: In the order of what :class:`Purged` has.
_FORGETTING = (_forget_deletions, _forget_processes)
