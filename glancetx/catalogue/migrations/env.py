# Copyright glancetx contributors. See LICENSE for details.

"""
Run by Alembic for each migration; the connection comes from ``catalogue.db``.
"""

from __future__ import annotations

from alembic import context

from glancetx.catalogue.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata
)
with context.begin_transaction():
    context.run_migrations()
