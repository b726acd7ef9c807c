# Copyright glancetx contributors. See LICENSE for details.

"""
Pages of the list of images, newest first.

A page begins behind its marker by the values it is ordered by, so the cost of a page
does not grow with its distance from the first, and images that come or go meanwhile
neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from sqlalchemy import ColumnElement, Connection, bindparam, exists, select, tuple_

from glancetx.errors import BadValue
from glancetx.image import Image

from .images import load
from .schema import LARGEST, images, properties

__all__ = ["Query", "list_images"]

_MARKER = select(images.c.created_at, images.c.id).where(
    images.c.id == bindparam("image_id")
)


@frozen
class Query:
    """
    Which images to list; what is ``None`` does not matter.

    :ivar size_min: bytes, inclusive, as is ``size_max``; images without bytes have no
        size and do not match either.
    :ivar properties: names with the values that they must have.
    :ivar marker: the id of the last image of the page before.
    :ivar limit: how many images at most.
    """

    name: str | None = None
    status: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    size_min: int | None = None
    size_max: int | None = None
    properties: Mapping[str, str] = field(factory=dict)
    marker: str | None = None
    limit: int = 25


def list_images(connection: Connection, query: Query) -> list[Image]:
    """
    The images that a query asks for: newest first, then by id from the greatest.

    :raises BadValue: if the marker is no image.
    """
    statement = (
        select(images)
        .where(*_conditions(query))
        .order_by(images.c.created_at.desc(), images.c.id.desc())
        .limit(max(query.limit, 0))
    )
    if query.marker is not None:
        statement = statement.where(_behind(connection, query.marker))
    return load(connection, connection.execute(statement).all())


def _behind(connection: Connection, marker: str) -> ColumnElement[bool]:
    row = connection.execute(_MARKER, {"image_id": marker}).one_or_none()
    if row is None:
        raise BadValue("marker", f"no image {marker}")
    return tuple_(images.c.created_at, images.c.id) < tuple_(row.created_at, row.id)


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        images.c[name] == getattr(query, name)
        for name in ("name", "status", "disk_format", "container_format")
        if getattr(query, name) is not None
    ]
    if query.size_min is not None:
        conditions.append(images.c.size >= _bounded(query.size_min))
    if query.size_max is not None:
        conditions.append(images.c.size <= _bounded(query.size_max))
    for name, value in query.properties.items():
        conditions.append(
            exists().where(
                properties.c.image_id == images.c.id,
                properties.c.name == name,
                properties.c.value == value,
            )
        )
    return conditions


def _bounded(number: int) -> int:
    """The nearest number that the database can compare with."""
    return min(max(number, -LARGEST), LARGEST)
