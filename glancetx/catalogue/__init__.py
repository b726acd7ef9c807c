# Copyright glancetx contributors. See LICENSE for details.

"""
Image records in SQL: SQLAlchemy Core in threads, migrations by Alembic.
"""

from .catalogue import Catalogue, utcnow
from .holds import Hold
from .intents import Intent
from .listing import Query
from .processes import Process

__all__ = ["Catalogue", "Hold", "Intent", "Process", "Query", "utcnow"]
