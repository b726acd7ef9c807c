# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.keystone`: Keystone does not answer as it should.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from glancetx.errors import ConfigError

from .fake_keystone import APPLICATION
from .keystone_case import KeystoneCase

NO_ANSWER = "Keystone gives no answer that can be used"
OWN_TOKEN = "Keystone does not accept this server's own token"
OWN_CREDENTIAL = "Keystone does not accept this server's own credential"


class AwayTests(KeystoneCase):
    """Keystone fails altogether."""

    def both(self, text: str) -> None:
        """
        Neither a good token nor a bad one gets in, with or without an own token; what
        was asked a while ago is good until its time is over; then all is well again.
        """
        self.fake.methods = ("GET", "POST")
        good = self.fake.give()
        self.assert_down(good, text)
        self.fake.methods = ()
        known = self.fake.give()
        self.identify(known)
        self.fake.methods = ("GET", "POST")
        for token in (good, "gAAAAAB-bad"):
            self.assert_down(token, text)
        self.clock.advance(59.9)
        self.assertEqual(self.identify(known).user, "alice")
        self.clock.advance(0.1)
        self.assert_down(known, text)
        self.fake.methods = ()
        for token in (good, known):
            self.assertEqual(self.identify(token).user, "alice")
        self.assert_refused("gAAAAAB-bad", "not good")

    def test_errors(self) -> None:
        """
        Of its errors none is taken for an answer, and none for the caller's.
        """
        for status in (500, 502, 503, 504, 408, 410, 429):
            self.fake.status = status
            self.both(NO_ANSWER)
            self.make()

    def test_odd_statuses(self) -> None:
        """
        Nor is one of its successes or redirects that is none here, whatever it holds.
        """
        self.say(self.fake.tokens[self.fake.give()].describe())
        for status in (201, 202, 204, 206, 300, 301, 302, 307):
            self.fake.status = status
            self.fake.methods = ("GET",)
            self.assert_down(self.fake.give(), NO_ANSWER)
            self.assert_down("bad", NO_ANSWER)
        self.fake.status = 200
        self.fake.methods = ("POST",)
        self.fake.rubbish = None
        self.make()
        self.assert_down(self.fake.give(), NO_ANSWER)

    def test_rubbish(self) -> None:
        """
        What is not a description of a token lets nobody in.
        """
        for body in (b"", b"null", b"[]", b"<html>", b"{}", b'{"token": {}}', b"\xff"):
            self.fake.rubbish = body
            self.both(NO_ANSWER)
            self.make()

    def test_almost(self) -> None:
        """
        Nor does a description of which one part is wrong.
        """
        token = self.fake.give(application=True, rules=[])
        good = self.fake.tokens[token].describe()
        self.fake.methods = ("GET",)
        rule = {"service": "image", "method": "GET"}
        for name, value in (
            ("user", {"id": ""}),
            ("user", {"id": 7}),
            ("user", {"id": "x" * 256}),
            ("user", {}),
            ("user", None),
            ("project", {}),
            ("project", None),
            ("roles", {"name": "admin"}),
            ("roles", ["admin"]),
            ("roles", [{"name": None}]),
            ("expires_at", None),
            ("expires_at", "never"),
            ("expires_at", "2026-11-23T10:00:00"),
            ("application_credential", None),
            ("application_credential", {"access_rules": {}}),
            ("application_credential", {"access_rules": [rule]}),
        ):
            self.say({"token": {**good["token"], name: value}})
            self.assert_down(token, NO_ANSWER)
        self.say(good)
        self.assert_refused(token, "do not allow")

    def say(self, answer: Any) -> None:
        self.fake.rubbish = json.dumps(answer).encode("utf-8")

    def test_hangs(self) -> None:
        """
        An answer is waited for 5 seconds in all, the server's own token included.
        """
        self.fake.hang = True
        self.fake.methods = ("POST",)
        d = self.ask(self.fake.give())
        self.clock.advance(3)
        self.fake.methods = ("GET",)
        self.fake.release()
        self.fake.hang = True
        self.memory.flush()
        self.assertEqual((self.issued, self.described), (1, 1))
        self.clock.advance(1.9)
        self.assertNoResult(d)
        self.clock.advance(0.1)
        self.assert_unavailable(d, "did not answer within 5 seconds")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hangs_at_first(self) -> None:
        """
        So it is if there is no own token to ask with.
        """
        self.fake.hang = True
        waiting: list[Deferred[Any]]
        waiting = [self.ask(self.fake.give()) for _ in range(100)]
        waiting.append(Deferred.fromCoroutine(self.keystone.own_token()))
        self.clock.advance(5)
        for d in waiting:
            self.assert_unavailable(d, "did not answer within 5 seconds")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.fake.hang = False
        self.assertEqual(self.identify(self.fake.give()).user, "alice")

    def test_hangs_for_all(self) -> None:
        """
        More callers than may ask at once do not wait longer than others.
        """
        self.identify(self.fake.give())
        self.fake.hang = True
        waiting = [self.ask(self.fake.give()) for _ in range(200)]
        self.clock.advance(5)
        for d in waiting:
            self.assert_unavailable(d, "did not answer within 5 seconds")
        self.fake.hang = False
        self.assertEqual(self.identify(self.fake.give()).user, "alice")

    def test_remembers_no_trouble(self) -> None:
        """
        That a token could not be checked is not remembered of it.
        """
        token = self.fake.give()
        self.fake.status = 500
        self.assert_down(token)
        self.fake.status = None
        self.assertEqual(self.identify(token).user, "alice")

    def test_not_found(self) -> None:
        """
        A 404 that is not Keystone's own, but perhaps that of a proxy which cannot find
        Keystone, makes no token bad.
        """
        token = self.fake.give()
        self.fake.methods = ("GET",)
        for body in (b"", b"<html>404</html>", b"{}", b'{"error": {"code": 500}}'):
            self.fake.rubbish = body
            self.assert_down("bad", NO_ANSWER)
        self.fake.rubbish = None
        self.fake.status = 404
        self.assert_refused(token, "not good")


