# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.containers`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from glancetx.backends.swift.account import Account
from glancetx.backends.swift.calls import Calls
from glancetx.backends.swift.containers import Containers
from glancetx.backends.swift.names import Names
from glancetx.errors import StoreUnavailable

from .scripted_agent import DoorCase, settings_v1

ALL = [f"c-{number:02x}" for number in range(256)]


class ContainersTests(DoorCase):
    """What is made before it is needed"""

    def setUp(self) -> None:
        super().setUp()
        self.make(None)

    def make(self, policy: str | None) -> None:
        settings = settings_v1()
        account = Account(settings, self.agent, self.tools)
        calls = Calls(account, self.agent, self.tools)
        Deferred.fromCoroutine(account.session())
        self.last.give("token-1")
        self.agent.asked.clear()
        self.containers = Containers(calls, Names("c-"), self.tools, policy)

    def start(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.containers.make_all())

    def need(self, name: str = "c-ab") -> Deferred[None]:
        return Deferred.fromCoroutine(self.containers.need(name))

    def answer_all(self, code: int) -> None:
        """Answer all that comes."""
        number = 0
        while number < len(self.agent.asked):
            asked = self.agent.asked[number]
            if not asked.answered.called:
                asked.answer(code)
            number += 1

    def made(self) -> list[str]:
        """The containers that were asked for."""
        return [
            asked.url.rpartition("/")[2]
            for asked in self.agent.asked
            if asked.method == b"PUT"
        ]

    def test_all(self) -> None:
        """
        All are made that the list does not have, and none is asked for again.
        """
        d = self.start()
        self.assertTrue(self.last.url.endswith("?format=json&limit=1000&prefix=c-"))
        self.last.tell([{"name": name} for name in ALL[:200]])
        self.answer_all(201)
        self.successResultOf(d)
        self.assertEqual(sorted(self.made()), ALL[200:])
        self.successResultOf(self.need(ALL[0]))
        self.successResultOf(self.need(ALL[255]))
        self.assertEqual(len(self.made()), 56)

    def test_none_listed(self) -> None:
        """
        A new account has none, and an answer that is no list tells of none.
        """
        for answer in (b"", b"[1]", b"{}", b"x", b'[{"n": 1}]'):
            self.make(None)
            d = self.start()
            self.last.answer(200, answer)
            self.answer_all(201)
            self.successResultOf(d)
            self.assertEqual(sorted(self.made()), ALL)

    def test_a_few_at_once(self) -> None:
        """
        The first goes alone, to see whether it can be made; then a few go at once.
        """
        self.start()
        self.last.tell([])
        self.assertEqual(len(self.made()), 1)
        self.last.answer(201)
        self.assertEqual(len(self.made()), 5)

    def test_fails(self) -> None:
        """
        What cannot be made now is told in the log, and tried when it is needed.
        """
        with capturedLogs() as events:
            d = self.start()
            self.last.answer(403)
            self.successResultOf(d)
        self.assertIn("cannot be made now", events[-1]["log_format"])
        d = self.need()
        self.last.answer(201)
        self.successResultOf(d)

    def test_policy(self) -> None:
        """
        Each container is asked for with the policy, whatever is listed.
        """
        self.make("gold")
        d = self.start()
        self.answer_all(202)
        self.successResultOf(d)
        self.assertEqual(sorted(self.made()), ALL)
        policies = {asked.header(b"X-Storage-Policy") for asked in self.agent.asked}
        self.assertEqual(policies, {"gold"})

    def test_no_policy(self) -> None:
        """
        Without one the cluster has its own way.
        """
        self.need()
        self.assertIsNone(self.last.header(b"X-Storage-Policy"))

    def test_wrong_policy(self) -> None:
        """
        A policy that is not known, or not the container's, is told by its key; the
        start asks for the first container only.
        """
        for code, problem in ((400, "does not know"), (409, "another")):
            self.make("lead")
            with capturedLogs() as events:
                d = self.start()
                self.answer_all(code)
                self.successResultOf(d)
            self.assertEqual((len(events), len(self.agent.asked)), (1, 1))
            d = self.need()
            self.last.answer(code)
            error: Any = self.failureResultOf(d, StoreUnavailable).value
            self.assertIn(problem, error.reason)
            self.assertIn("stores.main.policy", error.reason)
            self.assertIn("lead", error.reason)
