# Copyright glancetx contributors. See LICENSE for details.

"""
Identities: owners, tags, members, leases, and the indexes of lists that know viewers.

Columns are added in place. SQLite would have Alembic copy a table and drop the old
one, and that would delete every row that refers to it.
"""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Moment = sa.DateTime(timezone=True)
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def short(length: int) -> sa.types.TypeEngine[str]:
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


OLD_INDEXES: tuple[tuple[str, ...], ...] = (
    ("created_at", "id"),
    ("name", "created_at", "id"),
)
SORTED = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "updated_at",
)
SEEN = ("visibility", "hidden")
#: PostgreSQL would put what has no value last, where no list has it.
EMPTY_FIRST = dict.fromkeys(
    ("name", "container_format", "disk_format", "size"), "NULLS FIRST"
)
NEW_INDEXES = (
    (*SEEN, "created_at", "id"),
    *((*SEEN, key, "created_at", "id") for key in SORTED),
    (*SEEN, "id"),
    ("owner", *SEEN, "created_at", "id"),
    ("owner", *SEEN, "name", "created_at", "id"),
)


def upgrade() -> None:
    _widen_images()
    _widen_pins()
    _make_sides()
    _make_leases()
    _name_server()


def downgrade() -> None:
    for table in ("server", "holds", "leases", "members", "tags"):
        op.drop_table(table)
    for column in ("anonymous", "visibility"):
        op.drop_column("pins", column)
    for columns in NEW_INDEXES:
        op.drop_index(_index(columns), "images")
    for column in ("hidden", "protected", "owner"):
        op.drop_column("images", column)
    for columns in OLD_INDEXES:
        op.create_index(_index(columns), "images", list(columns))


def _index(columns: tuple[str, ...]) -> str:
    return "_".join(("ix_images", *columns))


def _widen_images() -> None:
    op.add_column("images", sa.Column("owner", Words))
    for name in ("protected", "hidden"):
        flag = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("images", flag)
    for columns in OLD_INDEXES:
        op.drop_index(_index(columns), "images")
    for columns in NEW_INDEXES:
        op.create_index(
            _index(columns), "images", list(columns), postgresql_ops=EMPTY_FIRST
        )


def _widen_pins() -> None:
    """Pins of this server's images: who may read them is not known to be anyone."""
    op.add_column(
        "pins",
        sa.Column("visibility", short(16), nullable=False, server_default="public"),
    )
    op.add_column(
        "pins",
        sa.Column("anonymous", sa.Boolean, nullable=False, server_default=sa.true()),
    )
    pins = sa.table(
        "pins",
        sa.column("origin", Words),
        sa.column("visibility", sa.String),
        sa.column("anonymous", sa.Boolean),
    )
    op.execute(
        sa.update(pins)
        .where(pins.c.origin.is_(None))
        .values(visibility="private", anonymous=sa.false())
    )


def _make_sides() -> None:
    op.create_table(
        "tags",
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("tag", Words, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "tag", name="pk_tags"),
        _of_image("tags"),
    )
    op.create_table(
        "members",
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("project", Words, nullable=False),
        sa.Column("status", short(16), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "project", name="pk_members"),
        _of_image("members"),
    )
    columns = ["project", "status", "image_id"]
    op.create_index("_".join(("ix_members", *columns)), "members", columns)


def _make_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("holder", short(36), nullable=False),
        sa.Column("url", Words, nullable=False),
        sa.Column("project", Words),
        sa.Column("until", Moment, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "holder", name="pk_leases"),
        _of_image("leases"),
    )
    op.create_table(
        "holds",
        sa.Column("origin", Words, nullable=False),
        sa.Column("image_id", short(36), nullable=False),
        sa.Column("digest_algorithm", short(16), nullable=False),
        sa.Column("digest_value", short(128), nullable=False),
        sa.Column("state", short(16), nullable=False),
        sa.Column("until", Moment),
        sa.Column("problem", Words),
        sa.Column("checked_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("origin", "image_id", name="pk_holds"),
    )


def _name_server() -> None:
    table = op.create_table(
        "server",
        sa.Column("id", short(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_server"),
    )
    op.execute(sa.insert(table).values(id=str(uuid4())))


def _of_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image_id"], ["images.id"], name=f"fk_{table}_image_id", ondelete="CASCADE"
    )
