# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.account`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from glancetx.backends.swift.account import Account, Session
from glancetx.backends.swift.options import Settings
from glancetx.errors import StoreUnavailable

from .scripted_agent import DoorCase, Request, settings_v1, settings_v3

ISSUED, EXPIRES = "2026-11-23T10:00:00.000000Z", "2026-11-23T11:00:00.000000Z"


def endpoint(region: str, interface: str = "public", **more: str) -> dict[str, str]:
    """An endpoint in Keystone's catalogue."""
    url = f"http://swift.{region}.example/v1/AUTH_p"
    return {"interface": interface, "region": region, "url": url, **more}


def token(*endpoints: dict[str, str], **more: Any) -> dict[str, Any]:
    """What Keystone says of a token, as far as it matters."""
    catalogue = [
        {"type": "image", "endpoints": [endpoint("other")]},
        {"type": "object-store", "endpoints": list(endpoints)},
    ]
    found = {"issued_at": ISSUED, "expires_at": EXPIRES, "catalog": catalogue}
    return {"token": {**found, **more}}


class AccountCase(DoorCase):
    """Has an account."""

    settings: Settings = settings_v1()

    def setUp(self) -> None:
        super().setUp()
        self.make(self.settings)

    def make(self, settings: Settings) -> None:
        self.account = Account(settings, self.agent, self.tools)

    def session(self) -> Deferred[Session]:
        return Deferred.fromCoroutine(self.account.session())

    def have(self) -> str:
        """The token that is held now."""
        return self.successResultOf(self.session()).token

    def unavailable(self, d: Deferred[Session]) -> str:
        error: Any = self.failureResultOf(d, StoreUnavailable).value
        self.assertEqual(error.store, "main")
        return str(error.reason)

    def count(self) -> int:
        return len(self.agent.asked)


