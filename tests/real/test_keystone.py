# Copyright glancetx contributors. See LICENSE for details.

"""
A server whose real Keystone takes back what it gave, stops, hangs and returns.
"""

from __future__ import annotations

from functools import cache
from time import monotonic, sleep
from typing import Any

from .clients import ClientCase, ImageServer, Person, Reply
from .keystone import ALICE, GLANCE, RITA, Keystone

REMEMBERED, PATIENCE = 4, 2
"""Seconds."""
LIMIT = 60
LIMITS = f"""
[limits]
identity_cache_seconds = {REMEMBERED}
identity_seconds = {PATIENCE}
"""
LIST = "/v2/images"


@cache
def own_keystone() -> Keystone:
    """One that may be stopped, and whose accounts may be changed."""
    return Keystone()


class KeystoneCase(ClientCase):
    """Tests with a Keystone of their own, of which little is remembered."""

    more = LIMITS

    def find_keystone(self) -> Keystone:
        return own_keystone()

    def ask(self, token: str) -> Reply:
        """What somebody with this token is told."""
        return self.alice.asks("GET", LIST, token=token)

    def until(self, code: int, token: str) -> Reply:
        """Ask until it is answered so, and never let it be answered otherwise."""
        end = monotonic() + LIMIT
        while (reply := self.ask(token)).code != code:
            self.assertEqual(reply.code, 200)
            self.assertLess(monotonic(), end)
            sleep(0.2)
        return reply


class RevokedTests(KeystoneCase):
    """What was good once"""

    def test_revoked(self) -> None:
        """
        A token that is revoked is soon refused, and another is not.
        """
        first, second = (self.keystone.token(ALICE) for _ in range(2))
        self.assertEqual(self.ask(first).code, 200)
        self.keystone.revoke(first)
        reply = self.until(401, first)
        self.assertIn(self.keystone.url[:-3], reply.headers["WWW-Authenticate"])
        self.assertEqual(self.ask(second).code, 200)

    def test_invented(self) -> None:
        """
        A token that Keystone never gave is refused.
        """
        self.assertEqual(self.ask("gAAAAABinvented").code, 401)

    def test_disabled(self) -> None:
        """
        Who is disabled is soon refused, with the token that he has.
        """
        token = self.keystone.token(RITA)
        self.assertEqual(self.ask(token).code, 200)
        self.change_user(RITA.user, {"enabled": False})
        self.until(401, token)
        self.change_user(RITA.user, {"enabled": True})

    def test_password(self) -> None:
        """
        Who is not let in by Keystone reads why from his client.
        """
        said = self.alice.is_refused("openstack --os-password wrong image list")
        self.assertIn("HTTP 401", said)

    def change_user(self, name: str, change: dict[str, Any]) -> None:
        """Have the administrator change an account."""
        (found,) = self.keystone.ask("GET", f"/users?name={name}").body["users"]
        self.keystone.ask("PATCH", f"/users/{found['id']}", {"user": change})


class AwayTests(KeystoneCase):
    """A Keystone that gives no answer"""

    def test_stopped(self) -> None:
        """
        While Keystone is stopped, the callers it has spoken of go on for a while,
        then all are told to come back; when it is back, so are they.
        """
        known, unknown = (self.keystone.token(ALICE) for _ in range(2))
        self.assertEqual(self.ask(known).code, 200)
        self.keystone.stop()
        try:
            self.assertEqual(self.ask(known).code, 200)
            self.assertEqual(self.ask(unknown).code, 503)
            reply = self.until(503, known)
        finally:
            self.keystone.start()
        self.assertTrue(int(reply.headers["Retry-After"]) > 0)
        self.assertIn("Keystone", reply.problem)
        self.assertEqual(self.ask(known).code, 200)
        self.assertEqual(self.ask(unknown).code, 200)
        self.assertIn("Keystone answers again", self.server.output)

    def test_hung(self) -> None:
        """
        While Keystone hangs, nobody waits for long and nobody is let in.
        """
        token = self.keystone.token(ALICE)
        self.keystone.signal("STOP")
        try:
            began = monotonic()
            reply = self.ask(token)
            # What is compared is a promise of seconds, with time for a busy machine.
            self.assertLess(monotonic() - began, 10 * PATIENCE)
        finally:
            self.keystone.signal("CONT")
        self.assertEqual(reply.code, 503)
        self.assertIn(f"within {PATIENCE} seconds", reply.problem)
        self.assertEqual(self.ask(token).code, 200)

    def test_client(self) -> None:
        """
        A client whose token is remembered works without Keystone, another says why not.
        """

        def ask(conn: Any, url: str, token: str) -> Any:
            from importlib import import_module  # noqa: PLC0415

            auth = {"endpoint": url, "token": token}
            mine = import_module("openstack").connect(
                auth_type="admin_token", auth=auth, load_envvars=False
            )
            return [image.name for image in mine.image.images()]

        self.alice.types("openstack image create lasting")
        known, unknown = (self.keystone.token(ALICE) for _ in range(2))
        self.assertEqual(self.ask(known).code, 200)
        self.keystone.stop()
        try:
            url = f"{self.server.url}/v2"
            names = self.alice.calls("openstacksdk", ask, url, known)
            self.assertIn("lasting", names)
            said = self.alice.fails("openstacksdk", ask, url, unknown)
        finally:
            self.keystone.start()
        self.assertIn("HttpException: 503", said)


class ApplicationTests(KeystoneCase):
    """Application credentials"""

    def test_whole(self) -> None:
        """
        A program acts for who gave it a credential.
        """
        key, secret = self.keystone.application_credential(ALICE, "whole")
        program = Person(self, ALICE, (key, secret))
        made = program.sees("openstack image create theirs")
        self.assertEqual(made["owner"], self.alice.project_id)

    def test_rules(self) -> None:
        """
        A credential with access rules is good for those calls, and no others.
        """
        rules = [{"service": "image", "method": "GET", "path": "/v2/images"}]
        key, secret = self.keystone.application_credential(ALICE, "rules", rules)
        program = Person(self, ALICE, (key, secret))
        self.alice.types("openstack image create narrow")
        names = [row["Name"] for row in program.sees("openstack image list")]
        self.assertIn("narrow", names)
        said = program.is_refused("openstack image create more")
        self.assertIn("401", said)

    def test_own(self) -> None:
        """
        A server whose own credential is withdrawn says that it cannot tell who asks.
        """
        key, secret = self.keystone.application_credential(GLANCE, "server")
        login = f"""
        application_credential_id = "{key}"
        application_credential_secret = "{secret}"
        """
        server = ImageServer(self.keystone, LIMITS, login)
        self.addCleanup(server.stop)
        self.addCleanup(self.keystone.publish, "image", self.server.url)
        self.server, shared = server, self.server
        self.assertEqual(self.ask(self.keystone.token(ALICE)).code, 200)
        (owner,) = self.keystone.ask("GET", "/users?name=glance").body["users"]
        path = f"/users/{owner['id']}/application_credentials/{key}"
        self.keystone.ask("DELETE", path)
        reply = self.ask(self.keystone.token(ALICE))
        self.assertEqual(reply.code, 503)
        self.assertIn("this server's own", reply.problem)
        self.assertNotIn(secret, server.output)
        self.server = shared
