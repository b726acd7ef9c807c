# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.tokens}.
"""

from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from glancetx.caller import NOBODY, Caller
from glancetx.errors import ConfigError, NotAuthenticated
from glancetx.identity.tokenfile import add_token, revoke_token, secret_digest
from glancetx.identity.tokens import Tokens, with_implied
from glancetx.interfaces import Credentials, IIdentity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNKNOWN = f"gtx_{'0' * 16}_{'1' * 64}"


class TokensCase(SynchronousTestCase):
    """Has a file with one token, and a clock."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.now = NOW
        self.text = self.add("alice")
        self.tokens = Tokens(self.path, lambda: self.now)

    def add(
        self, user: str, roles: tuple[str, ...] = ("member",), days: int | None = None
    ) -> str:
        expires = None if days is None else NOW + timedelta(days)
        return add_token(self.path, user, "demo", roles, expires, NOW).text

    def identify(self, token: str | None, **more: str) -> Caller:
        asked = self.tokens.identify(Credentials(token, **more))
        return self.successResultOf(Deferred.fromCoroutine(_await(asked)))

    def refused(self, token: str) -> str:
        """Why a token is refused."""
        asked = self.tokens.identify(Credentials(token))
        failed = self.failureResultOf(
            Deferred.fromCoroutine(_await(asked)), NotAuthenticated
        )
        return str(failed.value)


async def _await(asked: object) -> Caller:
    return await asked  # type: ignore[misc,no-any-return]


class IdentifyTests(TokensCase):
    """``Tokens.identify``"""

    def test_interface(self) -> None:
        """
        It is what a server asks for identities.
        """
        verifyObject(IIdentity, self.tokens)
        self.assertEqual(self.tokens.challenge, b'Bearer realm="glancetx"')

    def test_known(self) -> None:
        """
        Who shows a token of the file is its user, in its project, with its roles.
        """
        caller = self.identify(self.text)
        self.assertEqual(
            caller, Caller("alice", "demo", frozenset({"member", "reader"}))
        )
        self.assertTrue(caller.is_known)

    def test_not_passed_on(self) -> None:
        """
        No origin shares these identities, so none is ever shown the token.
        """
        self.assertIsNone(self.identify(self.text).token)
        own = Deferred.fromCoroutine(self.tokens.own_token())
        self.assertIsNone(self.successResultOf(own))

    def test_nobody(self) -> None:
        """
        Who shows no token is nobody, whatever else he shows.
        """
        self.assertEqual(self.identify(None), NOBODY)
        self.assertEqual(self.identify(None, service_token=self.text), NOBODY)

    def test_wrong(self) -> None:
        """
        A token that is changed, unknown, or none at all is refused, in the same words.
        """
        other = self.text[:-1] + ("0" if self.text[-1] != "0" else "1")
        found = {
            self.refused(text)
            for text in (UNKNOWN, other, "", "x", self.text + "0", self.text.upper())
        }
        self.assertEqual(found, {"the token is not known to this server"})

    def test_own_digest(self) -> None:
        """
        Who has read the file of tokens has none of them.
        """
        token_id = self.text.split("_")[1]
        digest = secret_digest(self.text.split("_")[2])
        self.refused(f"gtx_{token_id}_{digest}")

    def test_expired(self) -> None:
        """
        A token is good until it expires, not an instant longer, and then says so.
        """
        text = self.add("bob", days=1)
        self.tokens.reload()
        self.now = NOW + timedelta(days=1, seconds=-1)
        self.assertEqual(self.identify(text).user, "bob")
        self.now = NOW + timedelta(days=1)
        self.assertIn("expired at 2026-11-24 12:00:00+00:00", self.refused(text))
        self.assertEqual(self.identify(self.text).user, "alice")

    def test_expired_and_wrong(self) -> None:
        """
        Who does not have the token is not told that it expired.
        """
        text = self.add("bob", days=-1)
        self.tokens.reload()
        self.assertIn("expired", self.refused(text))
        other = text[:-1] + ("0" if text[-1] != "0" else "1")
        self.assertNotIn("expired", self.refused(other))

    def test_same_work(self) -> None:
        """
        An unknown id is compared as a known one is: once, with as many digits.
        """
        compared: list[tuple[int, int]] = []
        compare = hmac.compare_digest

        def note(one: str, other: str) -> bool:
            compared.append((len(one), len(other)))
            return compare(one, other)

        self.patch(hmac, "compare_digest", note)
        self.identify(self.text)
        self.refused(UNKNOWN)
        self.refused(self.text[:-1] + "x")
        self.assertEqual(compared, [(64, 64)] * 3)


class RolesTests(TokensCase):
    """``with_implied``"""

    def test_implied(self) -> None:
        """
        An admin is a member, a member a reader; nothing else implies anything.
        """
        for roles, expected in (
            ((), ""),
            (("reader",), "reader"),
            (("member",), "member reader"),
            (("admin",), "admin member reader"),
            (("service",), "service"),
            (("service", "member", "x"), "member reader service x"),
        ):
            self.assertEqual(with_implied(roles), frozenset(expected.split()))

    def test_service(self) -> None:
        """
        A service reads nothing of its own: it has the role service, and no other.
        """
        text = self.add("zone", ("service",))
        self.tokens.reload()
        self.assertEqual(self.identify(text).roles, frozenset({"service"}))


class FileTests(TokensCase):
    """``Tokens``: its file"""

    def test_start_empty(self) -> None:
        """
        A server does not start with a list that lets nobody in.
        """
        revoke_token(self.path, self.text.split("_")[1])
        with self.assertRaises(ConfigError) as caught:
            Tokens(self.path)
        self.assertIn("there are none; make one with", str(caught.exception))

    def test_start_open(self) -> None:
        """
        A server does not start with a list that others can read, or is not there.
        """
        os.chmod(self.path, 0o644)
        self.assertRaises(ConfigError, Tokens, self.path)
        os.unlink(self.path)
        self.assertRaises(ConfigError, Tokens, self.path)

    def test_reload(self) -> None:
        """
        A reload brings new tokens, and takes those away that were revoked.
        """
        new = self.add("bob")
        self.refused(new)
        self.tokens.reload()
        self.identify(new)
        revoke_token(self.path, self.text.split("_")[1])
        self.tokens.reload()
        self.refused(self.text)
        self.identify(new)

    def test_reload_empty(self) -> None:
        """
        When all tokens are revoked, a reload lets nobody in any more.
        """
        revoke_token(self.path, self.text.split("_")[1])
        self.tokens.reload()
        self.refused(self.text)

    def test_bad_reload(self) -> None:
        """
        A list that cannot be used is refused, and the old one stays.
        """
        good = Path(self.path).read_bytes()
        for content, mode in ((b"", 0o600), (b"x", 0o600), (good, 0o644)):
            Path(self.path).write_bytes(content)
            os.chmod(self.path, mode)
            self.assertRaises(ConfigError, self.tokens.reload)
            self.assertEqual(self.identify(self.text).user, "alice")

    def test_logged(self) -> None:
        """
        The log says how many tokens there are, and nothing of them.
        """
        with capturedLogs() as events:
            self.tokens.reload()
        (event,) = events
        self.assertEqual((event["count"], event["path"]), (1, self.path))
        self.assertNotIn(self.text.split("_")[2], repr(event))