class OwnTokensTests(AccountCase):
    """The cluster's own tokens (v1)"""

    def test_asked(self) -> None:
        """
        User and key are sent; token and URL come in headers.
        """
        d = self.session()
        asked = self.last
        self.assertEqual(
            (asked.method, asked.url), (b"GET", self.settings.auth_urls[0])
        )
        self.assertEqual(asked.header(b"X-Auth-User"), "test:tester")
        self.assertEqual(asked.header(b"X-Auth-Key"), "a-key")
        asked.give("token-1")
        session = self.successResultOf(d)
        self.assertEqual(session.token, "token-1")
        self.assertEqual(session.urls, ("http://swift.example/v1/AUTH_t",))

    def test_not_shown(self) -> None:
        """
        A session does not show its token.
        """
        d = self.session()
        self.last.give("token-1")
        self.assertNotIn("token-1", repr(self.successResultOf(d)))

    def test_nothing_logged(self) -> None:
        """
        Neither key nor token is logged, whatever comes.
        """
        with capturedLogs() as events:
            for answer in (
                lambda asked: asked.answer(200, b"", X_Auth_Token="token-1"),
                lambda asked: asked.answer(500, b"token-1 a-key"),
                lambda asked: asked.answer(401, b"a-key"),
            ):
                self.make(self.settings)
                d = self.session()
                answer(self.last)
                self.clock.advance(2)
                for asked in self.agent.asked:
                    if not asked.answered.called:
                        asked.fail()
                self.clock.advance(2)
                self.unavailable(d)
        texts = "".join(formatEvent(event) + repr(event) for event in events)
        self.assertIn("auth.example", texts)
        self.assertNotIn("token-1", texts)
        self.assertNotIn("a-key", texts)

    def test_proxies(self) -> None:
        """
        With ``proxies`` the account is asked for there, under its own path.
        """
        proxies = ["http://p:8080", "https://q"]
        self.make(settings_v1(proxies=proxies, read_proxies=["http://r"]))
        d = self.session()
        self.last.give("token-1")
        session = self.successResultOf(d)
        self.assertEqual(
            session.urls, ("http://p:8080/v1/AUTH_t", "https://q/v1/AUTH_t")
        )
        self.assertEqual(session.read_urls, ("http://r/v1/AUTH_t",))

    def test_once(self) -> None:
        """
        All who need a token at the same time wait for one request.
        """
        waiting = [self.session() for _ in range(5)]
        self.assertEqual(self.count(), 1)
        self.last.give("token-1")
        for d in waiting:
            self.assertEqual(self.successResultOf(d).token, "token-1")
        self.assertEqual((self.have(), self.count()), ("token-1", 1))

    def test_patience_of_one(self) -> None:
        """
        One who waits no longer takes the token from nobody.
        """
        first, second = self.session(), self.session()
        first.addErrback(lambda _: None)
        first.cancel()
        self.last.give("token-1")
        self.assertEqual(self.successResultOf(second).token, "token-1")

    def test_renewed(self) -> None:
        """
        At four fifths of its life a token is renewed, while requests still have it.
        """
        self.session()
        self.last.give("token-1", 1000)
        self.clock.advance(799)
        self.assertEqual((self.have(), self.count()), ("token-1", 1))
        self.clock.advance(1)
        self.assertEqual((self.have(), self.count()), ("token-1", 2))
        self.assertEqual((self.have(), self.count()), ("token-1", 2))
        self.last.give("token-2", 1000)
        self.assertEqual(self.have(), "token-2")

    def test_renewal_fails(self) -> None:
        """
        While a token is good nobody minds that it cannot be renewed.
        """
        self.session()
        self.last.give("token-1", 1000)
        self.clock.advance(900)
        self.assertEqual(self.have(), "token-1")
        self.last.answer(503)
        self.clock.advance(2)
        self.last.answer(503)
        self.assertEqual(self.have(), "token-1")
        self.assertEqual(self.count(), 4)
        self.last.give("token-2", 1000)
        self.assertEqual(self.have(), "token-2")

    def test_same_token(self) -> None:
        """
        A cluster that gives the same token until it ends is not asked all the time,
        and its last seconds are not used.
        """
        self.session()
        self.last.give("token-1", 1000)
        self.clock.advance(900)
        self.have()
        self.last.give("token-1", 100)
        self.clock.advance(79)
        self.assertEqual((self.have(), self.count()), ("token-1", 2))
        self.clock.advance(17)
        d = self.session()
        self.last.give("token-1", 4)
        self.assertNoResult(d)
        self.clock.advance(5)
        self.last.give("token-2", 1000)
        self.assertEqual(self.successResultOf(d).token, "token-2")

    def test_no_life_said(self) -> None:
        """
        A token that does not say how long it lives lives a day, as usual.
        """
        self.session()
        self.last.give("token-1")
        self.clock.advance(0.8 * 86400 - 1)
        self.assertEqual((self.have(), self.count()), ("token-1", 1))
        self.clock.advance(1)
        self.assertEqual((self.have(), self.count()), ("token-1", 2))

    def test_doubted(self) -> None:
        """
        A token that is not accepted is replaced; doubt in an older one changes nothing.
        """
        d = self.session()
        self.last.give("token-1")
        old = self.successResultOf(d)
        self.account.doubt(old)
        d = self.session()
        self.last.give("token-2")
        self.successResultOf(d)
        self.account.doubt(old)
        self.assertEqual((self.have(), self.count()), ("token-2", 2))

    def test_refused(self) -> None:
        """
        A credential that is refused is not tried again for a while.
        """
        for code in (401, 403):
            self.make(self.settings)
            before = self.count()
            d = self.session()
            self.last.answer(code)
            self.assertIn("credential", self.unavailable(d))
            self.unavailable(self.session())
            self.assertEqual(self.count(), before + 1)
            self.clock.advance(10)
            self.session()
            self.assertEqual(self.count(), before + 2)

    def test_bad_answers(self) -> None:
        """
        An answer without a usable token or URL is none.
        """
        good = {"X_Auth_Token": "token-1", "X_Storage_Url": "http://s/v1/AUTH_t"}
        for bad in (
            {"X_Auth_Token": ""},
            {"X_Auth_Token": "a b"},
            {"X_Auth_Token": "x" * 2000},
            {"X_Storage_Url": ""},
            {"X_Storage_Url": "/v1/AUTH_t"},
            {"X_Storage_Url": "http://s"},
            {"X_Storage_Url": "ftp://s/v1/AUTH_t"},
            {"X_Storage_Url": "http://u:p@s/v1/AUTH_t"},
            {"X_Auth_Token_Expires": "soon"},
            {"X_Auth_Token_Expires": "nan"},
        ):
            self.make(self.settings)
            d = self.session()
            headers: dict[str, Any] = {**good, **bad}
            self.last.answer(200, b"", **headers)
            self.clock.advance(1)
            self.last.answer(302, b"", Location="http://elsewhere/")
            self.assertNotIn("example", self.unavailable(d))

    def test_silence(self) -> None:
        """
        A server that does not answer is waited for for ten seconds.
        """
        d = self.session()
        self.clock.advance(10)
        self.assertTrue(self.last.cancelled)
        self.clock.advance(1)
        self.last.give("token-1")
        self.assertEqual(self.successResultOf(d).token, "token-1")

    def test_endless(self) -> None:
        """
        An answer without end is not read.
        """
        d = self.session()
        response = self.last.answer(200, None, X_Auth_Token="t")
        response.feed(b"x" * 1024 * 1024, b"x")
        self.assertEqual(response.connection.calls, ["stop"])
        self.clock.advance(1)
        self.last.give("token-1")
        self.successResultOf(d)


