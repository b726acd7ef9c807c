# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.keystone_login`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from glancetx.keystone_login import (
    LONGEST_TOKEN,
    by_application,
    by_password,
    is_token,
    read_moment,
    tokens_url,
)


class LoginTests(SynchronousTestCase):
    """What is sent to Keystone, and read of its answers"""

    def test_url(self) -> None:
        """
        The URL may end in ``/v3``, in a slash, or in neither.
        """
        for url in ("http://k", "http://k/", "http://k/v3", "http://k/v3/"):
            self.assertEqual(tokens_url(url), "http://k/v3/auth/tokens")

    def test_application(self) -> None:
        """
        An application credential needs no scope.
        """
        expected = {
            "methods": ["application_credential"],
            "application_credential": {"id": "a", "secret": "b"},
        }
        self.assertEqual(by_application("a", "b"), {"identity": expected})

    def test_password(self) -> None:
        """
        A user has a domain, and so has the project.
        """
        found = by_password("u", "ud", "pw", "p", "pd")
        user = {"name": "u", "domain": {"name": "ud"}, "password": "pw"}
        self.assertEqual(
            found["identity"], {"methods": ["password"], "password": {"user": user}}
        )
        project = {"name": "p", "domain": {"name": "pd"}}
        self.assertEqual(found["scope"], {"project": project})

    def test_token(self) -> None:
        """
        A token can stand in a header, and is not without end.
        """
        self.assertTrue(is_token("x" * LONGEST_TOKEN))
        for text in ("", "a b", "a\n", "ä", "x" * (LONGEST_TOKEN + 1)):
            self.assertFalse(is_token(text))

    def test_moment(self) -> None:
        """
        A time has a zone.
        """
        found = read_moment({"at": "2026-11-23T10:00:00.000000Z"}, "at")
        self.assertEqual(found, datetime(2026, 11, 23, 10, tzinfo=UTC))
        for value in (None, "", 5, "soon", "2026-11-23T10:00:00", "2" * 300):
            self.assertRaises(ValueError, read_moment, {"at": value}, "at")
