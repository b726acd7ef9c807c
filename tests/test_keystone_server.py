# Copyright glancetx contributors. See LICENSE for details.

"""
A whole server whose callers a Keystone knows, which fails in every way that it can.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater

from glancetx import parts
from glancetx.identity.keystone import Keystone
from glancetx.limits import Limits
from glancetx.times import utcnow

from .fake_keystone import FakeKeystone
from .servers import Reply, RunningServer, ServerCase, reactor
from .wire import Client

PATH = "/v2/images"
MINE = {"name": "mine", "visibility": "private"}


class KeystoneServerCase(ServerCase):
    """
    :ivar clock: by which answers of Keystone grow old, and are waited for.
    """

    keystone: FakeKeystone
    server: RunningServer

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.begun = utcnow()

        def make(settings: Any, agent: Any, _: Any, now: Any, limits: Any) -> Keystone:
            return Keystone(settings, agent, self.clock, self.now, limits)

        self.patch(parts, "Keystone", make)

    def now(self) -> datetime:
        return self.begun + timedelta(seconds=self.clock.seconds())

    async def begin(self) -> None:
        """Start a Keystone, and a server that asks it."""
        self.keystone = await FakeKeystone(self.now).start(self)
        self.server = await self.serve(identity=self.keystone.config())

    async def ask(
        self,
        token: str,
        method: str = "GET",
        path: str = PATH,
        record: Any = None,
        **headers: str,
    ) -> Reply:
        """Send a request; names of headers have ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["X-Auth-Token"] = token
        if record is not None:
            sent["Content-Type"] = "application/json"
        body = None if record is None else json.dumps(record).encode("utf-8")
        return await self.server.ask(method, path, sent, body)

    async def assert_open(self, token: str) -> None:
        reply = await self.ask(token)
        self.assertEqual(reply.code, 200, reply.body)

    async def assert_shut(self, token: str, method: str = "GET", **more: Any) -> None:
        """Whoever this is, he is told to come again, and nothing else."""
        reply = await self.ask(token, method, **more)
        self.assertEqual(reply.code, 503, reply.body)
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertNotIn("www-authenticate", reply.headers)
        self.assertIn("identities cannot be checked now", str(reply.json))


class CallersTests(KeystoneServerCase):
    """Who is let in, and as whom."""

    async def test_projects(self) -> None:
        """
        An image belongs to the project of the token; others do not find it, but admins.
        """
        await self.begin()
        alice = self.keystone.give("alice", "alpha")
        bob = self.keystone.give("bob", "beta")
        root = self.keystone.give("root", "ops", ["admin", "member", "reader"])
        reply = await self.ask(alice, "POST", record=MINE)
        self.assertEqual((reply.code, reply.json["owner"]), (201, "alpha"))
        path = f"{PATH}/{reply.json['id']}"
        codes = [(await self.ask(who, path=path)).code for who in (alice, bob, root)]
        self.assertEqual(codes, [200, 404, 200])

    async def test_reader(self) -> None:
        """
        Roles are Keystone's: who has that of a reader only can make nothing.
        """
        await self.begin()
        reader = self.keystone.give("alice", "alpha", ["reader"])
        reply = await self.ask(reader, "POST", record=MINE)
        self.assertEqual(reply.code, 403)
        await self.assert_open(reader)

    async def test_bad(self) -> None:
        """
        Whoever shows no good token is told where Keystone is.
        """
        await self.begin()
        challenge = f'Keystone uri="{self.keystone.url}"'
        for token in ("", "gAAAAAB-bad"):
            reply = await self.ask(token)
            self.assertEqual(reply.code, 401)
            self.assertEqual(reply.headers["www-authenticate"], challenge)

    async def test_claims(self) -> None:
        """
        Headers that claim an identity, as proxies of others set them, claim in vain.
        """
        await self.begin()
        claims = {
            "X_Identity_Status": "Confirmed",
            "X_Roles": "admin",
            "X_User_Id": "root",
            "X_Project_Id": "alpha",
            "X_Tenant_Id": "alpha",
            "X_Service_Roles": "service",
            "OpenStack_System_Scope": "all",
        }
        self.assertEqual((await self.ask("", **claims)).code, 401)
        alice = self.keystone.give("alice", "alpha")
        path = f"{PATH}/{(await self.ask(alice, 'POST', record=MINE)).json['id']}"
        bob = self.keystone.give("bob", "beta")
        self.assertEqual((await self.ask(bob, path=path, **claims)).code, 404)

    async def test_no_project(self) -> None:
        """
        A token that is for no project is a 403 with a sentence.
        """
        await self.begin()
        token = self.keystone.give(roles=["admin"], scope={"system": {"all": True}})
        reply = await self.ask(token)
        self.assertEqual(reply.code, 403)
        self.assertIn("scoped to a project", str(reply.json))

    async def test_bearer(self) -> None:
        """
        A token may also come as ``Authorization: Bearer``.
        """
        await self.begin()
        bearer = f"Bearer {self.keystone.give()}"
        reply = await self.ask("", Authorization=bearer)
        self.assertEqual(reply.code, 200)

    async def test_service(self) -> None:
        """
        A service may send a user's token that has expired, with its own beside it.
        """
        await self.begin()
        token = self.keystone.give(seconds=1)
        nova = self.keystone.give("nova", "service", ["service"])
        other = self.keystone.give("bob", "beta")
        self.clock.advance(2)
        for service, code in (("", 401), (other, 401), (nova, 200)):
            headers = {"X_Service_Token": service} if service else {}
            self.assertEqual((await self.ask(token, **headers)).code, code)

    async def test_rules(self) -> None:
        """
        An application credential is good for what its rules allow.
        """
        await self.begin()
        rule = {"service": "image", "method": "GET", "path": PATH}
        token = self.keystone.give(application=True, rules=[rule])
        await self.assert_open(token)
        reply = await self.ask(token, "POST", record=MINE)
        self.assertEqual(reply.code, 401)
        self.assertIn("access rules", str(reply.json))