class OwnTokenTests(KeystoneCase):
    """Keystone does not accept this server."""

    def test_revoked(self) -> None:
        """
        If the server's own token is no longer good it gets another, and the caller
        does not notice.
        """
        self.identify(self.fake.give())
        self.fake.revoke_own()
        self.assertEqual(self.identify(self.fake.give()).user, "alice")
        self.assertEqual((self.issued, self.described), (2, 3))

    def test_revoked_for_all(self) -> None:
        """
        A hundred callers who find it out get one new token together.
        """
        self.identify(self.fake.give())
        self.fake.revoke_own()
        self.fake.hang = True
        waiting = [self.ask(self.fake.give()) for _ in range(100)]
        self.land()
        for d in waiting:
            self.assertEqual(self.successResultOf(d).user, "alice")
        self.assertEqual(self.issued, 2)

    def test_loop(self) -> None:
        """
        If the other is not good either, the caller is told that it is not his fault;
        Keystone is not asked for more tokens than one in 10 seconds.
        """
        self.fake.status = 401
        self.fake.methods = ("GET",)
        for _ in range(5):
            self.assert_down(self.fake.give(), OWN_TOKEN)
        self.assertEqual((self.issued, self.described), (2, 6))
        self.clock.advance(10)
        self.assert_down(self.fake.give(), OWN_TOKEN)
        self.assertEqual((self.issued, self.described), (3, 8))

    def test_credential_revoked(self) -> None:
        """
        If the credential was revoked, callers who are remembered get in until their
        time is over, others hear that it is not their fault; Keystone, which may count
        such attempts, is asked no more often than each 10 seconds.
        """
        token = self.fake.give()
        self.identify(token)
        self.fake.revoke_own()
        self.fake.trusts = False
        for _ in range(5):
            self.assert_down(self.fake.give(), OWN_CREDENTIAL)
        self.assertEqual(self.issued, 2)
        self.identify(token)
        self.clock.advance(10)
        self.assert_down(self.fake.give(), OWN_CREDENTIAL)
        self.assertEqual(self.issued, 3)
        self.clock.advance(50)
        self.assert_down(token, OWN_CREDENTIAL)
        self.fake.trusts = True
        self.clock.advance(10)
        self.identify(token)

    def test_gone(self) -> None:
        """
        Keystone's word that the server's own credential, project or user is gone is
        not taken for one on the caller's token.
        """
        for kind, name in (
            ("Application Credential", APPLICATION["id"]),
            ("project", "service"),
            ("user", "glance"),
        ):
            self.make()
            self.identify(self.fake.give())
            self.fake.gone, self.fake.trusts = f"{kind}: {name}", False
            self.assert_down(self.fake.give(), OWN_CREDENTIAL)
            self.fake.gone, self.fake.trusts = None, True
        self.fake.gone = "Application Credential: of somebody else"
        self.make()
        self.assert_refused(self.fake.give(), "not good")

    def test_may_not(self) -> None:
        """
        A server that lacks the role which checking takes says so.
        """
        self.fake.roles = ("member",)
        self.assert_down(self.fake.give(), "does not let this server check tokens")

    def test_no_text(self) -> None:
        """
        An answer without a token, or with one that is none, gives none.
        """
        give = self.fake.give

        def odd(*args: Any, **more: Any) -> str:
            text = give(*args, **more)
            self.fake.tokens[self.text] = self.fake.tokens[text]
            return self.text

        token = give()
        for self.text in ("", "a b", "x" * 2000):
            self.patch(self.fake, "give", odd)
            self.assert_down(token, NO_ANSWER)

    def test_expired(self) -> None:
        """
        A token that has expired when it comes is none; the clocks are spoken of.
        """
        self.fake.seconds = -10
        self.assert_down(self.fake.give(), "its clock or this server's is wrong")


