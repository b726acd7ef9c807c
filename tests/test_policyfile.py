# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.policyfile}.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glancetx.caller import NOBODY, Caller
from glancetx.errors import ConfigError
from glancetx.identity.policy import RULES, Policy, Target
from glancetx.identity.policyfile import OF_GLANCE, read_policy

MEMBER = Caller("u", "p", frozenset({"member", "reader"}))
OWN = Target("p")

GLANCE = """
# A file as Glance's documentation has it.
"default": ""
"context_is_admin": "role:admin"
"add_image": "role:admin or (role:member and project_id:%(project_id)s)"
"get_image": "role:admin or (role:reader and (project_id:%(project_id)s
  or project_id:%(member_id)s or \\"community\\":%(visibility)s
  or 'public':%(visibility)s or \\"shared\\":%(visibility)s))"
"publicize_image": "rule:publishers"
"publishers": "role:admin or role:publisher"
"metadef_default": ""
"get_metadef_namespace": "rule:metadef_default"
"tasks_api_access": "is_admin:True and http://tasks.example.com/%(x)s"
"""


class PolicyFileCase(SynchronousTestCase):
    """Writes policy files."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def read(self, text: str) -> Policy:
        Path(self.path).write_text(dedent(text), encoding="utf-8")
        return read_policy(self.path)

    def assert_refused(self, text: str, key: str, problem: str) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.read(text)
        error = caught.exception
        self.assertEqual((error.source, error.key), (self.path, key))
        self.assertIn(problem, error.problem)


class UsedTests(PolicyFileCase):
    """``read_policy``: rules that are used"""

    def test_none(self) -> None:
        """
        Without a file, or without a rule in it, the built-in rules hold.
        """
        for policy in (read_policy(None), self.read(""), self.read("# nothing\n")):
            self.assertEqual(policy.names, frozenset(RULES))
            self.assertTrue(policy.allows("delete_image", MEMBER, OWN))

    def test_yaml_and_json(self) -> None:
        """
        A rule of the file replaces the built-in one, in either language.
        """
        rules = {"delete_image": "role:admin", "get_leases": "!"}
        for text in ("delete_image: role:admin\nget_leases: '!'", json.dumps(rules)):
            policy = self.read(text)
            self.assertFalse(policy.allows("delete_image", MEMBER, OWN))
            self.assertFalse(policy.allows("get_leases", MEMBER, OWN))
            self.assertTrue(policy.allows("modify_image", MEMBER, OWN))

    def test_of_glance(self) -> None:
        """
        A file that was written for Glance is used, as far as it means something here;
        what does not is named in the log.
        """
        with capturedLogs() as events:
            policy = self.read(GLANCE)
        publisher = Caller("u", "q", frozenset({"publisher"}))
        self.assertTrue(policy.allows("publicize_image", publisher, OWN))
        self.assertTrue(policy.allows("get_image", MEMBER, OWN))
        self.assertFalse(policy.allows("get_image", MEMBER, Target("q")))
        self.assertEqual(policy.names, frozenset(RULES) | {"publishers"})
        (event,) = [
            one for one in events if one["log_namespace"].startswith("glancetx")
        ]
        self.assertEqual(
            event["rules"],
            "default, get_metadef_namespace, metadef_default, tasks_api_access",
        )

    def test_bounds(self) -> None:
        """
        A rule for everybody, as older files for Glance have it, is for everybody whom
        Glance's database would let.
        """
        names = ("get_image", "download_image", "modify_image", "read_public_image")
        policy = self.read("".join(f'{name}: ""\n' for name in names))
        nothing = Caller("u", "q", frozenset({"none"}))
        for target, allowed in (
            (Target("p"), set()),
            (Target("p", None, "public"), {*names} - {"modify_image"}),
            (Target("p", "q", "shared"), {"get_image", "download_image"}),
            (Target("q"), {*names} - {"read_public_image"}),
        ):
            found = {name for name in names if policy.allows(name, nothing, target)}
            self.assertEqual(found, allowed, target)

    def test_nobody(self) -> None:
        """
        No rule lets those who show nothing do more than read public images.
        """
        policy = self.read("".join(f'{name}: "@"\n' for name in RULES))
        for target, allowed in (
            (Target("p"), set()),
            (Target("p", None, "public"), {"read_public_image"}),
        ):
            found = {name for name in RULES if policy.allows(name, NOBODY, target)}
            self.assertEqual(found, allowed)

    def test_referred(self) -> None:
        """
        A rule that another refers to needs not be one that there is.
        """
        policy = self.read(
            """
            delete_image: "rule:a and not rule:b"
            a: "rule:c or role:x"
            b: "user_id:v"
            c: "project_id:p"
            """
        )
        self.assertTrue(policy.allows("delete_image", MEMBER, OWN))
        other = Caller("v", "p", MEMBER.roles)
        self.assertFalse(policy.allows("delete_image", other, OWN))

    def test_default_not_used(self) -> None:
        """
        Glance's rule ``default`` is none for rules that the file does not give.
        """
        policy = self.read('default: "!"')
        self.assertTrue(policy.allows("delete_image", MEMBER, OWN))

    def test_apart(self) -> None:
        """
        No rule of Glance is said to mean nothing that means something.
        """
        self.assertEqual(OF_GLANCE & RULES.keys(), set())


class RefusedTests(PolicyFileCase):
    """``read_policy``: what is refused"""

    def test_file(self) -> None:
        """
        What cannot be read, or is no list of rules, is refused.
        """
        for text, key, problem in (
            ("a: [", "is neither YAML nor JSON", "expected"),
            ("a: b: c", "is neither YAML nor JSON", "not allowed here"),
            ("a\0", "is neither YAML nor JSON", "not allowed"),
            ("[" * 5000, "is neither YAML nor JSON", ""),
            ("- get_image", "rules", "NAME: RULE"),
            ("get_image", "rules", "NAME: RULE"),
        ):
            self.assert_refused(text, key, problem)
        with self.assertRaises(ConfigError) as caught:
            read_policy("/none/policy.yaml")
        self.assertEqual(caught.exception.problem, "No such file or directory")

    def test_rules(self) -> None:
        """
        A rule that would refuse everybody without saying so is named.
        """
        for rule, problem in (
            ("1", "must be a rule in quotes, not 1"),
            ("[['role:admin']]", "must be a rule in quotes"),
            ("", "must be a rule in quotes, not null"),
            ("'role:admin or'", "cannot be understood"),
            ("'(role:admin'", "cannot be understood"),
            ("'admin'", "cannot be understood"),
            ("'role:admin or nobody'", "cannot be understood"),
            ("'role:admin role:member'", "cannot be understood"),
            ("'rule:nothing'", 'there is no rule "nothing"'),
            ("'role:a or http://h/'", "ask another server"),
            ("'https://h/'", "ask another server"),
            ("'is_admin:True'", "looks at the caller's is_admin"),
            ("'tenant:%(tenant)s'", "looks at %(tenant)s"),
            ("'project_id:%(owner)s'", "looks at %(owner)s"),
            ("'not role:%(x)s'", "looks at %(x)s"),
            ("'project_id:%(member_id)d'", "has a % that begins no %(NAME)s"),
            ("'role:100%'", "has a % that begins no %(NAME)s"),
            ("'project_id:%s'", "has a % that begins no %(NAME)s"),
            (f"'{'-' * 3000}1:x'", "looks at the caller's"),
        ):
            self.assert_refused(f"get_image: {rule}", "get_image", problem)

    def test_lawful(self) -> None:
        """
        Whatever says what it means is taken: everybody, nobody, values, lists.
        """
        for rule in ("''", "'@'", "'!'", "'(! or @)'", "roles:x", "True:True", "not !"):
            self.read(
                f"get_image: {rule!r}" if rule[0] != "'" else f"get_image: {rule}"
            )

    def test_unknown(self) -> None:
        """
        A name that is no rule's, and that nothing refers to, is a slip of the pen.
        """
        self.assert_refused("get_imag: '@'", "get_imag", "did you mean get_image?")
        self.assert_refused("1: '@'", "1", "a rule's name is a text")

    def test_circle(self) -> None:
        """
        Rules that refer to each other in a circle are refused.
        """
        self.assert_refused("get_image: 'rule:get_image'", "get_image", "to itself")
        self.assert_refused(
            "get_image: 'rule:a'\na: 'not rule:get_image'", "get_image", "to itself"
        )

    def test_helper(self) -> None:
        """
        What is wrong with a rule that is only referred to is said of that rule.
        """
        self.assert_refused("get_image: 'rule:a'\na: 'x'", "a", "cannot be understood")
