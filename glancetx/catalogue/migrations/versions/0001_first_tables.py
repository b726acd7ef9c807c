# Copyright glancetx contributors. See LICENSE for details.

"""
The first tables: images, their chains, and what unfinished uploads may leave.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

Moment = sa.DateTime(timezone=True)
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def short(length: int) -> sa.types.TypeEngine[str]:
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


def upgrade() -> None:
    _make_images()
    _make_pins()
    _make_intents()


def downgrade() -> None:
    for table in ("intents", "processes", "pins", "properties", "images", "ids"):
        op.drop_table(table)


def _make_images() -> None:
    op.create_table(
        "ids",
        sa.Column("id", short(36), nullable=False),
        sa.Column("deleted_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_ids"),
    )
    op.create_table(
        "images",
        sa.Column("id", short(36), nullable=False),
        sa.Column("status", short(16), nullable=False),
        sa.Column("visibility", short(16), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("name", Words),
        sa.Column("disk_format", Words),
        sa.Column("container_format", Words),
        sa.Column("min_disk", sa.BigInteger, nullable=False),
        sa.Column("min_ram", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("virtual_size", sa.BigInteger),
        sa.Column("checksum", short(32)),
        sa.Column("digest_algorithm", short(16)),
        sa.Column("digest_value", short(128)),
        sa.Column("store", Words),
        sa.Column("key", Words),
        sa.Column("stored_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.ForeignKeyConstraint(["id"], ["ids.id"], name="fk_images_id"),
    )
    op.create_index("ix_images_created_at_id", "images", ["created_at", "id"])
    op.create_index(
        "ix_images_name_created_at_id", "images", ["name", "created_at", "id"]
    )
    op.create_table(
        "properties",
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("value", Words, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "name", name="pk_properties"),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name="fk_properties_image_id",
            ondelete="CASCADE",
        ),
    )


def _make_pins() -> None:
    op.create_table(
        "pins",
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("depth", sa.Integer, nullable=False),
        sa.Column("origin", Words),
        sa.Column("parent_id", short(36), nullable=False),
        sa.Column("path", Words, nullable=False),
        sa.Column("name", Words),
        sa.Column("disk_format", Words, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("virtual_size", sa.BigInteger),
        sa.Column("checksum", short(32)),
        sa.Column("digest_algorithm", short(16), nullable=False),
        sa.Column("digest_value", short(128), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "depth", name="pk_pins"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_pins_image_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_pins_parent_id_origin", "pins", ["parent_id", "origin"])


def _make_intents() -> None:
    op.create_table(
        "processes",
        sa.Column("id", short(36), nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("lock", Words, nullable=False),
        sa.Column("heartbeat", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )
    op.create_table(
        "intents",
        sa.Column("store", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("process_id", short(36)),
        sa.Column("condemned", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("store", "key", name="pk_intents"),
        sa.ForeignKeyConstraint(["image_id"], ["ids.id"], name="fk_intents_image_id"),
        sa.ForeignKeyConstraint(
            ["process_id"],
            ["processes.id"],
            name="fk_intents_process_id",
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_intents_process_id", "intents", ["process_id"])
    op.create_index(
        "ix_intents_uploads",
        "intents",
        ["image_id"],
        unique=True,
        sqlite_where=sa.text("NOT condemned"),
        postgresql_where=sa.text("NOT condemned"),
    )
