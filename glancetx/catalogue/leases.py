# Copyright glancetx contributors. See LICENSE for details.

"""
The leases that other servers have of images here, in SQL.

A lease guards an image's bytes until its holder ends it, also after it has expired:
the holder may only be out of reach.
"""

from __future__ import annotations

from datetime import datetime

from attrs import asdict
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy import delete as delete_from

from glancetx.errors import (
    Forbidden,
    LeaseConflict,
    NoSuchImage,
    NoSuchLease,
    TooMany,
)
from glancetx.image import Digest, Lease
from glancetx.times import format_time

from .schema import images, leases

__all__ = ["end", "give", "holders", "of_image"]

_HERE = (
    leases.c.image_id == bindparam("of_image"),
    leases.c.holder == bindparam("by_holder"),
)
_FIND = select(leases).where(*_HERE)
_ALL = (
    select(leases)
    .where(leases.c.image_id == bindparam("of_image"))
    .order_by(leases.c.created_at, leases.c.holder)
)
_COUNT = (
    select(func.count())
    .select_from(leases)
    .where(
        leases.c.image_id == bindparam("of_image"),
        leases.c.project.is_not_distinct_from(bindparam("by_project")),
    )
)
_LOCK = (
    select(images.c.digest_algorithm, images.c.digest_value)
    .where(images.c.id == bindparam("of_image"))
    .with_for_update()
)
_ADD = insert(leases)
_RENEW = update(leases).where(*_HERE)
_END = delete_from(leases).where(*_HERE)


def of_image(connection: Connection, image_id: str) -> tuple[Lease, ...]:
    """All leases of an image, the first of them first."""
    rows = connection.execute(_ALL, {"of_image": image_id}).all()
    return tuple(Lease(**row._mapping) for row in rows)


def holders(connection: Connection, now: datetime, image_id: str) -> tuple[str, ...]:
    """Who has leases of an image, in words."""
    return tuple(_words(lease, now) for lease in of_image(connection, image_id))


def give(connection: Connection, lease: Lease, digest: Digest, most: int) -> bool:
    """
    Give a lease, or renew it. One of a time when nobody was asked is anyone's.

    :returns: whether it is new.
    :raises NoSuchImage: if there is no such image.
    :raises LeaseConflict: if the image has other bytes, or none.
    :raises Forbidden: if another project took the holder's lease.
    :raises TooMany: if its project would have one more than ``most`` of the image.
    """
    _require_bytes(connection, lease.image_id, digest)
    key = _key(lease.image_id, lease.holder)
    row = connection.execute(_FIND, key).one_or_none()
    if row is None:
        _require_room(connection, lease, most)
        connection.execute(_ADD, asdict(lease))
        return True
    if row.project not in (None, lease.project):
        raise Forbidden(f"the lease of holder {lease.holder} is another project's")
    renewed = {"url": lease.url, "until": lease.until, "project": lease.project}
    connection.execute(_RENEW.values(**renewed), key)
    return False


def end(connection: Connection, image_id: str, holder: str) -> None:
    """
    End a lease.

    :raises NoSuchLease: if there is none.
    """
    if connection.execute(_END, _key(image_id, holder)).rowcount == 0:
        raise NoSuchLease(image_id, holder)


def _require_bytes(connection: Connection, image_id: str, digest: Digest) -> None:
    row = connection.execute(_LOCK, {"of_image": image_id}).one_or_none()
    if row is None:
        raise NoSuchImage(image_id)
    if row.digest_value is None:
        raise LeaseConflict(f"image {image_id} has no bytes yet that could be leased")
    if digest != Digest(row.digest_algorithm, row.digest_value):
        raise LeaseConflict(
            f"image {image_id} has not the {digest.algorithm} {digest.value}"
        )


def _require_room(connection: Connection, lease: Lease, most: int) -> None:
    of = {"of_image": lease.image_id, "by_project": lease.project}
    if connection.execute(_COUNT, of).scalar_one() >= most:
        raise TooMany("leases", most)


def _words(lease: Lease, now: datetime) -> str:
    until = format_time(lease.until)
    if lease.until > now:
        return f"{lease.url} (holder {lease.holder}, until {until})"
    return f"{lease.url} (holder {lease.holder}, expired {until}, but not released)"


def _key(image_id: str, holder: str) -> dict[str, str]:
    return {"of_image": image_id, "by_holder": holder}
