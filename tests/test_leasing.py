# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.leasing`: what is asked, and what is made of the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from glancetx.config import OriginConfig
from glancetx.errors import IdentityUnavailable, OriginUnavailable
from glancetx.image import Digest
from glancetx.leasing import Leasing, Outcome, Standing
from glancetx.limits import Limits
from glancetx.origins import Origin
from glancetx.outbound import Outbound

from .agents import make_digests
from .loopback import Loopback
from .players import image_id

DIGEST = Digest("sha256", "ab" * 32)
HOLDER = "11111111-1111-4111-8111-111111111111"
ID = image_id(1)
PATH = f"/images/{ID}/leases/{HOLDER}"
URL = "http://zone.example.com:9292"
LIFE = 7200


class Giver(Resource):
    """
    A server that answers as it is told.

    :ivar answers: code and body by method.
    :ivar asked: method, path, token and body of each request.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[bytes, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.has_image = False

    def render(self, request: Request) -> Any:
        assert request.content is not None
        token = request.getHeader(b"x-auth-token")
        self.asked.append(
            (
                request.method.decode("ascii"),
                request.path.decode("ascii"),
                None if token is None else token.decode("ascii"),
                request.content.read(),
            )
        )
        if request.method not in self.answers:
            return NOT_DONE_YET
        code, body = self.answers[request.method]
        request.setResponseCode(code)
        if self.has_image:
            request.setHeader(b"X-Image-Meta-Id", ID.encode("ascii"))
        return body


class LeasingTests(TestCase):
    """Leases at a played server on loopback."""

    def setUp(self) -> None:
        self.outbound = Outbound(reactor, Limits())
        self.addCleanup(self.outbound.stop)
        self.giver = Giver()
        server = Loopback(reactor, Site(self.giver))
        self.addCleanup(server.stop)
        self.clock = Clock()
        self.url = server.url
        self.limits = Limits(lease_seconds=LIFE)
        self.leasing = Leasing(URL, self.clock, self.limits)
        self.origin = self.make_origin()

    def make_origin(self, **more: Any) -> Origin:
        config = OriginConfig("global", self.url, same_keystone=bool(more))
        return Origin(
            config, self.outbound, make_digests(), self.clock, self.limits, **more
        )

    def answer(self, method: str, code: int, document: Any = None) -> None:
        body = b"" if document is None else json.dumps(document).encode("ascii")
        self.giver.answers[method.encode("ascii")] = code, body

    async def take(self) -> Outcome:
        return await self.leasing.take(self.origin, ID, HOLDER, DIGEST)

    async def unavailable(self, asking: Callable[[], Any]) -> str:
        d = Deferred.fromCoroutine(asking())
        error: Any = await self.assertFailure(d, OriginUnavailable)
        self.assertEqual(error.origin, "global")
        return str(error.reason)

    async def end(self) -> str | None:
        return await self.leasing.end(self.origin, ID, HOLDER)

    async def test_taken(self) -> None:
        """
        The server is told which bytes are needed, where, and for how long.
        """
        self.answer("PUT", 201, {"lease": {"seconds": 600}})
        self.assertEqual(await self.take(), Outcome(Standing.HELD, seconds=600))
        [(method, path, token, body)] = self.giver.asked
        self.assertEqual((method, path, token), ("PUT", PATH, None))
        self.assertEqual(
            json.loads(body),
            {
                "digest": {"algorithm": "sha256", "value": DIGEST.value},
                "seconds": LIFE,
                "url": URL,
            },
        )

    async def test_seconds(self) -> None:
        """
        For how long it is given is believed if that is less than was asked for.
        """
        for said, seconds in [
            ({"lease": {"seconds": 1}}, 1),
            ({"lease": {"seconds": LIFE + 1}}, LIFE),
            ({"lease": {"seconds": 0}}, LIFE),
            ({"lease": {"seconds": -5}}, LIFE),
            ({"lease": {"seconds": True}}, LIFE),
            ({"lease": {"seconds": "60"}}, LIFE),
            ({"lease": []}, LIFE),
            ({}, LIFE),
        ]:
            self.answer("PUT", 200, said)
            outcome = await self.take()
            self.assertEqual(outcome, Outcome(Standing.HELD, seconds=seconds), said)

    async def test_token(self) -> None:
        """
        This server shows who it is, if it has a token for that one.
        """

        async def token() -> str:
            return "own-token"

        self.origin = self.make_origin(own_token=token)
        self.answer("PUT", 200, {})
        await self.take()
        self.answer("DELETE", 204)
        await self.end()
        self.assertEqual([one[2] for one in self.giver.asked], ["own-token"] * 2)

    async def test_no_token(self) -> None:
        """
        If its token cannot be had now, nothing is asked without.
        """

        async def token() -> str:
            raise IdentityUnavailable("Keystone is away")

        self.origin = self.make_origin(own_token=token)
        for asking in (self.take, self.end):
            self.assertIn("Keystone is away", await self.unavailable(asking))
        self.assertEqual(self.giver.asked, [])

    async def test_refused(self) -> None:
        """
        What another answer says will not change soon.
        """
        for code, words in [
            (401, "credential_file"),
            (403, "it answered 403"),
            (400, "it answered 400"),
            (302, "it answered 302"),
            (405, "it answered 405"),
        ]:
            self.answer("PUT", code)
            outcome = await self.take()
            self.assertEqual((outcome.standing, outcome.hidden), ("impossible", False))
            self.assertIn(words, outcome.reason or "")
            self.answer("DELETE", code)
            self.assertIn(words, await self.end() or "")

    async def test_other_bytes(self) -> None:
        """
        A server whose image has other bytes has lost what is needed.
        """
        self.answer("PUT", 409)
        outcome = await self.take()
        self.assertEqual((outcome.standing, outcome.hidden), ("lost", False))

    async def test_missing(self) -> None:
        """
        Whether it is the image that is missing is asked: else it is the leases.
        """
        self.answer("PUT", 404)
        self.answer("HEAD", 404)
        outcome = await self.take()
        self.assertEqual((outcome.standing, outcome.hidden), ("lost", True))
        self.assertEqual(self.giver.asked[-1][:2], ("HEAD", f"/images/{ID}"))
        self.giver.has_image = True
        self.answer("HEAD", 200)
        outcome = await self.take()
        self.assertEqual(outcome, Outcome(Standing.IMPOSSIBLE, "it gives no leases"))

    async def test_busy(self) -> None:
        """
        A server that is in trouble, or has too many leases, may give one later.
        """
        for code in (408, 413, 429, 500, 502, 503, 504):
            for method, asking in (("PUT", self.take), ("DELETE", self.end)):
                self.answer(method, code)
                reason = await self.unavailable(asking)
                self.assertEqual(reason, f"it answered {code}")
        self.answer("PUT", 404)
        self.answer("HEAD", 503)
        self.assertEqual(await self.unavailable(self.take), "it answered 503")

    async def test_nonsense(self) -> None:
        """
        An answer that is no JSON, or much too long, gives no lease.
        """
        for body, words in [(b"<html>", "no JSON"), (b"[" * 70000, "larger than")]:
            self.giver.answers[b"PUT"] = 200, body
            self.assertIn(words, await self.unavailable(self.take))

    async def test_ended(self) -> None:
        """
        A lease is ended; that there is none is no trouble.
        """
        for code in (204, 404):
            self.answer("DELETE", code)
            self.assertIsNone(await self.end())
        self.assertEqual(self.giver.asked[0], ("DELETE", PATH, None, b""))

    async def test_silent(self) -> None:
        """
        A server that says nothing is given up when its time is over.
        """
        for asking in (self.take, self.end):
            asked = len(self.giver.asked)
            waiting = Deferred.fromCoroutine(self.unavailable(asking))
            while len(self.giver.asked) == asked:
                await turn()
            self.clock.advance(self.limits.origin_seconds - 1)
            self.assertNoResult(waiting)
            self.clock.advance(1)
            self.assertIn("no whole answer in 30 seconds", await waiting)


async def turn() -> None:
    """Let the reactor work."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.001, turned.callback, None)
    await turned
