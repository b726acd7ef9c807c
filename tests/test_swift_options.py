# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.options`, and for what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from glancetx.backends.swift import swift
from glancetx.backends.swift.backend import SwiftBackend
from glancetx.backends.swift.options import OPTIONS, Settings
from glancetx.errors import ConfigError
from glancetx.interfaces import IBackendFactory
from glancetx.stores import find_factories
from glancetx.testing import inline_tools

from .scripted_agent import V1, V3, ScriptedAgent, settings_v1, settings_v3

USER = {
    "auth": "v3",
    "auth_url": V3["auth_url"],
    "username": "glance",
    "password": "a-password",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}


class OptionsTests(SynchronousTestCase):
    """What a store's table may say."""

    def refused(self, named: str, /, **given: Any) -> str:
        """A table that is refused, by a key."""
        make = settings_v3 if given.get("auth", "v1") == "v3" else settings_v1
        error = self.assertRaises(ConfigError, make, **given)
        self.assertEqual((error.source, error.key), ("main", named))
        return str(error.problem)

    def settings(self, given: Mapping[str, Any]) -> Settings:
        return settings_v1(**{**dict.fromkeys(V1), **given})

    def test_least(self) -> None:
        """
        Four keys suffice; the others have their defaults.
        """
        settings = settings_v1()
        self.assertEqual(settings.auth_urls, ("http://auth.example/auth/v1.0",))
        self.assertEqual(settings.container, "glancetx-")
        self.assertEqual(settings.segment_size, 256 * 1024 * 1024)
        self.assertEqual((settings.proxies, settings.policy), ((), None))

    def test_lists(self) -> None:
        """
        URLs come in their one form; several servers of tokens are a list.
        """
        settings = settings_v1(
            auth_url=["http://A.example:80/auth/", "http://b.example/auth"],
            proxies=["https://P.example:443/", "http://q.example:8080"],
        )
        self.assertEqual(
            settings.auth_urls, ("http://a.example/auth", "http://b.example/auth")
        )
        self.assertEqual(
            settings.proxies, ("https://p.example", "http://q.example:8080")
        )

    def test_user_of_keystone(self) -> None:
        """
        Keystone's tokens are got by a user's password, too.
        """
        settings = self.settings(USER)
        self.assertEqual(settings.username, "glance")
        self.assertIsNone(settings.application_credential_id)

    def test_secrets_not_shown(self) -> None:
        """
        No secret is in what the settings look like.
        """
        shown = [
            repr(settings_v1(tempurl_key="a-tempurl-key")),
            repr(settings_v3()),
            repr(self.settings(USER)),
        ]
        for secret in ("a-key", "a-secret", "a-password", "a-tempurl-key"):
            self.assertNotIn(secret, "".join(shown))

    def test_secrets_in_files(self) -> None:
        """
        Each secret may lie in a file.
        """
        names = {option.name for option in OPTIONS if option.secret}
        self.assertEqual(
            names,
            {"key", "application_credential_secret", "password", "tempurl_key"},
        )

    def test_which_auth(self) -> None:
        """
        There are two kinds of tokens.
        """
        self.assertIn('"v1" or "v3"', self.refused("auth", auth="v2"))

    def test_keys_of_the_other(self) -> None:
        """
        A key for tokens of the other kind is refused, and says for which it is.
        """
        self.assertIn('auth = "v3"', self.refused("username", username="x"))
        self.assertIn('auth = "v1"', self.refused("user", auth="v3", user="x"))
        self.refused("region", region="x")

    def test_missing(self) -> None:
        """
        A key that is missing is named, with what asks for it.
        """
        self.assertIn("key_file", self.refused("key", key=None))
        self.assertIn("user is given", self.refused("key", key=None))
        for name in ("password", "project_name", "user_domain_name"):
            error = self.assertRaises(ConfigError, self.settings, {**USER, name: None})
            self.assertEqual(error.key, name)
            self.assertIn("username is given", error.problem)

    def test_one_way_in(self) -> None:
        """
        An application credential and a user are one too many; neither is too few.
        """
        self.refused("auth", **{**V3, **USER})
        nobody = {"application_credential_id": None}
        nobody["application_credential_secret"] = None
        self.refused("auth", auth="v3", **nobody)

    def test_empty(self) -> None:
        """
        Empty texts and lists say nothing, and are refused.
        """
        for name, value in [("user", ""), ("proxies", []), ("auth_url", [])]:
            self.assertEqual(self.refused(name, **{name: value}), "is empty")

    def test_urls(self) -> None:
        """
        What is no URL of a server is refused, by its key.
        """
        for name in ("auth_url", "proxies", "read_proxies"):
            for value in (
                "swift",
                "ftp://a",
                "http://u:p@a",
                "http://a?b",
                "http://a b",
            ):
                self.refused(name, **{name: [value]})
        self.refused("proxies", proxies=["http://a/v1/AUTH_test"])
        self.refused("read_proxies", read_proxies=["http://a/v1"])

    def test_twice(self) -> None:
        """
        A URL stands once.
        """
        self.refused("proxies", proxies=["http://a", "http://a:80/"])
        self.refused("read_proxies", proxies=["http://a"], read_proxies=["http://a"])

    def test_two_ways_to_read(self) -> None:
        """
        Where else to read is said once.
        """
        self.refused(
            "read_proxies", auth="v3", read_region="b", read_proxies=["http://a"]
        )

    def test_numbers(self) -> None:
        """
        Numbers have their bounds.
        """
        for name, values in {
            "segment_size": (0, 256, 6 * 1024**3),
            "grace_seconds": (-1, 10**12),
            "tempurl_seconds": (10, 86400),
        }.items():
            for value in values:
                self.refused(name, **{name: value})

    def test_container(self) -> None:
        """
        The names of containers are plain.
        """
        for value in ("a/b", "ä", " ", "a b", "x" * 201, ".."):
            self.refused("container", container=value)

    def test_headers(self) -> None:
        """
        What is sent in a header can stand in one.
        """
        for name in ("user", "key", "policy"):
            for value in ("x1\nx2", "xyzä", " xyz"):
                problem = self.refused(name, **{name: value})
                self.assertNotIn(value, problem)

    def test_redirects_need_a_key(self) -> None:
        """
        URLs are signed with a key.
        """
        self.refused("tempurl_key", tempurl_redirect=True)
        settings_v1(tempurl_redirect=True, tempurl_key="k")

    def test_ca_file(self) -> None:
        """
        Who signs certificates matters only where there are some.
        """
        self.refused("ca_file", ca_file="/ca.pem")
        self.assertEqual(settings_v3(ca_file="/ca.pem").ca_file, "/ca.pem")
        self.assertTrue(settings_v1(ca_file="/ca.pem", proxies=["https://a"]))


