# Copyright glancetx contributors. See LICENSE for details.

"""
The leases that this server has of images on other servers, in SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, bindparam, insert, select
from sqlalchemy import delete as delete_from

from glancetx.image import Digest

from .schema import holds, pins, server

__all__ = ["Hold", "everything", "forget", "needed", "note", "server_id"]

_ALL = select(holds).order_by(holds.c.origin, holds.c.image_id)
_ADD = insert(holds)
_FORGET = delete_from(holds).where(
    holds.c.origin == bindparam("at_origin"), holds.c.image_id == bindparam("of_image")
)
_DIGEST = (pins.c.digest_algorithm, pins.c.digest_value)
_NEEDED = (
    select(pins.c.origin, pins.c.parent_id, *_DIGEST)
    .distinct()
    .where(pins.c.origin.is_not(None), pins.c.path == "/images/" + pins.c.parent_id)
    .order_by(pins.c.origin, pins.c.parent_id, *_DIGEST)
)
_SERVER = select(server.c.id)


@frozen
class Hold:
    """
    A lease that this server has, or should have, of an image elsewhere.

    :ivar origin: the ``url`` of the origin, as in :class:`~glancetx.image.Pin`.
    :ivar digest: of the bytes that chains here need.
    :ivar state: a word for how it stands.
    :ivar until: when it expires, if it was given.
    :ivar problem: a sentence about why it was not given or renewed.
    :ivar checked_at: when this was noted; the catalogue fills it in.
    """

    origin: str
    image_id: str
    digest: Digest
    state: str
    until: datetime | None = None
    problem: str | None = None
    checked_at: datetime | None = None


def everything(connection: Connection) -> tuple[Hold, ...]:
    """All holds, sorted by origin and id."""
    return tuple(map(_hold, connection.execute(_ALL).all()))


def note(connection: Connection, now: datetime, hold: Hold) -> None:
    """Note how it stands with a hold now, instead of what was noted."""
    forget(connection, hold.origin, hold.image_id)
    connection.execute(
        _ADD,
        {
            "origin": hold.origin,
            "image_id": hold.image_id,
            "digest_algorithm": hold.digest.algorithm,
            "digest_value": hold.digest.value,
            "state": hold.state,
            "until": hold.until,
            "problem": hold.problem,
            "checked_at": now,
        },
    )


def forget(connection: Connection, origin: str, image_id: str) -> None:
    """Drop a hold; none is no error."""
    connection.execute(_FORGET, {"at_origin": origin, "of_image": image_id})


def needed(connection: Connection) -> tuple[tuple[str, str, Digest], ...]:
    """Origin, id and digest of each image on a glancetx that chains here need."""
    rows = connection.execute(_NEEDED).all()
    return tuple((row[0], row[1], Digest(row[2], row[3])) for row in rows)


def server_id(connection: Connection) -> str:
    """The name of this server as a holder."""
    name: str = connection.execute(_SERVER).scalar_one()
    return name


def _hold(row: Row[Any]) -> Hold:
    return Hold(
        origin=row.origin,
        image_id=row.image_id,
        digest=Digest(row.digest_algorithm, row.digest_value),
        state=row.state,
        until=row.until,
        problem=row.problem,
        checked_at=row.checked_at,
    )
