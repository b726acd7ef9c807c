# Copyright glancetx contributors. See LICENSE for details.

"""
Catalogues with many images, made without a server.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import create_engine, insert

from glancetx.catalogue import schema
from glancetx.catalogue.db import upgrade

__all__ = ["fill"]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def fill(folder: Path, count: int, first_id: str) -> None:
    """
    Make the catalogue of a server that was not started yet.

    :param folder: the server's, to be made.
    :param first_id: the id of its first image; the others have random ones.
    """
    folder.mkdir()
    url = f"sqlite:///{folder / 'catalogue.sqlite'}"
    upgrade(url)
    rows = [
        _row(first_id if number == 0 else str(uuid4()), number)
        for number in range(count)
    ]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(schema.ids), [{"id": row["id"]} for row in rows])
        connection.execute(insert(schema.images), rows)
        connection.execute(
            insert(schema.properties),
            [
                {"image_id": row["id"], "name": "os_distro", "value": "debian"}
                for row in rows
            ],
        )
    engine.dispose()


def _row(image_id: str, number: int) -> dict[str, Any]:
    when = BEGIN + timedelta(seconds=number)
    return {
        "id": image_id,
        "status": "active",
        "visibility": "public",
        "created_at": when,
        "updated_at": when,
        "name": f"image {number:06}",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "size": 1024,
        "checksum": f"{number:032x}",
        "digest_algorithm": "sha256",
        "digest_value": f"{number:064x}",
        "store": "main",
        "key": f"{number:032x}",
        "stored_at": when,
        "owner": f"project-{number % 50}",
        "protected": False,
        "hidden": False,
    }
