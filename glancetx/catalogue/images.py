# Copyright glancetx contributors. See LICENSE for details.

"""
Image records and their chains, in SQL.

Each function runs in a thread, inside of one transaction on the connection it is
given. The statements are constants, so that they are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from attrs import evolve
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from glancetx.errors import BadValue, ImageExists, ImageInUse, NoSuchImage, WrongState
from glancetx.image import LARGEST, Image, Pin, Status

from . import leases
from .records import PIN, WHOLE, changing, described, image_of, pin_of, pin_rows
from .schema import ids, images, intents, pins, properties, tags

__all__ = [
    "add",
    "change",
    "children",
    "delete",
    "find",
    "find_all",
    "known_chain",
    "load",
    "save",
]

_FIND = WHOLE.where(images.c.id == bindparam("image_id"))
_FIND_ALL = WHOLE.where(images.c.id.in_(bindparam("image_ids", expanding=True)))
_LOCK = _FIND.with_for_update(of=images)
_LOCK_ACTIVE = (
    select(images.c.id)
    .where(images.c.id == bindparam("image_id"))
    .where(images.c.status == Status.ACTIVE.value)
    .with_for_update(read=True)
)
_CHILDREN = (
    select(pins.c.image_id)
    .where(pins.c.parent_id == bindparam("parent"), pins.c.origin.is_(None))
    .where(pins.c.depth == 1)
    .order_by(pins.c.image_id)
)
_DEPENDENTS = (
    select(pins.c.depth, pins.c.image_id)
    .where(pins.c.parent_id == bindparam("parent"), pins.c.origin.is_(None))
    .order_by(pins.c.depth, pins.c.image_id)
)
_PINNED = (
    select(pins.c.image_id, pins.c.depth)
    .join(images, images.c.id == pins.c.image_id)
    .where(pins.c.parent_id == bindparam("parent"))
    .where(pins.c.origin == bindparam("at"))
    .order_by(images.c.created_at.desc())
    .limit(1)
)
_CHAIN = (
    select(*PIN)
    .where(pins.c.image_id == bindparam("child"), pins.c.depth >= bindparam("begin"))
    .order_by(pins.c.depth)
)
_TAKE_ID = insert(ids)
_ADD = insert(images)
_ADD_PROPERTIES = insert(properties)
_DROP_PROPERTIES = delete_from(properties).where(
    properties.c.image_id == bindparam("of_image"),
    properties.c.name.in_(bindparam("names", expanding=True)),
)
_ADD_TAGS = insert(tags)
_DROP_TAGS = delete_from(tags).where(
    tags.c.image_id == bindparam("of_image"),
    tags.c.tag.in_(bindparam("names", expanding=True)),
)
_ADD_PINS = insert(pins)
_SAVE = update(images).where(images.c.id == bindparam("image_id"))
_DELETE = delete_from(images).where(images.c.id == bindparam("image_id"))
_BURY = update(ids).where(ids.c.id == bindparam("image_id"))
_LEAVE_BYTES = insert(intents)

#: What :func:`change` may change, besides properties and tags.
CHANGEABLE = (
    "status",
    "updated_at",
    "name",
    "visibility",
    "owner",
    "protected",
    "hidden",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
)


def find(connection: Connection, image_id: str, lock: bool = False) -> Image:
    """
    One image, with its chain.

    :param lock: whether it is to be changed in this transaction.
    :raises NoSuchImage: if there is none, or none any more.
    """
    statement = _LOCK if lock else _FIND
    row = connection.execute(statement, {"image_id": image_id}).one_or_none()
    if row is None:
        raise NoSuchImage(image_id)
    return image_of(row)


def find_all(
    connection: Connection, image_ids: Sequence[str]
) -> list[Image | NoSuchImage]:
    """Images, or that there are none, in the order of their ids."""
    found = _load(connection, set(image_ids))
    return [found.get(image_id) or NoSuchImage(image_id) for image_id in image_ids]


def load(connection: Connection, image_ids: Sequence[str]) -> list[Image]:
    """Images that are there, in the order of their ids."""
    found = _load(connection, image_ids) if image_ids else {}
    return [found[image_id] for image_id in image_ids]


def _load(connection: Connection, image_ids: Collection[str]) -> dict[str, Image]:
    rows = connection.execute(_FIND_ALL, {"image_ids": list(image_ids)}).all()
    return {row.id: image_of(row) for row in rows}


def add(connection: Connection, image: Image) -> None:
    """
    A new image, queued.

    :raises ImageExists: if its id is or was taken.
    :raises WrongState: if it is anything but queued: only uploads make images active.
    :raises BadValue: if an ancestor on this server is no longer active, or a number
        too large to be kept.
    """
    if image.status is not Status.QUEUED:
        raise WrongState(image.id, image.status, Status.QUEUED)
    _require_numbers(image)
    for pin in image.parents:
        if pin.origin is None:
            _require_active(connection, pin.image_id)
    try:
        connection.execute(_TAKE_ID, {"id": image.id})
    except IntegrityError:
        raise ImageExists(image.id) from None
    made = {"id": image.id, "created_at": image.created_at}
    connection.execute(_ADD, made | described(image) | changing(image))
    _add_properties(connection, image.id, image.properties.items())
    _add_tags(connection, image.id, image.tags)
    if image.parents:
        connection.execute(_ADD_PINS, pin_rows(image))


def save(connection: Connection, image: Image) -> None:
    """Keep what the state machine of :mod:`glancetx.image` made of a locked image."""
    connection.execute(_SAVE, {"image_id": image.id} | changing(image))


def change(
    connection: Connection, image_id: str, alter: Callable[[Image], Image]
) -> Image:
    """
    Make of an image what a function makes of it.

    :param alter: is given the locked image; what it makes of other fields than
        ``CHANGEABLE``, properties and tags is not kept. What it raises is raised, and
        nothing is changed.
    :returns: the image as it is now.
    :raises NoSuchImage: if there is none.
    :raises WrongState: if the state changes otherwise than between active and
        deactivated.
    :raises BadValue: if a number is too large to be kept.
    """
    old = find(connection, image_id, lock=True)
    altered = alter(old)
    fields = (*CHANGEABLE, "properties", "tags")
    new = evolve(old, **{name: getattr(altered, name) for name in fields})
    if new.status is not old.status and not (
        old.status.has_bytes and new.status.has_bytes
    ):
        raise WrongState(image_id, old.status, "in a state that leads there")
    _require_numbers(new)
    connection.execute(_SAVE, {"image_id": image_id} | described(new) | changing(new))
    _save_properties(connection, old, new)
    _save_tags(connection, old, new)
    return new


def delete(
    connection: Connection,
    now: datetime,
    image_id: str,
    check: Callable[[Image], None],
    force: bool,
) -> Image:
    """
    Delete an image for ever; leave an intent for its bytes, if it has any.

    :param check: is given the locked image, and raises if it must stay.
    :param force: whether leases of other servers do not matter.
    :returns: the image as it was.
    :raises ImageInUse: if images here have it in their chains (names the nearest), or
        other servers have leases of it.
    :raises WrongState: while it is being uploaded.
    :raises NoSuchImage: if there is none.
    """
    image = find(connection, image_id, lock=True)
    check(image)
    if image.status is Status.SAVING:
        raise WrongState(image_id, image.status, "queued or active")
    nearest = _nearest(connection, image_id)
    holders = () if force else leases.holders(connection, now, image_id)
    if nearest or holders:
        raise ImageInUse(image_id, nearest, holders)
    connection.execute(_DELETE, {"image_id": image_id})
    connection.execute(_BURY, {"image_id": image_id, "deleted_at": now})
    if image.location is not None:
        connection.execute(
            _LEAVE_BYTES,
            {
                "store": image.location.store,
                "key": image.location.key,
                "image_id": image_id,
                "process_id": None,
                "condemned": True,
            },
        )
    return image


def children(connection: Connection, image_id: str) -> tuple[str, ...]:
    """The ids of images here that are differences to this one, sorted."""
    found = connection.execute(_CHILDREN, {"parent": image_id}).scalars().all()
    return tuple(found)


def known_chain(
    connection: Connection, origin: str, image_id: str
) -> tuple[Pin, ...] | None:
    """
    An image on another server and its parents, as a child here has them pinned.

    :returns: the chain that the newest such child has, or ``None`` if there is none.
    """
    where = {"at": origin, "parent": image_id}
    pinned = connection.execute(_PINNED, where).one_or_none()
    if pinned is None:
        return None
    rest = {"child": pinned.image_id, "begin": pinned.depth}
    return tuple(map(pin_of, connection.execute(_CHAIN, rest).all()))


def _nearest(connection: Connection, image_id: str) -> tuple[str, ...]:
    """The ids of the images here that need this one, of those who are nearest."""
    found = connection.execute(_DEPENDENTS, {"parent": image_id}).all()
    return tuple(row.image_id for row in found if row.depth == found[0].depth)


def _save_properties(connection: Connection, old: Image, new: Image) -> None:
    gone = old.properties.items() - new.properties.items()
    come = new.properties.items() - old.properties.items()
    if gone:
        names = [name for name, _ in gone]
        connection.execute(_DROP_PROPERTIES, {"of_image": old.id, "names": names})
    _add_properties(connection, old.id, come)


def _save_tags(connection: Connection, old: Image, new: Image) -> None:
    if gone := old.tags - new.tags:
        connection.execute(_DROP_TAGS, {"of_image": old.id, "names": list(gone)})
    _add_tags(connection, old.id, new.tags - old.tags)


def _add_properties(
    connection: Connection, image_id: str, come: Iterable[tuple[str, str]]
) -> None:
    rows = [
        {"image_id": image_id, "name": name, "value": value} for name, value in come
    ]
    if rows:
        connection.execute(_ADD_PROPERTIES, rows)


def _add_tags(connection: Connection, image_id: str, come: Iterable[str]) -> None:
    rows = [{"image_id": image_id, "tag": tag} for tag in come]
    if rows:
        connection.execute(_ADD_TAGS, rows)


def _require_numbers(image: Image) -> None:
    for field in ("min_disk", "min_ram"):
        if not 0 <= getattr(image, field) <= LARGEST:
            raise BadValue(field, f"must be between 0 and {LARGEST}")


def _require_active(connection: Connection, image_id: str) -> None:
    found = connection.execute(_LOCK_ACTIVE, {"image_id": image_id}).one_or_none()
    if found is None:
        raise BadValue("parent_id", f"image {image_id} is not here, or not active")
