# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.policy}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.caller import ANYONE, NOBODY, Caller
from glancetx.errors import ConfigError
from glancetx.identity.policy import RULES, Policy, Target

MEMBER = frozenset({"member", "reader"})


class NothingTests(SynchronousTestCase):
    """``Policy.allows``: what is not there equals nothing"""

    def setUp(self) -> None:
        self.policy = Policy()

    def allowed(self, caller: Caller, target: Target) -> set[str]:
        """The rules that let a caller do what is not for every member."""
        return {
            name
            for name in RULES
            if self.policy.allows(name, caller, target) and name != "get_images"
        }

    def test_no_project(self) -> None:
        """
        Who speaks for no project owns nothing, and nothing is shared with him.
        """
        for project in (None, "None"):
            caller = Caller("u", project, MEMBER)
            for owner in (None, "p"):
                self.assertEqual(self.allowed(caller, Target(owner)), set())

    def test_not_shared(self) -> None:
        """
        What is shared with nobody is not shared with those who have a project.
        """
        self.assertEqual(self.allowed(Caller("u", "q", MEMBER), Target("p")), set())

    def test_nobody(self) -> None:
        """
        Nobody may do nothing, and with a public image no more than read it.
        """
        self.assertEqual(self.allowed(NOBODY, Target("p")), set())
        self.assertEqual(
            self.allowed(NOBODY, Target("p", None, "public")), {"read_public_image"}
        )

    def test_anyone(self) -> None:
        """
        Where nobody is asked who he is, everyone may do all but what services do.
        """
        allowed = self.allowed(ANYONE, Target("p"))
        needs_more = {"carry_image", "read_public_image"}
        self.assertEqual(set(RULES) - allowed - {"get_images"}, needs_more)


class RulesTests(SynchronousTestCase):
    """``Policy``: its rules"""

    def test_overrides(self) -> None:
        """
        A rule that is given replaces the one of the table, and no other.
        """
        caller, target = Caller("u", "p", MEMBER), Target("p")
        policy = Policy({"delete_image": "!"})
        self.assertFalse(policy.allows("delete_image", caller, target))
        self.assertTrue(policy.allows("modify_image", caller, target))

    def test_refused(self) -> None:
        """
        A rule that is no text, or would ask another server, is refused by name.
        """
        for rule in (1, None, "http://x/y", "role:a or (https://x)"):
            with self.assertRaises(ConfigError) as caught:
                Policy({"get_image": rule}, "p.yaml")  # type: ignore[dict-item]
            error = caught.exception
            self.assertEqual((error.source, error.key), ("p.yaml", "get_image"))
