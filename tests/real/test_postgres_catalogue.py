# Copyright glancetx contributors. See LICENSE for details.

"""
The tests of the catalogue, each once more on a real PostgreSQL.
"""

from __future__ import annotations

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

from .postgres_case import rerun

globals().update(
    rerun(test_catalogue)
    | rerun(test_catalogue_change)
    | rerun(test_catalogue_holds)
    | rerun(test_catalogue_intents)
    | rerun(test_catalogue_leases)
    | rerun(test_catalogue_list)
    | rerun(test_catalogue_members)
    | rerun(test_catalogue_races)
    | rerun(test_catalogue_sorting)
    | rerun(test_catalogue_views)
)
