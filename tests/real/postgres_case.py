# Copyright glancetx contributors. See LICENSE for details.

"""
Catalogues on a real PostgreSQL, for tests.
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import count
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, create_engine, delete, text
from twisted.trial.unittest import TestCase

from glancetx.catalogue import Catalogue
from glancetx.catalogue.db import upgrade
from glancetx.catalogue.schema import metadata, server
from tests.catalogues import CatalogueTestCase, reactor

from .postgres import missing_postgres, shared_postgres

__all__ = ["Emptied", "OnPostgres", "fresh_url", "numbered", "rerun"]

ENGLISH = (
    "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' "
    "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
)
"""Of a database whose own order of texts is another than ours."""


def fresh_url(name: str, options: str = ENGLISH) -> str:
    """The URL of a new database."""
    postgres = shared_postgres()
    postgres.run(f'CREATE DATABASE "{name}" {options}')
    return postgres.url.rpartition("/")[0] + f"/{name}"


_numbers = count(1)


def numbered(options: str = ENGLISH) -> str:
    """The URL of another new database, with any name."""
    return fresh_url(f"case{next(_numbers)}", options)


class Emptied:
    """A database with the catalogue's tables, which tests have one after the other."""

    def __init__(self, name: str) -> None:
        self.url = fresh_url(name)
        upgrade(self.url)
        self._engine: Engine = create_engine(self.url, pool_pre_ping=True)

    def empty(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(text("SET lock_timeout = '5s'"))
            for table in reversed(metadata.sorted_tables):
                if table is not server:
                    connection.execute(delete(table))


@cache
def _shared() -> Emptied:
    return Emptied("emptied")


@cache
def _kept() -> Catalogue:
    return Catalogue(_shared().url, reactor)


class OnPostgres(CatalogueTestCase):
    """To be the first base of tests for catalogues in files."""

    skip = missing_postgres()

    @property
    def url(self) -> str:
        return _shared().url

    async def setUp(self) -> None:  # type: ignore[override]
        _shared().empty()
        self._own: list[Catalogue] = []
        await super().setUp()

    async def open(self, busy_seconds: float = 10.0) -> Catalogue:
        """The first is the one that the test before had: to connect takes its time."""
        if self._own or busy_seconds != 10.0:  # noqa: PLR2004
            return await super().open(busy_seconds)
        kept = _kept()
        if kept._open is None:
            await kept.start()
        self._own.append(kept)
        kept._now = lambda: self.now
        return kept


def rerun(module: ModuleType, *but: str) -> dict[str, type[TestCase]]:
    """
    The tests of a module for catalogues in files, on PostgreSQL.

    :param but: names of classes that are about files.
    """
    home = sys._getframe(1).f_globals["__name__"]
    made: dict[str, type[TestCase]] = {}
    for name, case in vars(module).items():
        mine = isinstance(case, type) and case.__module__ == module.__name__
        if not mine or not issubclass(case, CatalogueTestCase) or name in but:
            continue
        facts: dict[str, Any] = {"__module__": home, "__doc__": case.__doc__}
        short = module.__name__.rpartition("test_catalogue")[2].lstrip("_").title()
        title = f"{short.replace('_', '')}{name}"
        facts["__qualname__"] = title
        made[title] = type(title, (OnPostgres, case), facts)
    return made
