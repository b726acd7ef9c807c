# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.keystone`.
"""

from __future__ import annotations

from datetime import timedelta

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from glancetx.caller import NOBODY, Caller
from glancetx.errors import Forbidden
from glancetx.interfaces import IIdentity
from glancetx.keystone_login import LONGEST_TOKEN
from glancetx.limits import Limits

from .keystone_case import KeystoneCase

BAD = "the token is not good, or has expired"
RULE = {"service": "image", "method": "GET", "path": "/v2/images/*"}


class IdentifyTests(KeystoneCase):
    """``Keystone.identify``: whose a token is"""

    def test_interface(self) -> None:
        """
        It is an identity, and leads clients to Keystone.
        """
        verifyObject(IIdentity, self.keystone)
        self.assertEqual(
            self.keystone.challenge, b'Keystone uri="http://keystone.invalid:5000"'
        )

    def test_known(self) -> None:
        """
        The caller is the user, with the project and the roles that Keystone says, in
        lower case, and with his own token; no role is thought of besides.
        """
        token = self.fake.give("alice", "alpha", ["Admin", "Reader"])
        caller = self.identify(token)
        self.assertEqual(
            caller, Caller("alice", "alpha", frozenset({"admin", "reader"}))
        )
        self.assertEqual(caller.token, token)

    def test_request(self) -> None:
        """
        Keystone is shown the server's own token and the caller's, and asked to leave
        out the catalogue.
        """
        token = self.fake.give()
        self.identify(token)
        post, get = self.fake.asked
        self.assertEqual(
            (post.method, post.target), ("POST", "/v3/auth/tokens?nocatalog")
        )
        self.assertEqual(get.target, "/v3/auth/tokens?nocatalog")
        self.assertEqual(get.headers["x-subject-token"], token)
        own = next(t for t in self.fake.tokens.values() if t.user == "glance")
        self.assertEqual(get.headers["x-auth-token"], own.text)

    def test_urls(self) -> None:
        """
        Keystone's URL may end with its version, and may have a path.
        """
        for url in ("http://k.invalid/v3", "http://k.invalid/v3/", "http://k.invalid"):
            self.make(auth_url=url)
            self.assertEqual(self.identify(self.fake.give()).user, "alice")

    def test_nobody(self) -> None:
        """
        Who shows nothing is nobody, and Keystone is not asked.
        """
        self.assertIs(self.identify(None), NOBODY)
        self.assertIs(self.identify(None, service_token="x"), NOBODY)
        self.assertEqual(self.fake.asked, [])

    def test_unknown(self) -> None:
        """
        A token that Keystone does not know is refused.
        """
        self.assert_refused("gAAAAAB-none", BAD)

    def test_no_token(self) -> None:
        """
        What cannot be a token is refused without asking: Keystone is not a place to
        send header injections and megabytes to.
        """
        for text in (
            "",
            "a b",
            "a\r\nX-Roles: admin",
            "a\n",
            "ä",
            "\x00",
            "x" * (LONGEST_TOKEN + 1),
        ):
            self.assert_refused(text, "this is no token")
            self.assert_refused("x", "this is no token", service_token=text)
        self.assertEqual(self.fake.asked, [])
        self.assert_refused("x" * LONGEST_TOKEN, BAD)

    def test_no_project(self) -> None:
        """
        A token that is for no project is refused with a sentence, also when Keystone
        spoke of it before.
        """
        domain = {"domain": {"id": "default", "name": "Default"}}
        for scope in ({}, domain, {"system": {"all": True}}):
            token = self.fake.give(roles=["admin"], scope=scope)
            for _ in range(2):
                failure = self.failureResultOf(self.ask(token), Forbidden)
                self.assertIn("scoped to a project", str(failure.value))


class CacheTests(KeystoneCase):
    """``Keystone.identify``: what is remembered, and how long"""

    def test_good(self) -> None:
        """
        What Keystone said is trusted for 60 seconds from when it was asked, however
        often it is used, and not for one more.
        """
        token = self.fake.give()
        for _ in range(60):
            self.identify(token)
            self.clock.advance(0.999)
        self.assertEqual(self.described, 1)
        self.fake.revoke(token)
        self.identify(token)
        self.clock.advance(60 - self.clock.seconds())
        self.assert_refused(token, BAD)
        self.assertEqual(self.described, 2)

    def test_counted_from_question(self) -> None:
        """
        The time that an answer takes is of the 60 seconds.
        """
        token = self.fake.give()
        self.identify(self.fake.give())
        self.fake.hang = True
        d = self.ask(token)
        self.clock.advance(4)
        self.land()
        self.successResultOf(d)
        self.clock.advance(55.9)
        self.identify(token)
        self.assertEqual(self.described, 2)
        self.clock.advance(0.1)
        self.identify(token)
        self.assertEqual(self.described, 3)

    def test_seconds(self) -> None:
        """
        The limit can be less.
        """
        self.make(Limits(identity_cache_seconds=5))
        token = self.fake.give()
        self.identify(token)
        self.clock.advance(5)
        self.fake.revoke(token)
        self.assert_refused(token, BAD)

    def test_expiry(self) -> None:
        """
        A token is refused from the moment at which it expires.
        """
        token = self.fake.give(seconds=20)
        self.identify(token)
        self.clock.advance(19.9)
        self.identify(token)
        self.clock.advance(0.1)
        self.assert_refused(token, BAD)

    def test_clock_of_day(self) -> None:
        """
        The time of day is looked at with each use: it may jump.
        """
        token = self.fake.give(seconds=1000)
        self.identify(token)
        self.jump = timedelta(seconds=1000)
        self.assert_refused(token, BAD)
        self.assertEqual(self.described, 1)

    def test_bad(self) -> None:
        """
        A bad token is known to be bad for 10 seconds.
        """
        self.assert_refused("late", BAD)
        token = self.fake.give()
        self.fake.tokens["late"] = self.fake.tokens[token]
        self.clock.advance(9.9)
        self.assert_refused("late", BAD)
        self.assertEqual(self.described, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.identify("late").user, "alice")

    def test_bounded(self) -> None:
        """
        So many tokens are remembered; the one used least lately is forgotten first.
        """
        self.make(Limits(identity_cache_entries=3))
        first, second, *others = [self.fake.give() for _ in range(4)]
        for token in (first, second, first, *others):
            self.identify(token)
        self.assertEqual(self.described, 4)
        for token in (first, *others):
            self.identify(token)
        self.assertEqual(self.described, 4)
        self.identify(second)
        self.assertEqual(self.described, 5)

    def test_rubbish(self) -> None:
        """
        Bad tokens, of which anyone has any number, push out no good one.
        """
        self.make(Limits(identity_cache_entries=3))
        token = self.fake.give()
        self.identify(token)
        for number in range(10):
            self.assert_refused(f"bad{number}", BAD)
        asked = self.described
        self.identify(token)
        self.assertEqual(self.described, asked)
        self.assertEqual(len(self.keystone._bad), 3)

    def test_no_token_kept(self) -> None:
        """
        What is remembered holds no token, nor a digest that another process makes.
        """
        token = self.fake.give()
        self.identify(token)
        kept = repr(self.keystone._good._kept)
        self.assertNotIn(token, kept)
        [key] = self.keystone._good._kept
        self.make()
        self.identify(token)
        [other] = self.keystone._good._kept
        self.assertNotEqual(key, other)


class FlightTests(KeystoneCase):
    """``Keystone.identify``: many at once"""

    def start(self, *tokens: str) -> list[Deferred[Caller]]:
        """Ask while Keystone is slow."""
        self.identify(self.fake.give())
        self.fake.asked.clear()
        self.fake.hang = True
        return [self.ask(token) for token in tokens]

    def test_single(self) -> None:
        """
        A hundred callers with one token ask once.
        """
        waiting = self.start(*[self.fake.give()] * 100)
        self.assertEqual(self.described, 1)
        self.land()
        for d in waiting:
            self.assertEqual(self.successResultOf(d).user, "alice")

    def test_single_failure(self) -> None:
        """
        A hundred callers with one bad token ask once, and are all refused.
        """
        waiting = self.start(*["bad"] * 100)
        self.assertEqual(self.described, 1)
        self.land()
        for d in waiting:
            self.assertIn(BAD, str(self.failureResultOf(d).value))

    def test_own_single(self) -> None:
        """
        A hundred callers with tokens of their own ask for the server's own token once.
        """
        self.fake.hang = True
        waiting = [self.ask(self.fake.give(f"user{n}")) for n in range(100)]
        self.assertEqual(self.issued, 1)
        self.land()
        self.assertEqual((self.issued, self.described), (1, 100))
        users = {self.successResultOf(d).user for d in waiting}
        self.assertEqual(len(users), 100)

    def test_cancelled(self) -> None:
        """
        A caller who leaves takes nobody's answer with him, the first neither.
        """
        token = self.fake.give()
        first, second, third = self.start(token, token, token)
        first.cancel()
        third.cancel()
        for d in (first, third):
            self.failureResultOf(d, CancelledError)
        self.land()
        self.assertEqual(self.successResultOf(second).user, "alice")

    def test_all_cancelled(self) -> None:
        """
        An answer that nobody waits for any longer is remembered all the same.
        """
        token = self.fake.give()
        [d] = self.start(token)
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.land()
        self.assertEqual(self.identify(token).user, "alice")
        self.assertEqual(self.described, 1)

    def test_at_once(self) -> None:
        """
        Keystone is asked no more than 64 questions at once; the others wait.
        """
        waiting = self.start(*[self.fake.give() for _ in range(70)])
        self.assertEqual(self.described, 64)
        self.land()
        self.assertEqual(self.described, 70)
        for d in waiting:
            self.successResultOf(d)


class ServiceTests(KeystoneCase):
    """``Keystone.identify``: with an ``X-Service-Token``"""

    def test_expired(self) -> None:
        """
        With a service's token beside it, a token may have expired.
        """
        token = self.fake.give(seconds=1)
        service = self.fake.give("nova", "service", ["Service"])
        self.clock.advance(2)
        self.assert_refused(token, BAD)
        caller = self.identify(token, service_token=service)
        self.assertEqual((caller.user, caller.token), ("alice", token))
        self.assertTrue(self.fake.asked[-1].target.endswith("&allow_expired=1"))
        self.assert_refused(token, BAD)

    def test_not_for_service(self) -> None:
        """
        That a token was accepted from a service makes it no better elsewhere.
        """
        token = self.fake.give(seconds=20)
        service = self.fake.give("nova", "service", ["service"])
        self.identify(token, service_token=service)
        self.clock.advance(20)
        self.assert_refused(token, BAD)
        self.identify(token, service_token=service)
        self.assert_refused(token, BAD)

    def test_asked_again(self) -> None:
        """
        Of a token that has expired Keystone is asked each time, and at the moment at
        which it expires.
        """
        token = self.fake.give(seconds=20)
        service = self.fake.give("nova", "service", ["service"])
        self.identify(token, service_token=service)
        self.clock.advance(20)
        self.identify(token, service_token=service)
        self.fake.revoke(token)
        self.assert_refused(token, BAD, service_token=service)

    def test_no_service(self) -> None:
        """
        The token of somebody else does not do for a service's, be he an admin; the
        caller is refused though his own token is good.
        """
        token = self.fake.give()
        self.identify(token)
        for roles in (["admin", "member"], ["services"], []):
            other = self.fake.give("mallory", "alpha", roles)
            self.assert_refused(
                token, "must have the role service", service_token=other
            )

    def test_bad_service(self) -> None:
        """
        A service's token that is not good, or has expired, refuses the caller.
        """
        token = self.fake.give()
        expired = self.fake.give("nova", "service", ["service"], seconds=1)
        self.clock.advance(1)
        for service in ("bad", expired):
            self.assert_refused(token, BAD, service_token=service)

    def test_revoked(self) -> None:
        """
        A service cannot make a revoked token good.
        """
        token = self.fake.give()
        self.fake.revoke(token)
        service = self.fake.give("nova", "service", ["service"])
        self.assert_refused(token, BAD, service_token=service)

    def test_rules(self) -> None:
        """
        The rules of the user's application credential were for his request to the
        service, which says so by its token; its own rules hold.
        """
        token = self.fake.give(application=True, rules=[])
        service = self.fake.give("nova", "service", ["service"])
        self.identify(token, service_token=service)
        bound = self.fake.give(
            "nova", "service", ["service"], application=True, rules=[RULE]
        )
        path = "/v2/images/x"
        self.identify(token, service_token=bound, method="GET", path=path)
        self.assert_refused(
            token, "do not allow PUT", service_token=bound, method="PUT", path=path
        )

    def test_in_time(self) -> None:
        """
        Two slow answers, one after the other, are too slow together.
        """
        token = self.fake.give()
        service = self.fake.give("nova", "service", ["service"])
        self.identify(self.fake.give())
        self.fake.hang = True
        d = self.ask(token, service_token=service)
        self.clock.advance(3)
        self.fake.release()
        self.fake.hang = True
        self.memory.flush()
        self.assertEqual(len(self.fake.hanging), 1)
        self.assertNoResult(d)
        self.clock.advance(2)
        self.assert_unavailable(d, "did not answer within 5 seconds")


class RulesTests(KeystoneCase):
    """``Keystone.identify``: application credentials with access rules"""

    def test_asked(self) -> None:
        """
        Keystone is told that rules are enforced here, or it would describe no such
        token.
        """
        self.identify(self.fake.give())
        headers = self.fake.asked[-1].headers
        self.assertEqual(headers["openstack-identity-access-rules"], "1.0")

    def test_without(self) -> None:
        """
        An application credential without rules is good for everything.
        """
        self.identify(self.fake.give(application=True), method="DELETE", path="/x")

    def test_enforced(self) -> None:
        """
        One with rules is good for the requests that they name, and for no others, also
        when Keystone spoke of it before.
        """
        token = self.fake.give(application=True, rules=[RULE])
        self.identify(token, method="GET", path="/v2/images/a")
        for method, path in (
            ("GET", "/v2/images"),
            ("GET", "/v2/images/a/file"),
            ("HEAD", "/v2/images/a"),
            ("DELETE", "/v2/images/a"),
            ("GET", "/images/a"),
        ):
            self.assert_refused(
                token, f"do not allow {method} {path} of", method=method, path=path
            )
        self.identify(token, method="GET", path="/v2/images/b")
        self.assertEqual(self.described, 1)

    def test_none(self) -> None:
        """
        One with an empty list of rules is good for nothing.
        """
        token = self.fake.give(application=True, rules=[])
        self.assert_refused(token, "do not allow GET / of the service image")
