# Copyright glancetx contributors. See LICENSE for details.

"""
The time of day, and how it is written.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["format_time", "utcnow"]


def utcnow() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def format_time(when: datetime) -> str:
    """
    An aware time in UTC, to the second, as the Image API shows it (RFC 3339), e.g.
    ``2026-11-23T10:00:00Z``.
    """
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
