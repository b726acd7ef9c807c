# Copyright glancetx contributors. See LICENSE for details.

"""
The tables of the catalogue, as the newest migration leaves them.

A test compares them with what the migrations make.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    false,
    text,
    true,
)

from .kinds import EMPTY_FIRST, Moment, short, words

__all__ = [
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
    Column("id", short(36), primary_key=True),
    Column("deleted_at", Moment),
)

#: The lists are read in the order of these indexes. Sorted by anything, a list is a
#: merge of the images of each visibility; one's own are found by their owner.
images = Table(
    "images",
    metadata,
    Column("id", short(36), ForeignKey("ids.id"), primary_key=True),
    Column("status", short(16), nullable=False),
    Column("visibility", short(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("name", words()),
    Column("disk_format", words()),
    Column("container_format", words()),
    Column("min_disk", BigInteger, nullable=False),
    Column("min_ram", BigInteger, nullable=False),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", short(32)),
    Column("digest_algorithm", short(16)),
    Column("digest_value", short(128)),
    Column("store", words()),
    Column("key", words()),
    Column("stored_at", Moment),
    Column("owner", words()),
    Column("protected", Boolean, nullable=False, server_default=false()),
    Column("hidden", Boolean, nullable=False, server_default=false()),
    *(
        Index(None, *columns, "id", **EMPTY_FIRST)
        for columns in (
            ("visibility", "hidden", "created_at"),
            ("visibility", "hidden", "name", "created_at"),
            ("visibility", "hidden", "status", "created_at"),
            ("visibility", "hidden", "container_format", "created_at"),
            ("visibility", "hidden", "disk_format", "created_at"),
            ("visibility", "hidden", "size", "created_at"),
            ("visibility", "hidden", "updated_at", "created_at"),
            ("visibility", "hidden"),
            ("owner", "visibility", "hidden", "created_at"),
            ("owner", "visibility", "hidden", "name", "created_at"),
        )
    ),
)

properties = Table(
    "properties",
    metadata,
    Column(
        "image_id",
        short(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("name", words(), primary_key=True),
    Column("value", words(), nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column(
        "image_id",
        short(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("tag", words(), primary_key=True),
)

#: The projects that an image is shared with.
members = Table(
    "members",
    metadata,
    Column(
        "image_id",
        short(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("project", words(), primary_key=True),
    Column("status", short(16), nullable=False),
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
        short(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("holder", short(36), primary_key=True),
    Column("url", words(), nullable=False),
    Column("project", words()),
    Column("until", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
)

#: The leases that this server takes of images on other servers.
holds = Table(
    "holds",
    metadata,
    Column("origin", words(), primary_key=True),
    Column("image_id", short(36), primary_key=True),
    Column("digest_algorithm", short(16), nullable=False),
    Column("digest_value", short(128), nullable=False),
    Column("state", short(16), nullable=False),
    Column("until", Moment),
    Column("problem", words()),
    Column("checked_at", Moment, nullable=False),
)

#: One row: the name by which other servers know the holder of their leases.
server = Table("server", metadata, Column("id", short(36), primary_key=True))

#: The chain of a child without itself; its direct parent has the depth 1.
pins = Table(
    "pins",
    metadata,
    Column(
        "image_id",
        short(36),
        ForeignKey("images.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("depth", Integer, primary_key=True, autoincrement=False),
    Column("origin", words()),
    Column("parent_id", short(36), nullable=False),
    Column("path", words(), nullable=False),
    Column("name", words()),
    Column("disk_format", words(), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("virtual_size", BigInteger),
    Column("checksum", short(32)),
    Column("digest_algorithm", short(16), nullable=False),
    Column("digest_value", short(128), nullable=False),
    Column("visibility", short(16), nullable=False, server_default="public"),
    Column("anonymous", Boolean, nullable=False, server_default=true()),
    Index(None, "parent_id", "origin"),
)

processes = Table(
    "processes",
    metadata,
    Column("id", short(36), primary_key=True),
    Column("host", words(), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lock", words(), nullable=False),
    Column("heartbeat", Moment, nullable=False),
)

#: Keys under which a store may hold bytes that no active image has. A row that is
#: not condemned is an upload that may still be committed; one at a time an image.
intents = Table(
    "intents",
    metadata,
    Column("store", words(), primary_key=True),
    Column("key", words(), primary_key=True),
    Column("image_id", short(36), ForeignKey("ids.id"), nullable=False),
    Column("process_id", short(36), ForeignKey("processes.id", ondelete="SET NULL")),
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