class LogTests(KeystoneCase):
    """What the log says."""

    def test_once(self) -> None:
        """
        That Keystone fails is logged once, with details that callers are not told, and
        that it answers again.
        """
        self.fake.status = 503
        with capturedLogs() as events:
            for _ in range(3):
                self.assert_down(self.fake.give())
        [event] = events
        self.assertEqual(event["log_level"], LogLevel.error)
        self.assertEqual(event["reason"], "it answered 503 to a request for a token")
        self.fake.status = None
        with capturedLogs() as events:
            self.identify(self.fake.give())
            self.identify(self.fake.give())
        self.assertEqual([e["log_format"] for e in events], ["Keystone answers again"])

    def test_secrets(self) -> None:
        """
        No token and no secret is in the log, nor in what callers are told.
        """
        token = self.fake.give()
        with capturedLogs() as events:
            for self.fake.status in (400, 401, 403, 404, 500):
                failure = self.failureResultOf(self.ask(token))
                self.assertNotIn(token, str(failure.value))
                self.make()
        self.assertEqual(len(events), 5)
        self.assertNotIn(token, repr(events))
        self.assertNotIn("a-secret", repr(events))
        self.assertNotIn(token, repr(vars(self.keystone)))


class ReloadTests(KeystoneCase):
    """``Keystone.reload``"""

    def make_file(self, secret: str, mode: int = 0o600) -> str:
        path = Path("secret").absolute()
        path.write_text(f"{secret}\n", encoding="ascii")
        path.chmod(mode)
        return str(path)

    def test_secret(self) -> None:
        """
        A new secret is tried at once, whatever Keystone said of the former.
        """
        path = self.make_file("a-secret")
        self.make(application_credential_secret="an-old-secret", secret_file=path)
        token = self.fake.give()
        self.assert_down(token, OWN_CREDENTIAL)
        self.keystone.reload()
        self.assertEqual(self.identify(token).user, "alice")

    def test_unusable(self) -> None:
        """
        A file that cannot be used is named, and the secret that was read stays.
        """
        path = self.make_file("other", 0o644)
        self.make(secret_file=path)
        with self.assertRaises(ConfigError) as caught:
            self.keystone.reload()
        self.assertIn(f"{path}: ", str(caught.exception))
        self.assertIn("has mode 0644", str(caught.exception))
        self.assertEqual(self.identify(self.fake.give()).user, "alice")

    def test_no_file(self) -> None:
        """
        A secret that stands in the configuration stays.
        """
        self.keystone.reload()
        self.assertEqual(self.identify(self.fake.give()).user, "alice")