class FailingTests(KeystoneServerCase):
    """Keystone fails."""

    known: str
    other: str

    async def begin(self) -> None:
        await super().begin()
        self.known, self.other = self.keystone.give(), self.keystone.give("bob", "beta")
        await self.assert_open(self.known)

    async def assert_closed(self) -> None:
        """
        Those of whom Keystone spoke are let in until 60 seconds are over; others, with
        good tokens or bad ones, are not, whatever they ask for.
        """
        await self.assert_open(self.known)
        for token in (self.other, "gAAAAAB-bad"):
            for method in ("GET", "HEAD"):
                code = (await self.ask(token, method, "/images/detail")).code
                self.assertEqual(code, 503)
            await self.assert_shut(token)
            await self.assert_shut(token, "POST", record=MINE)
            await self.assert_shut(token, "DELETE", path=f"{PATH}/{'0' * 36}")
        self.clock.advance(59.9 - self.clock.seconds())
        await self.assert_open(self.known)
        self.clock.advance(0.1)
        await self.assert_shut(self.known)
        self.assertEqual(self.server.pieces(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def assert_well(self) -> None:
        """All is as if nothing had been."""
        await self.assert_open(self.known)
        await self.assert_open(self.other)
        self.assertEqual((await self.ask("gAAAAAB-bad")).code, 401)
        reply = await self.ask(self.other)
        self.assertEqual(reply.json["images"], [])

    async def test_stopped(self) -> None:
        """
        Keystone is stopped, and comes back.
        """
        await self.begin()
        await self.keystone.stop()
        await self.assert_closed()
        await self.keystone.start(self)
        await self.assert_well()

    async def test_errors(self) -> None:
        """
        Keystone answers with errors.
        """
        await self.begin()
        self.keystone.status = 500
        await self.assert_closed()
        self.keystone.status = None
        await self.assert_well()

    async def test_rubbish(self) -> None:
        """
        Keystone answers with rubbish.
        """
        await self.begin()
        self.keystone.rubbish = b'{"token": {"user": {"id": "root"}}}'
        await self.assert_closed()
        self.keystone.rubbish = None
        await self.assert_well()

    async def test_revoked(self) -> None:
        """
        The server's own credential and its token are revoked.
        """
        await self.begin()
        self.keystone.revoke_own()
        self.keystone.trusts = False
        await self.assert_closed()
        self.keystone.trusts = True
        self.clock.advance(10)
        await self.assert_well()

    async def test_own_token_revoked(self) -> None:
        """
        If only the token is, nobody notices.
        """
        await self.begin()
        self.keystone.revoke_own()
        await self.assert_well()

    async def test_hung(self) -> None:
        """
        Keystone takes questions and does not answer: after 5 seconds all who wait are
        told so, none stays, and those who are remembered did not wait.
        """
        await self.begin()
        self.keystone.hang = True
        asking = [self.ask(self.keystone.give(f"user{n}")) for n in range(50)]
        waiting = [Deferred.fromCoroutine(one) for one in asking]
        while len(self.keystone.hanging) < 50:
            await deferLater(reactor, 0)
        await self.assert_open(self.known)
        self.clock.advance(4.9)
        await self.assert_open(self.known)
        self.assertFalse(any(d.called for d in waiting))
        self.clock.advance(0.1)
        replies = await gatherResults(waiting)
        self.assertEqual([reply.code for reply in replies], [503] * 50)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(list(self.server.parts.site.transfers), [])
        self.keystone.hang = False
        await self.assert_well()

    async def test_in_real_time(self) -> None:
        """
        The time is that of ``limits.identity_seconds``, by the server's own clock.
        """
        self.patch(parts, "Keystone", Keystone)
        self.keystone = await FakeKeystone().start(self)
        self.server = await self.serve(
            identity=self.keystone.config(), limits=Limits(identity_seconds=1)
        )
        self.keystone.hang = True
        begun = reactor.seconds()
        await self.assert_shut(self.keystone.give())
        self.assertLess(reactor.seconds() - begun, 5)

    async def test_client_leaves(self) -> None:
        """
        A client that leaves while Keystone is asked leaves nothing behind, and others
        with his token get their answer.
        """
        await self.begin()
        self.keystone.hang = True

        def leave(client: Client) -> None:
            client.send(_request("GET", PATH, self.other))

        await self.raw(self.server, leave)
        while not self.keystone.hanging:
            await deferLater(reactor, 0)
        d = Deferred.fromCoroutine(self.ask(self.other))
        await self.assert_open(self.known)
        self.keystone.release()
        self.assertEqual((await d).code, 200)


class UploadTests(KeystoneServerCase):
    """Uploads, of which no byte is read before it is known whose they are."""

    HEADERS = (
        "Content-Length: 1000000000",
        "Expect: 100-continue",
        "x-image-meta-disk_format: raw",
    )

    async def first_code(self, token: str) -> int:
        """The first status that a large upload gets, an interim one included."""

        def upload(client: Client) -> int:
            client.send(_request("POST", "/images", token, *self.HEADERS))
            return client.head()[0]

        return await self.raw(self.server, upload)

    async def test_refused(self) -> None:
        """
        Without a good token, or when it cannot be told, an upload is refused before it
        is asked for, and leaves nothing.
        """
        await self.begin()
        good = self.keystone.give()
        self.assertEqual(await self.first_code(""), 401)
        self.assertEqual(await self.first_code("gAAAAAB-bad"), 401)
        reader = self.keystone.give("rita", "alpha", ["reader"])
        self.assertEqual(await self.first_code(reader), 403)
        self.keystone.status = 500
        self.assertEqual(await self.first_code(good), 503)
        self.assertEqual(self.server.pieces(), [])
        self.keystone.status = None
        self.assertEqual((await self.ask(good)).json["images"], [])
        self.assertEqual(await self.first_code(good), 100)

    async def test_outlives(self) -> None:
        """
        An upload that was begun with a good token ends well, though the token is
        revoked in between and Keystone is away: who it was is known.
        """
        await self.begin()
        token = self.keystone.give("alice", "alpha", seconds=30)
        begun: Deferred[None] = Deferred()
        after = Event()

        def upload(client: Client) -> tuple[int, Any]:
            head = ("Content-Length: 10", "Expect: 100-continue", self.HEADERS[2])
            client.send(_request("POST", "/images", token, *head))
            self.assertEqual(client.head()[0], 100)
            client.send(b"first")
            reactor.callFromThread(begun.callback, None)
            after.wait(60)
            client.send(b"later")
            answer = client.answer()
            return answer.code, json.loads(answer.body)

        d = self.raw(self.server, upload)
        await begun
        self.keystone.revoke(token)
        self.clock.advance(61)
        await self.keystone.stop()
        after.set()
        code, record = await d
        self.assertEqual((code, record["image"]["owner"]), (201, "alpha"))


def _request(method: str, path: str, token: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: zone", *headers]
    if token:
        lines.append(f"X-Auth-Token: {token}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
