# Copyright glancetx contributors. See LICENSE for details.

"""
Intents: which bytes an upload or a deletion may have left, in SQL.

A row is written before the first byte and is gone only with the commit, or when the
bytes are removed: so every byte in a store is known to an active image or an intent.

Whoever locks both locks the intent before its image, lest two wait for each other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy import delete as delete_from

from glancetx.errors import CatalogueUnavailable, NoSuchImage, WrongState
from glancetx.image import Digest, Image, Location, Status

from . import images
from .schema import intents, processes

__all__ = ["Intent", "abandon", "begin", "commit", "condemn", "forget", "leftovers"]

_HERE = (intents.c.store == bindparam("in_store"), intents.c.key == bindparam("at_key"))
_FIND = select(intents).where(*_HERE).with_for_update()
_ALL = select(intents).order_by(intents.c.store, intents.c.key)
_ADD = insert(intents)
_CONDEMN = update(intents).where(*_HERE).values(condemned=True, process_id=None)
_FORGET = delete_from(intents).where(*_HERE)
_PROCESS = select(processes.c.id).where(processes.c.id == bindparam("process_id"))


@frozen
class Intent:
    """
    Bytes that may lie at a location without an active image that has them.

    :ivar image_id: the image that they were meant for, or that had them and is deleted.
    :ivar process_id: the process whose upload may still be running, else ``None``.
    """

    location: Location
    image_id: str
    process_id: str | None


def begin(
    connection: Connection,
    now: datetime,
    image_id: str,
    location: Location,
    process_id: str,
) -> Image:
    """
    Begin an upload: the image is saving, and its intent is known.

    :returns: the image as it is now.
    :raises NoSuchImage: if there is none.
    :raises WrongState: unless it is queued.
    :raises CatalogueUnavailable: if the process is not known, e.g. because it was taken
        for dead; it joins again with its next heartbeat.
    """
    image = images.find(connection, image_id, lock=True).saving(now)
    if connection.execute(_PROCESS, {"process_id": process_id}).one_or_none() is None:
        raise CatalogueUnavailable(f"process {process_id} has not joined it")
    connection.execute(
        _ADD,
        {
            "store": location.store,
            "key": location.key,
            "image_id": image_id,
            "process_id": process_id,
            "condemned": False,
        },
    )
    images.save(connection, image)
    return image


def commit(
    connection: Connection,
    now: datetime,
    image_id: str,
    location: Location,
    size: int,
    digest: Digest,
    checksum: str | None,
    virtual_size: int | None = None,
) -> Image:
    """
    End an upload: its bytes are durable, the image is active and the intent gone.

    :returns: the image as it is now.
    :raises NoSuchImage: if there is none.
    :raises WrongState: unless it is saving by the upload to this very location, which
        nobody has abandoned or condemned.
    """
    row = _find(connection, location)
    image = images.find(connection, image_id, lock=True)
    if row is None or row.condemned or row.image_id != image_id:
        raise WrongState(image_id, image.status, "saving by this upload")
    image = image.stored(now, location, size, digest, checksum, virtual_size)
    images.save(connection, image)
    forget(connection, location)
    return image


def abandon(
    connection: Connection, now: datetime, image_id: str, location: Location
) -> None:
    """
    Give an upload up: the image is queued again, the bytes are to be removed.

    Does nothing if that was done before, by whomever.

    :raises WrongState: if the upload was committed: its bytes must stay.
    """
    row = _find(connection, location)
    if row is not None:
        _condemn(connection, now, row)
        return
    try:
        image = images.find(connection, image_id)
    except NoSuchImage:
        return
    if image.location == location:
        raise WrongState(image_id, image.status, Status.SAVING)


def forget(connection: Connection, location: Location) -> None:
    """Drop an intent, since nothing lies at its location; none is no error."""
    connection.execute(_FORGET, _key(location))


def condemn(connection: Connection, now: datetime, location: Location) -> bool:
    """
    Take bytes from an upload that is dead: from now on its commit is refused.

    :returns: whether they are to be removed; not if the upload was committed, or its
        bytes are removed already.
    """
    row = _find(connection, location)
    if row is None:
        return False
    _condemn(connection, now, row)
    return True


def leftovers(connection: Connection) -> list[Intent]:
    """All intents, those of running uploads too."""
    return [
        Intent(Location(row.store, row.key), row.image_id, row.process_id)
        for row in connection.execute(_ALL).all()
    ]


def _condemn(connection: Connection, now: datetime, row: Row[Any]) -> None:
    if not row.condemned:
        image = images.find(connection, row.image_id, lock=True)
        images.save(connection, image.abandoned(now))
    connection.execute(_CONDEMN, _key(Location(row.store, row.key)))


def _find(connection: Connection, location: Location) -> Row[Any] | None:
    return connection.execute(_FIND, _key(location)).one_or_none()


def _key(location: Location) -> dict[str, str]:
    return {"in_store": location.store, "at_key": location.key}
