# Copyright glancetx contributors. See LICENSE for details.

"""
How properties are tested: by many examples, however long one takes.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["untimed"]

untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No example fails because the machine is busy."""
