# Copyright glancetx contributors. See LICENSE for details.

"""
That tokens and other secrets reach only those they are meant for, and no log.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.logger import capturedLogs, eventAsText
from twisted.web.server import Request, Site

from glancetx.config import OriginConfig

from .fake_keystone import FakeKeystone
from .loopback import Loopback
from .personas import PersonaCase
from .players import Glancetx, Played
from .servers import reactor

OWN = "gtx_0123456789abcdef_own-credential-of-the-zone"
DATA = b"the bytes of an image"


class Careful(Glancetx):
    """
    An origin that shows its images to those with a good token only.

    :ivar heard: all headers of all requests, as they came.
    """

    def __init__(self, *images: Played, good: str = "") -> None:
        super().__init__(*images)
        self.good = good
        self.heard: list[str] = []

    def render(self, request: Request) -> bytes:
        headers = list(request.requestHeaders.getAllRawHeaders())
        self.heard.append(f"{request.method!r} {request.uri!r} {headers}")
        if self.good and request.getHeader(b"x-auth-token") != self.good.encode():
            request.setResponseCode(401)
            return b""
        return super().render(request)


class TokenTests(PersonaCase):
    """What callers show to a zone, and what it shows to others."""

    def play(self, player: Careful) -> str:
        server = Loopback(reactor, Site(player))
        self.addCleanup(server.stop)
        return server.url

    async def test_not_to_origins(self) -> None:
        """
        A caller's token is for this server: an origin never hears of it. The server's
        own takes leases, and neither looks up nor reads what all may have.
        """
        for identity in (self.identity, None):
            origin = Careful(Played(1))
            url = self.play(origin)
            path = os.path.join(os.path.dirname(self.identity.tokens_file or ""), "own")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(OWN)
            config = OriginConfig("global", url, credential_file=path)
            zone = await self.serve([config], identity=identity)
            fields = {"parent_id": f"{url}/images/{Played(1).id}"}
            image_id = await self.make(zone, "owner", fields)
            reply = await self.ask(zone, "owner", "GET", f"/images/{image_id}/stream")
            self.assertEqual(reply.code, 200)
            self.assertGreater(len(origin.heard), 1)
            self.assertNotIn(self.tokens["owner"], "".join(origin.heard))
            reads = [one for one in origin.heard if one.startswith("b'GET'")]
            for one in (origin.heard[0], *reads):
                self.assertNotIn(OWN, one, "it was not needed")
            self.assertTrue(reads)

    async def test_own_credential(self) -> None:
        """
        The zone's credential goes to its origin, and no other; and only where the
        origin does not answer without.
        """
        public = {"visibility": "public"}
        origin = Careful(Played(1, more=public), good=OWN)
        other = Careful(Played(2, DATA))
        urls = [self.play(origin), self.play(other)]
        path = os.path.join(os.path.dirname(self.identity.tokens_file or ""), "own")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(OWN)
        zone = await self.serve(
            [
                OriginConfig("global", urls[0], credential_file=path),
                OriginConfig("other", urls[1]),
            ],
            identity=self.identity,
        )
        for url, number in zip(urls, (1, 2), strict=True):
            fields = {"parent_id": f"{url}/images/{Played(number).id}"}
            image_id = await self.make(zone, "owner", fields)
            path = f"/images/{image_id}/stream"
            reply = await self.ask(zone, "owner", "GET", path)
            self.assertEqual(reply.body, b"some bytes" + DATA)
        self.assertIn(OWN, "".join(origin.heard))
        self.assertNotIn(OWN, "".join(other.heard))
        self.assertNotIn(self.tokens["owner"], "".join(origin.heard + other.heard))

    async def test_lost_credential(self) -> None:
        """
        Where the credential is, and why it cannot be used, the log alone tells.
        """
        origin = Careful(Played(1), good=OWN)
        url = self.play(origin)
        path = os.path.join(os.path.dirname(self.identity.tokens_file or ""), "own")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(OWN)
        config = OriginConfig("global", url, credential_file=path)
        zone = await self.serve([config], identity=self.identity)
        os.chmod(path, 0o644)
        fields = {"parent_id": f"{url}/images/{Played(1).id}"}
        with capturedLogs() as events:
            reply = await self.ask(zone, "owner", "POST", "/v2/images", fields)
        self.assertEqual(reply.code, 503)
        self.assertIn("its log says more", reply.json["serviceUnavailable"]["message"])
        for word in (path, "0644"):
            self.assertNotIn(word, reply.body.decode("utf-8"))
            self.assertIn(word, "\n".join(map(eventAsText, events)))

    async def test_same_keystone(self) -> None:
        """
        A caller's token goes to the origins that share its Keystone, when he attaches
        an image of theirs; his reading sends the zone's own.
        """
        keystone = await FakeKeystone().start(self)
        token = keystone.give("alice", "alpha")
        self.tokens["owner"] = token
        origin, other = Careful(Played(1), good=token), Careful(Played(2), good="?")
        urls = [self.play(origin), self.play(other)]
        zone = await self.serve(
            [
                OriginConfig("same", urls[0], same_keystone=True),
                OriginConfig("other", urls[1]),
            ],
            identity=keystone.config(),
        )
        fields = {"parent_id": f"{urls[0]}/images/{Played(1).id}"}
        image_id = await self.make(zone, "owner", fields)
        self.assertIn(token, "".join(origin.heard))
        origin.heard.clear()
        origin.good = ""
        await self.ask(zone, "owner", "GET", f"/images/{image_id}/stream")
        self.assertIn("GET", "".join(origin.heard))
        self.assertNotIn(token, "".join(origin.heard))
        reply = await self.ask(
            zone,
            "owner",
            "POST",
            "/v2/images",
            {"parent_id": f"{urls[1]}/images/{Played(2).id}"},
        )
        self.assertEqual(reply.code, 400)
        self.assertNotIn(token, "".join(other.heard))

    async def test_claims(self) -> None:
        """
        Headers that claim an identity make nobody anyone.
        """
        zone = await self.serve(identity=self.identity)
        claims = {
            "x_roles": "admin",
            "x_user_id": "admin",
            "x_project_id": "operators",
            "x_tenant": "operators",
            "x_identity_status": "Confirmed",
            "x_is_admin_project": "True",
        }
        reply = await self.ask(zone, "nobody", "GET", "/v2/images", **claims)
        self.assertEqual(reply.code, 401)
        image_id = await self.make(zone, "owner", {"visibility": "private"})
        path = f"/v2/images/{image_id}"
        reply = await self.ask(zone, "stranger", "GET", path, **claims)
        self.assertEqual(reply.code, 404)

    async def test_not_logged(self) -> None:
        """
        No token, credential or signature stands in a log or in an answer.
        """
        folder = os.path.dirname(self.identity.tokens_file or "")
        access = os.path.join(folder, "access.log")
        signature = "gtx_sig=5ec2e7"
        with capturedLogs() as events:
            zone = await self.serve(identity=self.identity, access_log=access)
            image_id = await self.make(zone, "owner", {})
            answers: list[Any] = []
            for who in ("owner", "stranger"):
                for path in (f"/images/{image_id}?{signature}", "/v2/images?limit=x"):
                    answers.append(await self.ask(zone, who, "GET", path))
            self.tokens["liar"] = "gtx_0123456789abcdef_not-a-token"
            answers.append(await self.ask(zone, "liar", "GET", "/v2/images"))
        told = [eventAsText(event) for event in events] + [repr(answers)]
        with open(access, encoding="utf-8") as file:
            told.append(file.read())
        self.assertIn(image_id, told[-1])
        for secret in (*self.tokens.values(), "5ec2e7"):
            if secret:
                self.assertNotIn(secret, "\n".join(told))
