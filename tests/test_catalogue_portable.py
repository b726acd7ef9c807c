# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of what PostgreSQL is told, without one; those with one are in ``tests/real``.
"""

from __future__ import annotations

from itertools import product

from sqlalchemy import ClauseElement, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from twisted.trial.unittest import SynchronousTestCase

from glancetx.catalogue import SORT_KEYS, Query
from glancetx.catalogue.images import _LOCK
from glancetx.catalogue.listing import page_of
from glancetx.catalogue.pages import keys_of
from glancetx.catalogue.schema import metadata


def told(element: ClauseElement) -> str:
    """What PostgreSQL is told."""
    return str(element.compile(dialect=postgresql.dialect()))


class PostgresTests(SynchronousTestCase):
    """Statements for PostgreSQL."""

    def test_tables(self) -> None:
        """
        All tables and indexes can be made; no name is too long.
        """
        for table in metadata.sorted_tables:
            self.assertIn(f"CREATE TABLE {table.name}", told(CreateTable(table)))
            for index in table.indexes:
                self.assertIn(f" ON {table.name} ", told(CreateIndex(index)))

    def test_find(self) -> None:
        """
        An image comes with all that belongs to it, and only its own row is locked.
        """
        statement = told(_LOCK)
        self.assertEqual(statement.count("json_agg(json_build_array("), 3)
        self.assertTrue(statement.endswith("FOR UPDATE OF images"))

    def test_pages(self) -> None:
        """
        No page names an index; what may have no value is told where to go then.
        """
        for key, descending in product(SORT_KEYS, (False, True)):
            query = Query(project="p", admin=False, sort=((key, descending),))
            page = page_of(query, keys_of(query), true())
            assert page is not None
            statement = told(page)
            self.assertNotIn("INDEXED BY", statement)
            nullable = key in ("name", "size", "disk_format", "container_format")
            self.assertEqual(statement.count(" NULLS "), int(nullable), key)
