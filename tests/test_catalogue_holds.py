# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of holds: the leases that this server has of images elsewhere.
"""

from __future__ import annotations

from attrs import evolve

from glancetx.catalogue import Hold
from glancetx.image import Digest

from .catalogues import DIGEST, CatalogueTestCase, far_pin

ORIGIN = "http://global.invalid"


class HoldTests(CatalogueTestCase):
    """``hold``, ``claim``, ``unhold``, ``holds`` and ``holds_of``"""

    async def held(self, image_id: str = "an image", state: str = "held") -> Hold:
        hold = Hold(ORIGIN, image_id, DIGEST, state, self.pass_seconds(1))
        await self.catalogue.hold(hold)
        return evolve(hold, checked_at=self.now)

    async def test_noted(self) -> None:
        """
        Holds are found as they were noted last.
        """
        one, two = await self.held("1"), await self.held("2")
        self.assertEqual(await self.catalogue.holds(), (one, two))
        again = evolve(one, state="wanted", problem="it sleeps", until=None)
        await self.catalogue.hold(again, evolve(two, digest=Digest("sha512", "0")))
        noted = await self.catalogue.holds()
        self.assertEqual(noted[0], evolve(again, checked_at=self.now))
        self.assertEqual(noted[1].digest, Digest("sha512", "0"))

    async def test_claim(self) -> None:
        """
        Of those who read the same hold one may see to it; the next by what he noted.
        """
        hold = await self.held()
        now = self.pass_seconds(60)
        mine = await self.catalogue.claim(hold)
        self.assertEqual(mine, evolve(hold, checked_at=now))
        self.pass_seconds(1)
        self.assertIsNone(await self.catalogue.claim(hold))
        assert mine is not None
        self.assertIsNotNone(await self.catalogue.claim(mine))

    async def test_forgotten(self) -> None:
        """
        A hold goes, unless it was noted anew meanwhile.
        """
        hold = await self.held()
        again = await self.held()
        self.assertFalse(await self.catalogue.unhold(hold))
        self.assertEqual(await self.catalogue.holds(), (again,))
        self.assertTrue(await self.catalogue.unhold(again))
        self.assertFalse(await self.catalogue.unhold(again))
        self.assertEqual(await self.catalogue.holds(), ())

    async def test_of_image(self) -> None:
        """
        The holds of an image's ancestors come in the chain's order, without others.
        """
        pins = far_pin(), far_pin(), far_pin()
        child = await self.queued(parents=pins)
        other = far_pin()
        await self.queued(parents=(other,))
        for image_id in (pins[2].image_id, other.image_id, pins[0].image_id):
            await self.held(image_id)
        found = await self.catalogue.holds_of(child.id)
        ids = [hold.image_id for hold in found]
        self.assertEqual(ids, [pins[0].image_id, pins[2].image_id])

    async def test_needed(self) -> None:
        """
        What is needed is what chains here have of other glancetx servers, each once.
        """
        near, glance = far_pin(), far_pin(path="/v2/images/1/file")
        for parents in ((near,), (near,), (glance,)):
            await self.queued(parents=parents)
        needed = await self.catalogue.needed_holds()
        self.assertEqual(needed, ((ORIGIN, near.image_id, DIGEST),))

    async def test_server_id(self) -> None:
        """
        A server's name is ever the same, and no other's.
        """
        name = await self.catalogue.server_id()
        self.assertEqual(await (await self.open()).server_id(), name)
        self.assertEqual(len(name), 36)
