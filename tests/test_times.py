# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.times`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from twisted.trial.unittest import SynchronousTestCase

from glancetx.times import format_time, utcnow


class TimesTests(SynchronousTestCase):
    """``utcnow`` and ``format_time``"""

    def test_now(self) -> None:
        """
        The time now is aware, and in UTC.
        """
        before = datetime.now(UTC)
        now = utcnow()
        self.assertTrue(before <= now <= datetime.now(UTC))
        self.assertIs(now.tzinfo, UTC)

    def test_written(self) -> None:
        """
        A time is written in UTC, whatever its zone, and without parts of a second.
        """
        east = timezone(timedelta(hours=2))
        for when in (
            datetime(2026, 11, 23, 10, 0, 7, 999_999, UTC),
            datetime(2026, 11, 23, 12, 0, 7, tzinfo=east),
        ):
            self.assertEqual(format_time(when), "2026-11-23T10:00:07Z")
