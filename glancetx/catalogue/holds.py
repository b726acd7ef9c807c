# Copyright glancetx contributors. See LICENSE for details.

"""
The leases that this server has of images on other servers, in SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy import delete as delete_from

from glancetx.image import Digest

from .schema import holds, pins, server

__all__ = [
    "Hold",
    "claim",
    "everything",
    "forget",
    "needed",
    "note",
    "of_image",
    "server_id",
]

_ALL = select(holds).order_by(holds.c.origin, holds.c.image_id)
_OF_IMAGE = (
    select(holds)
    .join(
        pins,
        (pins.c.origin == holds.c.origin) & (pins.c.parent_id == holds.c.image_id),
    )
    .where(pins.c.image_id == bindparam("of_image"))
    .order_by(pins.c.depth)
)
_HERE = (
    holds.c.origin == bindparam("at_origin"),
    holds.c.image_id == bindparam("of_image"),
)
_UNTOUCHED = (*_HERE, holds.c.checked_at == bindparam("seen_at"))
_ADD = insert(holds)
_REPLACE = delete_from(holds).where(*_HERE)
_CLAIM = update(holds).where(*_UNTOUCHED)
_FORGET = delete_from(holds).where(*_UNTOUCHED)
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


def of_image(connection: Connection, image_id: str) -> tuple[Hold, ...]:
    """The holds of an image's ancestors, nearest first."""
    return tuple(map(_hold, connection.execute(_OF_IMAGE, {"of_image": image_id})))


def note(connection: Connection, now: datetime, *noted: Hold) -> None:
    """Note how it stands with holds now, instead of what was noted."""
    for hold in noted:
        connection.execute(_REPLACE, _key(hold))
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


def claim(connection: Connection, now: datetime, hold: Hold) -> Hold | None:
    """Note that a hold is seen to; ``None`` if it was noted anew since it was read."""
    found = connection.execute(_CLAIM.values(checked_at=now), _seen(hold))
    return evolve(hold, checked_at=now) if found.rowcount else None


def forget(connection: Connection, hold: Hold) -> bool:
    """Drop a hold; false if it was noted anew since it was read, or is gone."""
    return bool(connection.execute(_FORGET, _seen(hold)).rowcount)


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


def _key(hold: Hold) -> dict[str, Any]:
    return {"at_origin": hold.origin, "of_image": hold.image_id}


def _seen(hold: Hold) -> dict[str, Any]:
    return {**_key(hold), "seen_at": hold.checked_at}
