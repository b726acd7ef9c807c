# Copyright glancetx contributors. See LICENSE for details.

"""
The tables of the catalogue, as the newest migration leaves them.

A test compares them with what the migrations make.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator

__all__ = [
    "Moment",
    "holds",
    "ids",
    "images",
    "intents",
    "leases",
    "members",
    "metadata",
    "pins",
    "processes",
    "properties",
    "server",
    "tags",
]


class Moment(TypeDecorator[datetime]):
    """An aware time, kept in UTC to the microsecond, also where SQL has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Every id that is or was taken: its row outlives the image, so that the primary
#: key itself refuses an id a second time.
ids = Table(
    "ids",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("deleted_at", Moment),
)

#: The lists are read in the order of these indexes. Sorted by anything, a list is a
#: merge of the images of each visibility; one's own are found by their owner. (For
#: PostgreSQL the columns that may be NULL would have to say NULLS FIRST.)
images = Table(
    "images",
    metadata,
    Column("id", String(36), ForeignKey("ids.id"), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("name", Text),
    Column("disk_format", Text),
    Column("container_format", Text),
    Column("min_disk", BigInteger, nullable=False),
    Column("min_ram", BigInteger, nullable=False),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("digest_algorithm", String(16)),
    Column("digest_value", String(128)),
    Column("store", Text),
    Column("key", Text),
    Column("stored_at", Moment),
    Column("owner", Text),
    Column("protected", Boolean, nullable=False, server_default=false()),
    Column("hidden", Boolean, nullable=False, server_default=false()),
    Index(None, "visibility", "hidden", "created_at", "id"),
    Index(None, "visibility", "hidden", "name", "created_at", "id"),
    Index(None, "visibility", "hidden", "status", "created_at", "id"),
    Index(None, "visibility", "hidden", "container_format", "created_at", "id"),
    Index(None, "visibility", "hidden", "disk_format", "created_at", "id"),
    Index(None, "visibility", "hidden", "size", "created_at", "id"),
    Index(None, "visibility", "hidden", "updated_at", "created_at", "id"),
    Index(None, "visibility", "hidden", "id"),
    Index(None, "owner", "visibility", "hidden", "created_at", "id"),
    Index(None, "owner", "visibility", "hidden", "name", "created_at", "id"),
)

properties = Table(
    "properties",
    metadata,
    Column(
        "image_id",
        String(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column(
        "image_id",
        String(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("tag", Text, primary_key=True),
)

#: The projects that an image is shared with.
members = Table(
    "members",
    metadata,
    Column(
        "image_id",
        String(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("project", Text, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index(None, "project", "status", "image_id"),
)

#: The servers whose images are differences to an image here.
leases = Table(
    "leases",
    metadata,
    Column(
        "image_id",
        String(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("holder", String(36), primary_key=True),
    Column("url", Text, nullable=False),
    Column("project", Text),
    Column("until", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
)

#: The leases that this server takes of images on other servers.
holds = Table(
    "holds",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("image_id", String(36), primary_key=True),
    Column("digest_algorithm", String(16), nullable=False),
    Column("digest_value", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("until", Moment),
    Column("problem", Text),
    Column("checked_at", Moment, nullable=False),
)

#: One row: the name by which other servers know the holder of their leases.
server = Table("server", metadata, Column("id", String(36), primary_key=True))

#: The chain of a child without itself; its direct parent has the depth 1.
pins = Table(
    "pins",
    metadata,
    Column(
        "image_id",
        String(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("depth", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text),
    Column("parent_id", String(36), nullable=False),
    Column("path", Text, nullable=False),
    Column("name", Text),
    Column("disk_format", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("digest_algorithm", String(16), nullable=False),
    Column("digest_value", String(128), nullable=False),
    Column("visibility", String(16), nullable=False, server_default="public"),
    Column("anonymous", Boolean, nullable=False, server_default=true()),
    Index(None, "parent_id", "origin"),
)

processes = Table(
    "processes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lock", Text, nullable=False),
    Column("heartbeat", Moment, nullable=False),
)

#: Keys under which a store may hold bytes that no active image has. A row that is
#: not condemned is an upload that may still be committed; one at a time an image.
intents = Table(
    "intents",
    metadata,
    Column("store", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("image_id", String(36), ForeignKey("ids.id"), nullable=False),
    Column("process_id", String(36), ForeignKey("processes.id", ondelete="SET NULL")),
    Column("condemned", Boolean, nullable=False),
    Index(None, "process_id"),
    Index(
        "ix_intents_uploads",
        "image_id",
        unique=True,
        sqlite_where=text("NOT condemned"),
        postgresql_where=text("NOT condemned"),
    ),
)