class SeveralServersTests(AccountCase):
    """Several servers of tokens"""

    settings = settings_v1(auth_url=["http://a/auth", "http://b/auth"])

    def test_failover(self) -> None:
        """
        What one does not give the next may, at once.
        """
        d = self.session()
        self.last.fail()
        self.last.give("token-1")
        self.assertEqual(self.successResultOf(d).token, "token-1")
        self.assertEqual(self.urls, ["http://a/auth", "http://b/auth"])

    def test_all_gone(self) -> None:
        """
        Each is asked twice; those that fail three times are left in peace for a while.
        """
        d = self.session()
        for _ in range(2):
            self.last.fail()
            self.last.answer(503)
            self.clock.advance(1)
        self.unavailable(d)
        self.assertEqual(self.count(), 4)
        d = self.session()
        self.last.fail()
        self.last.fail()
        self.clock.advance(1)
        self.assertIn("none", self.unavailable(d))
        self.unavailable(self.session())
        self.assertEqual(self.count(), 6)
        self.clock.advance(15)
        d = self.session()
        self.last.give("token-1")
        self.assertEqual(self.successResultOf(d).token, "token-1")


class KeystoneTests(AccountCase):
    """Tokens of Keystone (v3)"""

    settings = settings_v3()

    def give(self, value: Any, text: str = "token-1") -> None:
        self.last.tell(value, 201, X_Subject_Token=text)

    def refused(self, value: Any, text: str = "token-1") -> None:
        self.make(self.settings)
        d = self.session()
        self.give(value, text)
        self.clock.advance(1)
        self.give(value, text)
        self.unavailable(d)

    def test_application(self) -> None:
        """
        An application credential is sent as Keystone wants it; the URL is the
        catalogue's.
        """
        d = self.session()
        asked: Request = self.last
        self.assertEqual(asked.method, b"POST")
        self.assertEqual(asked.url, "https://keystone.example:5000/v3/auth/tokens")
        identity = {
            "methods": ["application_credential"],
            "application_credential": {"id": "an-id", "secret": "a-secret"},
        }
        self.assertEqual(asked.document(), {"auth": {"identity": identity}})
        self.give(token(endpoint("inner", "internal"), endpoint("one")))
        session = self.successResultOf(d)
        self.assertEqual(session.token, "token-1")
        self.assertEqual(session.urls, ("http://swift.one.example/v1/AUTH_p",))
        self.assertEqual(session.read_urls, ())

    def test_password(self) -> None:
        """
        A user's password is sent with the project that he wants.
        """
        self.make(
            settings_v3(
                application_credential_id=None,
                application_credential_secret=None,
                username="glance",
                password="a-password",
                project_name="service",
                user_domain_name="Users",
                project_domain_name="Projects",
            )
        )
        self.session()
        auth = self.last.document()["auth"]
        self.assertEqual(
            auth["identity"]["password"]["user"],
            {"name": "glance", "domain": {"name": "Users"}, "password": "a-password"},
        )
        project = {"name": "service", "domain": {"name": "Projects"}}
        self.assertEqual(auth["scope"], {"project": project})

    def test_region(self) -> None:
        """
        The URLs are those of the regions that are asked for.
        """
        endpoints = endpoint("one"), endpoint("two"), endpoint("x", region_id="three")
        for region, reading in (("two", "one"), ("three", "two")):
            self.make(settings_v3(region=region, read_region=reading))
            d = self.session()
            self.give(token(*endpoints))
            session = self.successResultOf(d)
            host = {"three": "x"}.get(region, region)
            self.assertEqual(session.urls, (f"http://swift.{host}.example/v1/AUTH_p",))
            self.assertEqual(
                session.read_urls, (f"http://swift.{reading}.example/v1/AUTH_p",)
            )

    def test_no_such_region(self) -> None:
        """
        A region that is not in the catalogue gives no URL, and the log says so.
        """
        self.make(settings_v3(region="mars"))
        d = self.session()
        with capturedLogs() as events:
            self.give(token(endpoint("one")))
            self.clock.advance(1)
            self.give(token(endpoint("one")))
        self.unavailable(d)
        self.assertIn("region mars", events[0]["reason"])

    def test_clock(self) -> None:
        """
        How long a token lives is told by Keystone's clock alone.
        """
        self.session()
        self.give(token(endpoint("one")))
        self.clock.advance(0.8 * 3600 - 1)
        self.assertEqual((self.have(), self.count()), ("token-1", 1))
        self.clock.advance(1)
        self.have()
        self.assertEqual(self.count(), 2)

    def test_bad_answers(self) -> None:
        """
        What is no description of a token, or has no catalogue, is not believed.
        """
        one = endpoint("one")
        answers: tuple[Any, ...] = (
            [],
            {},
            {"token": []},
            token(),
            token(endpoint("one", "internal")),
            token({**one, "url": "none"}),
            token(one, catalog=None),
            token(one, catalog=[[], {"type": "object-store", "endpoints": [1]}]),
            token(one, expires_at="tomorrow"),
            token(one, issued_at=None),
            token(one, expires_at="2026-11-23T11:00:00"),
        )
        for value in answers:
            self.refused(value)
        self.refused(token(one), "")

    def test_nested(self) -> None:
        """
        JSON that is nested without end is no answer.
        """
        d = self.session()
        for _ in range(2):
            self.last.answer(201, b"[" * 100000, X_Subject_Token="token-1")
            self.clock.advance(1)
        self.unavailable(d)
