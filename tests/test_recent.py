# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.recent`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glancetx.identity.recent import Recent


class RecentTests(SynchronousTestCase):
    """``Recent``"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.recent: Recent[str] = Recent(2, self.clock)

    def test_time(self) -> None:
        """
        An answer is given until its time is over, and then forgotten.
        """
        self.recent.put(b"a", "A", 10)
        self.clock.advance(9.9)
        self.assertEqual(self.recent.get(b"a"), "A")
        self.clock.advance(0.1)
        self.assertIsNone(self.recent.get(b"a"))
        self.assertEqual(len(self.recent), 0)

    def test_over(self) -> None:
        """
        What is over when it comes takes nobody's place.
        """
        self.recent.put(b"a", "A", 10)
        self.recent.put(b"b", "B", 10)
        self.recent.put(b"c", "C", 0)
        self.assertEqual(self.recent.get(b"a"), "A")
        self.assertIsNone(self.recent.get(b"c"))

    def test_replaced(self) -> None:
        """
        A newer answer replaces the older.
        """
        self.recent.put(b"a", "A", 10)
        self.recent.put(b"a", "B", 20)
        self.clock.advance(10)
        self.assertEqual(self.recent.get(b"a"), "B")

    def test_bound(self) -> None:
        """
        What was wanted least lately goes first.
        """
        self.recent.put(b"a", "A", 10)
        self.recent.put(b"b", "B", 10)
        self.recent.get(b"a")
        self.recent.put(b"c", "C", 10)
        self.assertIsNone(self.recent.get(b"b"))
        self.assertEqual(self.recent.get(b"a"), "A")
        self.recent.put(b"c", "D", 10)
        self.recent.put(b"d", "D", 10)
        self.assertIsNone(self.recent.get(b"a"))
        self.assertEqual(len(self.recent), 2)
