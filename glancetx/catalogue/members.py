# Copyright glancetx contributors. See LICENSE for details.

"""
The projects that images are shared with, in SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import asdict, evolve
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy import delete as delete_from

from glancetx.errors import MemberExists, NoSuchImage, NoSuchMember, TooMany
from glancetx.image import Member, MemberStatus

from .schema import images, members

__all__ = ["add", "change", "find", "of_image", "remove"]

_HERE = (
    members.c.image_id == bindparam("of_image"),
    members.c.project == bindparam("by_project"),
)
_FIND = select(members).where(*_HERE)
_ALL = (
    select(members)
    .where(members.c.image_id == bindparam("of_image"))
    .order_by(members.c.created_at, members.c.project)
)
_COUNT = (
    select(func.count())
    .select_from(members)
    .where(members.c.image_id == bindparam("of_image"))
)
_LOCK = (
    select(images.c.id).where(images.c.id == bindparam("of_image")).with_for_update()
)
_ADD = insert(members)
_CHANGE = update(members).where(*_HERE)
_REMOVE = delete_from(members).where(*_HERE)


def find(connection: Connection, image_id: str, project: str) -> Member | None:
    """One member, or ``None`` if the image is not shared with the project."""
    row = connection.execute(_FIND, _key(image_id, project)).one_or_none()
    return None if row is None else _member(row)


def of_image(connection: Connection, image_id: str) -> tuple[Member, ...]:
    """All members of an image, the first of them first."""
    rows = connection.execute(_ALL, {"of_image": image_id}).all()
    return tuple(map(_member, rows))


def add(connection: Connection, member: Member, most: int) -> None:
    """
    Share an image with a project.

    :raises NoSuchImage: if there is no such image.
    :raises MemberExists: if it is shared with the project already.
    :raises TooMany: if it is shared with ``most`` projects.
    """
    which = {"of_image": member.image_id}
    if connection.execute(_LOCK, which).one_or_none() is None:
        raise NoSuchImage(member.image_id)
    if find(connection, member.image_id, member.project) is not None:
        raise MemberExists(member.image_id, member.project)
    if connection.execute(_COUNT, which).scalar_one() >= most:
        raise TooMany("members", most)
    connection.execute(_ADD, asdict(member) | {"status": member.status.value})


def change(
    connection: Connection,
    image_id: str,
    project: str,
    status: MemberStatus,
    now: datetime,
) -> Member:
    """
    Note what a project makes of an image.

    :returns: the member as it is now.
    :raises NoSuchMember: if the image is not shared with the project.
    """
    member = find(connection, image_id, project)
    if member is None:
        raise NoSuchMember(image_id, project)
    changes = {"status": status.value, "updated_at": now}
    connection.execute(_CHANGE, _key(image_id, project) | changes)
    return evolve(member, status=status, updated_at=now)


def remove(connection: Connection, image_id: str, project: str) -> None:
    """
    Share an image with a project no longer.

    :raises NoSuchMember: if it was not.
    """
    done = connection.execute(_REMOVE, _key(image_id, project))
    if done.rowcount == 0:
        raise NoSuchMember(image_id, project)


def _member(row: Row[Any]) -> Member:
    return Member(**dict(row._mapping) | {"status": MemberStatus(row.status)})


def _key(image_id: str, project: str) -> dict[str, str]:
    return {"of_image": image_id, "by_project": project}
