# Copyright glancetx contributors. See LICENSE for details.

"""
Images as rows, both ways.

An image's properties, tags and parents come with its row, as JSON: a statement of
their own for each would take most of the time that looking an image up takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Dialect, Row, ScalarSelect, Table, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

from glancetx.image import Digest, Image, Location, Pin, Status, Visibility

from .schema import images, pins, properties, tags

__all__ = ["PIN", "WHOLE", "changing", "described", "image_of", "pin_of", "pin_rows"]


class _Parsed(TypeDecorator[Any]):
    """JSON that some drivers leave to us; ``None`` is an empty list."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or value == "[]":
            return []
        return json.loads(value) if isinstance(value, str) else value


class _Lists(GenericFunction[Any]):
    """All rows that a select finds, each a list of values, as one list."""

    name = "lists"
    type = _Parsed()
    inherit_cache = True


@compiles(_Lists)
def _lists(element: _Lists, compiler: SQLCompiler, **options: Any) -> str:
    values = compiler.process(element.clauses, **options)
    return f"json_group_array(json_array({values}))"


@compiles(_Lists, "postgresql")
def _lists_of_postgresql(element: _Lists, compiler: SQLCompiler, **options: Any) -> str:
    values = compiler.process(element.clauses, **options)
    return f"json_agg(json_build_array({values}))"


def _side(table: Table, *columns: Column[Any]) -> ScalarSelect[Any]:
    """What a table has of an image."""
    found = select(_Lists(*columns)).where(table.c.image_id == images.c.id)
    return found.correlate(images).scalar_subquery()


#: What :func:`pin_of` makes a pin of, in this order.
PIN = (
    pins.c.depth,
    pins.c.origin,
    pins.c.parent_id,
    pins.c.path,
    pins.c.name,
    pins.c.disk_format,
    pins.c.size,
    pins.c.virtual_size,
    pins.c.checksum,
    pins.c.digest_algorithm,
    pins.c.digest_value,
    pins.c.visibility,
    pins.c.anonymous,
)

#: Rows that :func:`image_of` makes images of.
WHOLE = select(
    images,
    _side(properties, properties.c.name, properties.c.value).label("properties"),
    _side(tags, tags.c.tag).label("tags"),
    _side(pins, *PIN).label("parents"),
)
_NAMES = tuple(column.name for column in WHOLE.selected_columns)


def image_of(row: Row[Any]) -> Image:
    """An image of a row of :data:`WHOLE`."""
    facts = dict(zip(_NAMES, row, strict=True))
    store, key = facts.pop("store"), facts.pop("key")
    algorithm, value = facts.pop("digest_algorithm"), facts.pop("digest_value")
    facts["status"] = Status(facts["status"])
    facts["visibility"] = Visibility(facts["visibility"])
    facts["digest"] = None if value is None else Digest(algorithm, value)
    facts["location"] = None if key is None else Location(store, key)
    facts["properties"] = dict(sorted(facts["properties"]))
    facts["tags"] = frozenset(tag for (tag,) in facts["tags"])
    facts["parents"] = tuple(map(pin_of, sorted(facts["parents"])))
    return Image(**facts)


def pin_of(values: Sequence[Any]) -> Pin:
    """A pin of the values of :data:`PIN`."""
    _, origin, image_id, path, name, disk_format, *sizes, visibility, anonymous = values
    size, virtual_size, checksum, algorithm, digest = sizes
    return Pin(
        origin=origin,
        image_id=image_id,
        path=path,
        name=name,
        disk_format=disk_format,
        size=size,
        virtual_size=virtual_size,
        checksum=checksum,
        digest=Digest(algorithm, digest),
        visibility=Visibility(visibility),
        anonymous=bool(anonymous),
    )


def described(image: Image) -> dict[str, Any]:
    """The columns that people describe an image by."""
    return {
        "visibility": image.visibility.value,
        "owner": image.owner,
        "protected": image.protected,
        "hidden": image.hidden,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
    }


def changing(image: Image) -> dict[str, Any]:
    """The columns that change with an image's state."""
    return {
        "status": image.status.value,
        "updated_at": image.updated_at,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "digest_algorithm": image.digest and image.digest.algorithm,
        "digest_value": image.digest and image.digest.value,
        "store": image.location and image.location.store,
        "key": image.location and image.location.key,
        "stored_at": image.stored_at,
    }


def pin_rows(image: Image) -> list[dict[str, Any]]:
    """The rows of an image's parents."""
    return [
        {
            "image_id": image.id,
            "depth": depth,
            "origin": pin.origin,
            "parent_id": pin.image_id,
            "path": pin.path,
            "name": pin.name,
            "disk_format": pin.disk_format,
            "size": pin.size,
            "virtual_size": pin.virtual_size,
            "checksum": pin.checksum,
            "digest_algorithm": pin.digest.algorithm,
            "digest_value": pin.digest.value,
            "visibility": pin.visibility.value,
            "anonymous": pin.anonymous,
        }
        for depth, pin in enumerate(image.parents, start=1)
    ]