class FactoryTests(SynchronousTestCase):
    """What makes a store."""

    def setUp(self) -> None:
        self.agent = ScriptedAgent()
        self.other = ScriptedAgent()
        self.files: list[str] = []
        self.tools = evolve(inline_tools("main"), agent=self.agent)

    def trust(self, ca_file: str) -> ScriptedAgent:
        self.files.append(ca_file)
        if ca_file == "/bad.pem":
            raise ConfigError(ca_file, "ca_file", "holds no certificate in PEM")
        return self.other

    def options(self, **more: Any) -> dict[str, Any]:
        defaults = {option.name: option.default for option in OPTIONS}
        return {**defaults, **V3, **more}

    def test_found(self) -> None:
        """
        The backend is found as it is installed, and is a factory.
        """
        verifyObject(IBackendFactory, swift)
        self.assertIn(swift, find_factories())

    def test_at_once(self) -> None:
        """
        A store is made without a request; the first one goes when the reactor runs.
        """
        backend = swift.make(self.options(), self.tools)
        self.assertIsInstance(backend, SwiftBackend)
        self.assertEqual(self.agent.asked, [])
        clock = self.tools.clock
        assert isinstance(clock, Clock)
        clock.advance(0)
        self.assertEqual(len(self.agent.asked), 1)

    def test_own_certificates(self) -> None:
        """
        With ``ca_file`` only its certificates are trusted.
        """
        tools = evolve(self.tools, trusting=self.trust)
        swift.make(self.options(ca_file="/ca.pem"), tools)
        clock = self.tools.clock
        assert isinstance(clock, Clock)
        clock.advance(0)
        self.assertEqual(self.files, ["/ca.pem"])
        self.assertEqual((len(self.agent.asked), len(self.other.asked)), (0, 1))

    def test_bad_certificates(self) -> None:
        """
        A ``ca_file`` that cannot be used stops the start, by its key.
        """
        tools = evolve(self.tools, trusting=self.trust)
        for used in (tools, self.tools):
            error = self.assertRaises(
                ConfigError, swift.make, self.options(ca_file="/bad.pem"), used
            )
            self.assertEqual((error.source, error.key), ("main", "ca_file"))

    def test_no_agent(self) -> None:
        """
        Where no connections are opened there is no Swift.
        """
        error = self.assertRaises(
            ConfigError, swift.make, self.options(), inline_tools("main")
        )
        self.assertEqual(error.key, "backend")

    def test_reads_the_options(self) -> None:
        """
        What is wrong with a key is told by the key.
        """
        error = self.assertRaises(
            ConfigError, swift.make, self.options(segment_size=1), self.tools
        )
        self.assertEqual(error.key, "segment_size")
