# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.tempurl`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred

from glancetx.backends.swift.account import Account
from glancetx.backends.swift.backend import SwiftBackend
from glancetx.backends.swift.calls import Calls
from glancetx.backends.swift.tempurl import sign
from glancetx.interfaces import ILocatedPiece

from .scripted_agent import DoorCase, settings_v1

KEY = "ab" + "0" * 30
ACCOUNT = "http://a/v1/AUTH_t"


class SignTests(DoorCase):
    """A signed URL"""

    def sign(self, now: float, **more: Any) -> str:
        return sign(
            ACCOUNT, "c/a b", more.get("key", "k"), more.get("seconds", 300), now
        )

    def test_form(self) -> None:
        """
        It is what Swift computes, for the path without quotes.
        """
        self.assertEqual(
            self.sign(0),
            "http://a/v1/AUTH_t/c/a%20b?temp_url_sig="
            "21cee99b0bfc5f3f778e7c1d19c8ceed6d9d303c9b04af692eba2f08018a9376&temp_url_expires=600",
        )

    def test_same_for_a_while(self) -> None:
        """
        For five minutes it is the same, so that it can be cached.
        """
        self.assertEqual(self.sign(600), self.sign(899.9))
        self.assertNotEqual(self.sign(600), self.sign(900))

    def test_ends(self) -> None:
        """
        It is good for so long at least, and for five minutes more at most.
        """
        for now in (0, 1, 299, 300, 1234567):
            (ends,) = parse_qs(urlsplit(self.sign(now)).query)["temp_url_expires"]
            self.assertTrue(now + 300 < int(ends) <= now + 600)

    def test_key(self) -> None:
        """
        Another key makes another URL, and stands in none.
        """
        self.assertNotEqual(self.sign(0), self.sign(0, key="a-long-key"))
        self.assertNotIn("a-long-key", self.sign(0, key="a-long-key"))


class LocationTests(DoorCase):
    """Where a piece is"""

    def backend(self, **more: Any) -> SwiftBackend:
        settings = settings_v1(proxies=["http://a", "http://b"], **more)
        account = Account(settings, self.agent, self.tools)
        self.calls = Calls(account, self.agent, self.tools)
        return SwiftBackend(self.calls, settings, self.tools)

    def location(self) -> Deferred[str | None]:
        backend = self.backend(tempurl_redirect=True, tempurl_key="k")
        piece: Any = backend.piece(KEY, 5)
        found: Deferred[str | None] = piece.location()
        return found

    def test_not_asked_for(self) -> None:
        """
        Without ``tempurl_redirect`` nobody is sent anywhere.
        """
        piece = self.backend(tempurl_key="k").piece(KEY, 5)
        self.assertFalse(ILocatedPiece.providedBy(piece))

    def test_where(self) -> None:
        """
        The URL is that of the object at a proxy, and has no token.
        """
        d = self.location()
        self.last.give("token-1")
        found = self.successResultOf(d) or ""
        self.assertTrue(found.startswith(f"{ACCOUNT}/glancetx-ab/{KEY}?temp_url_sig="))
        self.assertNotIn("token-1", found)

    def test_dead_proxy(self) -> None:
        """
        Nobody is sent to a proxy that does not answer.
        """
        d = self.location()
        for _ in range(3):
            self.calls.circuits.failed(ACCOUNT, "it is gone")
        self.last.give("token-1")
        self.assertTrue((self.successResultOf(d) or "").startswith("http://b/"))

    def test_none(self) -> None:
        """
        Without an account there is no URL.
        """
        d = self.location()
        self.last.answer(401)
        self.assertIsNone(self.successResultOf(d))
