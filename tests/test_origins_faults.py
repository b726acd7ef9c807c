# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.origins`: servers that do not answer as they should.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from glancetx.config import OriginConfig
from glancetx.errors import BadValue, OriginUnavailable
from glancetx.image import Pin
from glancetx.limits import Limits
from glancetx.origins import DESCRIPTION, Origin
from glancetx.outbound import Outbound

from .agents import make_digests
from .loopback import Asked, Loopback, RawServer
from .players import Played, image_id

ID = image_id(1)
LIMITS = Limits()


def answer(code: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer with a length."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def glancetx(image: Played, code: int = 200) -> bytes:
    """What a glancetx answers to HEAD."""
    headers = [f"X-Image-Meta-{name}: {value}" for name, value in image.said.items()]
    return "\r\n".join([f"HTTP/1.1 {code} X", *headers, "", ""]).encode("utf-8")


def glance(image: Played) -> bytes:
    """What a Glance answers to GET."""
    return answer(200, json.dumps(image.said).encode("ascii"))


class FaultTestCase(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.raw = RawServer(lambda asked, transport: b"")
        self.server = Loopback(reactor, self.raw)
        self.outbound = Outbound(reactor, LIMITS)
        self.origin = Origin(
            OriginConfig("global", self.server.url),
            self.outbound,
            make_digests(),
            self.clock,
            LIMITS,
        )
        self.addCleanup(self.server.stop)
        self.addCleanup(self.outbound.stop)

    def look_up(self, *answers: bytes, end: bool = False) -> Deferred[Pin]:
        """
        Look up while the server gives these answers.

        :param end: it ends the connection after the last.
        """
        left = list(answers)

        def give(asked: Asked, transport: Any) -> bytes:
            data = left.pop(0)
            if end and not left:
                transport.write(data)
                transport.loseConnection()
                return b""
            return data

        self.raw.answer = give

        async def looking() -> Pin:
            return (await self.origin.look_up(ID)).pin

        return Deferred.fromCoroutine(looking())

    async def unavailable(self, d: Deferred[Pin], *texts: str) -> None:
        error: Any = await self.assertFailure(d, OriginUnavailable)
        self.assertIs(type(error), OriginUnavailable)
        self.assertEqual(error.origin, "global")
        for text in texts:
            self.assertIn(text, error.reason)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def refused(self, d: Deferred[Pin], *texts: str) -> None:
        error: Any = await self.assertFailure(d, BadValue)
        self.assertEqual(error.field, "parent_id")
        for text in texts:
            self.assertIn(text, error.problem)


VERSIONS = answer(300)


class StatusTests(FaultTestCase):
    """Answers that say no."""

    async def test_good(self) -> None:
        """
        The answers of this module's two servers, without a fault, are taken.
        """
        pin = await self.look_up(glancetx(Played(1)))
        self.assertEqual(pin.path, f"/images/{ID}")
        pin = await self.look_up(VERSIONS, glance(Played(1)))
        self.assertEqual(pin.path, f"/v2/images/{ID}/file")

    async def test_no_glancetx(self) -> None:
        """
        A server that knows no ``HEAD /images/ID``, or answers it with something else,
        is asked as a Glance.
        """
        for code in (200, 300, 404, 405):
            pin = await self.look_up(answer(code), glance(Played(1)))
            self.assertEqual(pin.path, f"/v2/images/{ID}/file")

    async def test_hidden(self) -> None:
        """
        That an image may not be seen looks as if there were none.
        """
        for code in (401, 403, 404, 410):
            text = f"origin global has no image {ID} that may be read"
            await self.refused(self.look_up(VERSIONS, answer(code)), text)
            if code != 404:
                await self.refused(self.look_up(answer(code)), text)

    async def test_failing(self) -> None:
        """
        A server that fails, or refuses to say why not, is not available.
        """
        for code in (400, 429, 500, 502, 503, 504, 204, 206):
            await self.unavailable(self.look_up(answer(code)), f"answered {code}")
            await self.unavailable(
                self.look_up(VERSIONS, answer(code)), f"answered {code}"
            )

    async def test_redirect(self) -> None:
        """
        Redirects are not followed, wherever they lead; the error says what to do.
        """
        other = Loopback(reactor, RawServer(lambda asked, transport: VERSIONS))
        self.addCleanup(other.stop)
        for code in (301, 302, 303, 307, 308):
            for target in (other.url, "http://169.254.169.254/", "/elsewhere"):
                moved = answer(code, b"", f"Location: {target}/images/{ID}")
                for answers in ([moved], [VERSIONS, moved]):
                    await self.unavailable(
                        self.look_up(*answers), "redirects are not followed", "url"
                    )
        self.assertEqual(other.accepted, 0)
        self.assertEqual({asked.target for asked in self.raw.asked}, self.targets)

    targets = {f"/images/{ID}", f"/v2/images/{ID}"}

    async def test_body_of_a_refusal(self) -> None:
        """
        The body of a refusal is not read, however long it is.
        """
        endless = b"HTTP/1.1 500 X\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 999
        await self.unavailable(self.look_up(VERSIONS, endless), "answered 500")
        await self.server.emptied()

    async def test_down(self) -> None:
        """
        A server that is not there is not available.
        """
        await self.server.close()
        await self.unavailable(self.look_up(), "refuses connections")


class SilenceTests(FaultTestCase):
    """Servers that leave one waiting."""

    async def silence(self, *answers: bytes) -> None:
        silent: Deferred[None] = Deferred()
        left = list(answers)

        def give(asked: Asked, transport: Any) -> bytes:
            data = left.pop(0)
            if not left:
                silent.callback(None)
            return data

        self.raw.answer = give
        d = Deferred.fromCoroutine(self.origin.look_up(ID))
        await silent
        self.clock.advance(LIMITS.origin_seconds - 1)
        self.assertNoResult(d)
        self.clock.advance(1)
        error: Any = await self.assertFailure(d, OriginUnavailable)
        self.assertIn(f"no whole answer in {LIMITS.origin_seconds} s", error.reason)
        await self.server.emptied()

    async def test_no_answer(self) -> None:
        """
        Who does not answer is given up in time, and the connection is closed.
        """
        await self.silence(b"")
        await self.silence(VERSIONS, b"")

    async def test_half_an_answer(self) -> None:
        """
        So is who stops in the headers, or in the body.
        """
        await self.silence(b"HTTP/1.1 200 OK\r\nX-Image-Meta-Id: ")
        await self.silence(VERSIONS, b"HTTP/1.1 200 OK\r\nContent-Le")
        await self.silence(VERSIONS, glance(Played(1))[:-9])


class ForgeryTests(FaultTestCase):
    """Answers that cannot be true."""

    async def both(self, text: str, **more: Any) -> None:
        image = Played(1, more=more)
        for answers in ([glancetx(image)], [VERSIONS, glance(image)]):
            await self.unavailable(self.look_up(*answers), text)

    async def test_nonsense(self) -> None:
        """
        Neither a glancetx nor a Glance is believed nonsense.
        """
        await self.both("cannot be used", id=image_id(2))
        await self.both("cannot be used", size=2**63)
        await self.both("cannot be used", size=-1)
        await self.both("cannot be used", disk_format="../../x")
        await self.both("cannot be used", os_hash_value="0" * 63)
        await self.both("cannot be used", checksum="none")
        await self.both("cannot be used", name="x" * 256)

    async def test_no_digest(self) -> None:
        """
        An image without a digest is no parent, on whichever server.
        """
        image = Played(1, more={"os_hash_value": None, "os_hash_algo": None})
        text = "has no SHA-256 or SHA-512 digest"
        await self.refused(self.look_up(glancetx(image)), "origin global", text)
        await self.refused(self.look_up(VERSIONS, glance(image)), "origin global", text)

    async def test_not_active(self) -> None:
        """
        Nor is one that has no bytes yet.
        """
        image = Played(1, more={"status": "queued", "size": None})
        await self.refused(self.look_up(glancetx(image)), "is queued")
        await self.refused(self.look_up(VERSIONS, glance(image)), "is queued")

    async def test_garbage(self) -> None:
        """
        What is no HTTP, or no JSON, is no answer.
        """
        await self.unavailable(self.look_up(b"SSH-2.0-x\r\n"), "no proper HTTP")
        for text in (b"<html>", b"[]", b'{"id": ', b"[" * 9999, b"\xff", b""):
            await self.unavailable(self.look_up(VERSIONS, answer(200, text)), "no JSON")

    async def test_cut(self) -> None:
        """
        A description that ends early is no answer, with a length or without.
        """
        whole = glance(Played(1))
        await self.unavailable(
            self.look_up(VERSIONS, whole[:-9], end=True), "broke off"
        )
        endless = b"HTTP/1.1 200 OK\r\n\r\n" + whole.partition(b"\r\n\r\n")[2]
        await self.unavailable(self.look_up(VERSIONS, endless, end=True), "no length")
        await self.unavailable(self.look_up(b"", end=True), "broke before")

    async def test_encoded(self) -> None:
        """
        A compressed description is not unpacked.
        """
        bomb = gzip.compress(json.dumps(Played(1).said).encode("ascii"))
        zipped = answer(200, bomb, "Content-Encoding: gzip")
        await self.unavailable(self.look_up(VERSIONS, zipped), "encoded")
        await self.server.emptied()

    async def test_large(self) -> None:
        """
        A description without end is not read to it.
        """
        large = answer(200, b'{"x": "' + b"x" * DESCRIPTION)
        await self.unavailable(self.look_up(VERSIONS, large), "larger than")
        await self.server.emptied()

    async def test_huge_headers(self) -> None:
        """
        Neither are headers.
        """
        many = "".join(f"X-{number}: {'x' * 999}\r\n" for number in range(500))
        head = b"HTTP/1.1 200 OK\r\n" + many.encode("ascii")
        await self.unavailable(self.look_up(head), "bytes of headers")
        await self.server.emptied()
