# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.circuits`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.swift.circuits import Circuits


class CircuitsTests(SynchronousTestCase):
    """Which server is asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.circuits = Circuits(self.clock, Logger("testing"))

    def choose(self, *servers: str, failed: str = "") -> str | None:
        return self.circuits.choose([servers], failed)

    def let_fail(self, server: str, times: int = 3) -> None:
        for _ in range(times):
            self.circuits.failed(server, "it is gone")

    def test_in_turn(self) -> None:
        """
        Servers are asked in turn.
        """
        chosen = [self.choose("a", "b", "c") for _ in range(5)]
        self.assertEqual(chosen, ["a", "b", "c", "a", "b"])

    def test_failed(self) -> None:
        """
        What failed with the same request is asked last, the latest behind all others.
        """
        for _ in range(3):
            self.assertEqual(self.choose("a", "b", "c", failed="ab"), "c")
            self.assertEqual(self.choose("a", "b", "c", failed="acb"), "a")
            self.assertEqual(self.choose("a", "b", "c", failed="abca"), "b")
            self.assertEqual(self.choose("a", failed="aa"), "a")

    def test_none(self) -> None:
        """
        Where there are no servers none is chosen.
        """
        self.assertIsNone(self.choose())

    def test_opens(self) -> None:
        """
        After three failures in a row a server is not asked; the log says so, once.
        """
        self.let_fail("a", 2)
        self.circuits.worked("a")
        with capturedLogs() as events:
            self.let_fail("a", 2)
            self.assertIn("a", [self.choose("a", "b") for _ in range(2)])
            self.let_fail("a", 2)
        self.assertEqual([event["server"] for event in events], ["a"])
        self.assertEqual({self.choose("a", "b") for _ in range(4)}, {"b"})
        self.assertIsNone(self.choose("a"))

    def test_half_open(self) -> None:
        """
        After a while one request is let through, and the others wait what becomes of
        it.
        """
        self.let_fail("a")
        self.clock.advance(14.9)
        self.assertIsNone(self.choose("a"))
        self.clock.advance(0.1)
        self.assertEqual(self.choose("a"), "a")
        self.assertTrue(self.circuits.half_open("a"))
        self.assertIsNone(self.choose("a"))

    def test_fails_again(self) -> None:
        """
        If it fails, nobody is let through for another while.
        """
        self.let_fail("a")
        self.clock.advance(15)
        self.choose("a")
        self.let_fail("a", 1)
        self.clock.advance(14.9)
        self.assertIsNone(self.choose("a"))
        self.clock.advance(0.1)
        self.assertEqual(self.choose("a"), "a")

    def test_closes(self) -> None:
        """
        If it is answered, all are; the log says so, and counting begins anew.
        """
        self.let_fail("a")
        self.clock.advance(15)
        self.choose("a")
        with capturedLogs() as events:
            self.circuits.worked("a")
        self.assertEqual([event["server"] for event in events], ["a"])
        self.assertFalse(self.circuits.half_open("a"))
        self.let_fail("a", 2)
        self.assertEqual({self.choose("a") for _ in range(3)}, {"a"})

    def test_left(self) -> None:
        """
        A request that nobody waits for any more makes room for the next.
        """
        self.let_fail("a")
        self.clock.advance(15)
        self.choose("a")
        self.circuits.left("a")
        self.assertEqual(self.choose("a"), "a")

    def test_tried_beside_others(self) -> None:
        """
        A server that may be back is tried though others work, but not with what
        cannot be sent again.
        """
        self.let_fail("a")
        self.clock.advance(15)
        servers = [["a", "b"]]
        careful = {self.circuits.choose(servers, careful=True) for _ in range(3)}
        self.assertEqual(careful, {"b"})
        self.assertEqual([self.choose("a", "b") for _ in range(3)], ["a", "b", "b"])

    def test_carefully_alone(self) -> None:
        """
        What cannot be sent again goes there if nothing else is left.
        """
        self.let_fail("a")
        self.clock.advance(15)
        self.assertEqual(self.circuits.choose([["a"]], careful=True), "a")

    def test_groups(self) -> None:
        """
        The second group is for when none of the first can be asked.
        """
        groups = [["a", "b"], ["c"]]
        self.assertEqual({self.circuits.choose(groups) for _ in range(4)}, {"a", "b"})
        self.let_fail("a")
        self.let_fail("b")
        self.assertEqual(self.circuits.choose(groups), "c")

    def test_group_failed(self) -> None:
        """
        The second group is asked, too, when all of the first failed.
        """
        groups = [["a", "b"], ["c"]]
        self.assertEqual(self.circuits.choose(groups, "a"), "b")
        self.assertEqual(self.circuits.choose(groups, "ba"), "c")
        self.assertEqual(self.circuits.choose(groups, "bac"), "b")
