# Copyright glancetx contributors. See LICENSE for details.

"""
Image records in SQL: SQLAlchemy Core in threads, migrations by Alembic.
"""

from .catalogue import Catalogue
from .holds import Hold
from .intents import Intent
from .processes import Process
from .query import SORT_KEYS, Query, TimeFilter

__all__ = [
    "SORT_KEYS",
    "Catalogue",
    "Hold",
    "Intent",
    "Process",
    "Query",
    "TimeFilter",
]
