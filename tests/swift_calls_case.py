# Copyright glancetx contributors. See LICENSE for details.

"""
A test case that has Swift's calls, and an agent that answers as it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from glancetx.backends.swift.account import Account
from glancetx.backends.swift.calls import Calls, Response
from glancetx.errors import StoreUnavailable

from .scripted_agent import DoorCase, Request, settings_v1

__all__ = ["PROXIES", "ROOT", "CallsCase"]

PROXIES = ["http://a", "http://b"]
ROOT = "/v1/AUTH_t"


class CallsCase(DoorCase):
    """Has a door to two proxies, and a token."""

    def setUp(self) -> None:
        super().setUp()
        self.make()

    def make(self, **more: Any) -> None:
        self.agent.asked.clear()
        settings = settings_v1(**{"proxies": PROXIES, **more})
        account = Account(settings, self.agent, self.tools)
        self.calls = Calls(account, self.agent, self.tools, lambda: 0.5)
        Deferred.fromCoroutine(account.session())
        self.last.give("token-1")
        self.agent.asked.clear()

    def request(
        self, method: bytes = b"GET", path: str = "c/o", **more: Any
    ) -> Deferred[Response]:
        more = {"expect": (200, 201), **more}
        return Deferred.fromCoroutine(self.calls.request(method, path, **more))

    def unavailable(self, d: Deferred[Any]) -> str:
        error: Any = self.failureResultOf(d, StoreUnavailable).value
        self.assertEqual(error.store, "main")
        for word in ("http", "token-", "example", "c/o"):
            self.assertNotIn(word, error.reason)
        return str(error.reason)

    def hosts(self) -> list[str]:
        return [url.split("/")[2] for url in self.urls]

    def each(self, react: Callable[[Request], object], times: int = 5) -> None:
        """React to a request and to what is sent for it again."""
        for number in range(times):
            self.assertEqual(len(self.agent.asked), number + 1)
            react(self.last)
            self.clock.advance(10)
