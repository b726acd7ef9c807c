# Copyright glancetx contributors. See LICENSE for details.

"""
The tests of the catalogue, each once more on a real PostgreSQL.
"""

from __future__ import annotations

from glancetx.image import Image
from tests import (
    test_catalogue,
    test_catalogue_change,
    test_catalogue_holds,
    test_catalogue_intents,
    test_catalogue_leases,
    test_catalogue_list,
    test_catalogue_members,
    test_catalogue_races,
    test_catalogue_sorting,
    test_catalogue_views,
)

from .postgres_case import OnPostgres, rerun

globals().update(
    rerun(test_catalogue)
    | rerun(test_catalogue_change)
    | rerun(test_catalogue_holds)
    | rerun(test_catalogue_intents)
    | rerun(test_catalogue_leases)
    | rerun(test_catalogue_list)
    | rerun(test_catalogue_members)
    | rerun(test_catalogue_races, "RaceTests")
    | rerun(test_catalogue_views)
)


class RaceTests(OnPostgres, test_catalogue_races.RaceTests):
    """Two servers, each with connections of its own, on one database."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(test_catalogue_races, "ROUNDS", 20)
        await super().setUp()


class SortTests(OnPostgres, test_catalogue_sorting.SortTests):
    """``list``: the order"""

    async def fill(self, count: int) -> list[Image]:
        """Fewer: each is in many lists, and a list of all takes its time."""
        return await super().fill(count // 4)
