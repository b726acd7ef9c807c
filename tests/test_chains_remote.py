# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.chains`: parents on other servers.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from glancetx.caller import ANYONE, Caller
from glancetx.config import OriginConfig
from glancetx.errors import BadValue, OriginUnavailable
from glancetx.image import Digest, Pin, Visibility
from glancetx.limits import Limits
from glancetx.origins import Origins
from glancetx.outbound import Outbound

from .agents import make_digests
from .chain_records import OWN, Records, make_chains, pin
from .loopback import Loopback
from .players import Glance, Glancetx, Played, image_id

DEPTH = Limits().chain_depth
OTHER = Caller("u", "other", frozenset({"member", "reader"}))


class Endless(Glancetx):
    """A forged server: every image has another for its parent."""

    def __init__(self, *bases: str) -> None:
        super().__init__()
        self.bases = bases
        self.count = 0

    def answer(self, request: Request, parts: list[str]) -> bytes:
        self.count += 1
        base = self.bases[self.count % len(self.bases)]
        number = int(parts[-1][-12:])
        self.add(Played(number, parent=f"{base}/images/{image_id(number + 1)}"))
        return super().answer(request, parts)


class RemoteTests(TestCase):
    """Parents on other servers, which are real ones on loopback."""

    def setUp(self) -> None:
        self.records = Records()
        self.outbound = Outbound(reactor, Limits())
        self.addCleanup(self.outbound.stop)
        self.glancetx, self.glance, self.stranger = Glancetx(), Glance(), Glancetx()
        self.first = self.serve(self.glancetx)
        self.second = self.serve(self.glance)
        self.third = self.serve(self.stranger)
        self.configure(self.first.url, self.second.url)

    def serve(self, player: Glance | Glancetx) -> Loopback:
        server = Loopback(reactor, Site(player))
        self.addCleanup(server.stop)
        return server

    def configure(self, first: str, second: str) -> None:
        origins = Origins(
            [
                OriginConfig("global", first, ("http://old.example.com",)),
                OriginConfig("glance", second),
            ],
            self.outbound,
            make_digests(),
            Clock(),
            Limits(),
        )
        self.chains = make_chains(origins, self.records)

    def uri(self, server: Loopback, number: int) -> str:
        return f"{server.url}/images/{image_id(number)}"

    async def resolve(self, parent_id: str) -> list[tuple[str | None, str]]:
        pins = await self.chains.resolve(ANYONE, parent_id)
        return [(pin.origin, pin.image_id) for pin in pins]

    async def refused(self, parent_id: str) -> str:
        d = Deferred.fromCoroutine(self.chains.resolve(ANYONE, parent_id))
        error: Any = await self.assertFailure(d, BadValue)
        self.assertEqual(error.field, "parent_id")
        return str(error.problem)

    def at_first(self, *numbers: int) -> list[tuple[str | None, str]]:
        return [(self.first.url, image_id(number)) for number in numbers]

    async def test_golden(self) -> None:
        """
        The chain above a golden image of an origin is that image, as it says it is.
        """
        image = Played(1)
        self.glancetx.add(image)
        (found,) = await self.chains.resolve(ANYONE, self.uri(self.first, 1))
        self.assertEqual(
            found,
            Pin(
                origin=self.first.url,
                image_id=image.id,
                path=f"/images/{image.id}",
                name="image 1",
                disk_format="qcow2",
                size=len(image.data),
                virtual_size=None,
                checksum=image.said["checksum"],
                digest=Digest("sha256", image.digest),
            ),
        )

    async def test_alias(self) -> None:
        """
        A pin carries the origin's URL, though the caller gave an alias.
        """
        self.glancetx.add(Played(1))
        found = await self.resolve(f"http://old.example.com/v2/images/{image_id(1)}")
        self.assertEqual(found, self.at_first(1))

    async def test_bare_id(self) -> None:
        """
        A parent that an origin names by a bare id is its own.
        """
        self.records.add(2)
        self.glancetx.add(Played(1, parent=image_id(2)))
        self.glancetx.add(Played(2))
        found = await self.resolve(self.uri(self.first, 1))
        self.assertEqual(found, self.at_first(1, 2))

    async def test_three_servers(self) -> None:
        """
        A chain leads over a glancetx and a Glance, and may come home to this server,
        whose image's own chain was followed when it was made.
        """
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        self.glance.add(Played(2, parent=f"http://old.example.com/{image_id(3)}"))
        self.glancetx.add(Played(3, parent=OWN.uri(image_id(4))))
        self.records.add(4, pin(5), pin(6, "http://gone.example.com"))
        self.assertEqual(
            await self.resolve(self.uri(self.first, 1)),
            [
                (self.first.url, image_id(1)),
                (self.second.url, image_id(2)),
                (self.first.url, image_id(3)),
                (None, image_id(4)),
                (None, image_id(5)),
                ("http://gone.example.com", image_id(6)),
            ],
        )

    async def test_stranger(self) -> None:
        """
        An ancestor on a server that is not configured is named, and not asked.
        """
        self.stranger.add(Played(2))
        self.glancetx.add(Played(1, parent=self.uri(self.third, 2)))
        problem = await self.refused(self.uri(self.first, 1))
        self.assertIn(self.uri(self.third, 2), problem)
        self.assertIn("origin global", problem)
        self.assertIn("[[origins]]", problem)
        self.assertEqual(self.third.accepted, 0)

    async def test_forged_parent(self) -> None:
        """
        A parent that is no URI of an image is refused, and shown inert.
        """
        for parent in ("file:///etc/passwd", "http://169.254.169.254/", "\u202ex", "."):
            self.glancetx.add(Played(1, parent=parent))
            problem = await self.refused(self.uri(self.first, 1))
            self.assertIn(ascii(parent), problem)

    async def test_ancestor_missing(self) -> None:
        """
        An ancestor that is not there, here or on its origin, is named.
        """
        self.glancetx.add(Played(1, parent=image_id(2)))
        problem = await self.refused(self.uri(self.first, 1))
        self.assertIn(f"origin global has no image {image_id(2)}", problem)
        self.glancetx.add(Played(1, parent=OWN.uri(image_id(2))))
        problem = await self.refused(self.uri(self.first, 1))
        self.assertIn(f"no image {image_id(2)} here", problem)

    async def test_ancestor_without_digest(self) -> None:
        """
        An ancestor whose bytes could not be proved is refused.
        """
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        self.glance.add(Played(2, more={"os_hash_value": None}))
        problem = await self.refused(self.uri(self.first, 1))
        self.assertIn(f"image {image_id(2)} of origin glance has no SHA-256", problem)

    async def test_own_parent(self) -> None:
        """
        An image that says to be its own parent is refused, however it says so.
        """
        for parent in (
            image_id(1),
            self.uri(self.first, 1),
            f"http://old.example.com/v2/images/{image_id(1)}/file",
        ):
            self.glancetx.add(Played(1, parent=parent))
            problem = await self.refused(self.uri(self.first, 1))
            self.assertIn(f"comes back to image {image_id(1)}", problem)

    async def test_cycle(self) -> None:
        """
        A chain that comes back to one of its images is refused: by one server, by
        two, or by way of this one.
        """
        self.glancetx.add(Played(1, parent=image_id(2)))
        self.glancetx.add(Played(2, parent=image_id(1)))
        self.assertIn("comes back", await self.refused(self.uri(self.first, 1)))
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        self.glance.add(Played(2, parent=self.uri(self.first, 1)))
        self.assertIn("comes back", await self.refused(self.uri(self.first, 1)))
        self.glancetx.add(Played(1, parent=OWN.uri(image_id(3))))
        self.records.add(3, pin(1, self.first.url))
        self.assertIn("comes back", await self.refused(self.uri(self.first, 1)))

    async def test_same_id_elsewhere(self) -> None:
        """
        One id on several servers is several images.
        """
        self.glancetx.add(Played(1, parent=self.uri(self.second, 1)))
        self.glance.add(Played(1, parent=OWN.uri(image_id(1))))
        self.records.add(1)
        found = await self.resolve(self.uri(self.first, 1))
        self.assertEqual([origin for origin, _ in found], [*self.urls, None])

    @property
    def urls(self) -> tuple[str, str]:
        return self.first.url, self.second.url

    async def test_depth(self) -> None:
        """
        63 images may be above a new one, over whichever servers, and not 64.
        """
        for number in range(1, DEPTH):
            self.glancetx.add(Played(number, parent=self.uri(self.second, number + 1)))
            self.glance.add(Played(number, parent=self.uri(self.first, number + 1)))
        for player in (self.glancetx, self.glance):
            player.add(Played(DEPTH))
        found = await self.resolve(self.uri(self.first, 2))
        self.assertEqual(len(found), DEPTH - 1)
        problem = await self.refused(self.uri(self.first, 1))
        self.assertIn("more than 64 images", problem)

    async def test_endless(self) -> None:
        """
        An endless chain, offered by one forged server or by two, is given up at the
        limit: no more is asked than a chain may have.
        """
        one, two = Endless(), Endless()
        first, second = self.serve(one), self.serve(two)
        one.bases, two.bases = (first.url, second.url), (second.url, first.url)
        self.configure(first.url, second.url)
        problem = await self.refused(self.uri(first, 1))
        self.assertIn("more than 64 images", problem)
        self.assertEqual(one.count + two.count, DEPTH)

    async def unavailable(self, parent_id: str) -> str:
        d = Deferred.fromCoroutine(self.chains.resolve(ANYONE, parent_id))
        error: Any = await self.assertFailure(d, OriginUnavailable)
        return str(error.origin)

    async def test_down(self) -> None:
        """
        An origin that is down is not available, be it the first or a later one.
        """
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        await self.second.close()
        self.assertEqual(await self.unavailable(self.uri(self.first, 1)), "glance")
        self.assertEqual(await self.unavailable(self.uri(self.second, 2)), "glance")

    async def test_down_and_known(self) -> None:
        """
        What is known here already of an image is taken when its origin is down: its
        pin, and the rest of that chain.
        """
        known = (pin(2, self.second.url), pin(3))
        self.records.add(3)
        self.records.known[self.second.url, image_id(2)] = known
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        await self.second.close()
        self.assertEqual(
            await self.chains.resolve(ANYONE, self.uri(self.second, 2)), known
        )
        found = await self.chains.resolve(ANYONE, self.uri(self.first, 1))
        self.assertEqual(found[1:], known)

    async def test_down_and_granted(self) -> None:
        """
        What was granted to somebody else is not taken, wherever in the chain it is.
        """
        private = evolve(pin(3, self.first.url), visibility=Visibility.PRIVATE)
        self.records.add(4)
        here = self.records.images[image_id(4)]
        self.records.images[here.id] = evolve(here, visibility=Visibility.PRIVATE)
        await self.second.close()
        for granted in (private, pin(4)):
            known = (pin(2, self.second.url), granted)
            self.records.known[self.second.url, image_id(2)] = known
            with self.assertRaises(OriginUnavailable):
                await self.chains.resolve(OTHER, self.uri(self.second, 2))

    async def test_up_and_known(self) -> None:
        """
        An origin that answers is believed, not what was known before.
        """
        self.records.known[self.first.url, image_id(1)] = (pin(1, self.first.url),)
        self.assertIn("has no image", await self.refused(self.uri(self.first, 1)))

    async def test_known_cycle(self) -> None:
        """
        What is known is bounded as what is asked.
        """
        known = (pin(2, self.second.url), pin(1, self.first.url))
        self.records.known[self.second.url, image_id(2)] = known
        self.glancetx.add(Played(1, parent=self.uri(self.second, 2)))
        await self.second.close()
        self.assertIn("comes back", await self.refused(self.uri(self.first, 1)))
