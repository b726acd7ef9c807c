# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the leases that other servers have of images here.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from glancetx.errors import (
    Forbidden,
    LeaseConflict,
    NoSuchImage,
    NoSuchLease,
    TooMany,
)
from glancetx.image import Digest

from .catalogues import DIGEST, NOON, CatalogueTestCase
from .test_catalogue_change import HOLDER, lease_of

OTHER = "22222222-2222-4222-8222-222222222222"


class LeaseTests(CatalogueTestCase):
    """``lease``, ``leases`` and ``release``"""

    async def test_new(self) -> None:
        """
        Leases come back as they were given, the first of them first.
        """
        image = await self.active()
        late = lease_of(image, created_at=NOON + timedelta(seconds=1), project=None)
        early = lease_of(image, holder=OTHER)
        for lease in (late, early):
            self.assertTrue(await self.catalogue.lease(lease, DIGEST, 2))
        self.assertEqual(await self.catalogue.leases(image.id), (early, late))
        self.assertEqual(await self.catalogue.leases("nobody"), ())

    async def test_renewed(self) -> None:
        """
        A holder renews its lease, which stays as old as it is and counts once.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 1)
        later = NOON + timedelta(days=1)
        again = lease_of(image, url="http://new.invalid", until=later, created_at=later)
        self.assertFalse(await self.catalogue.lease(again, DIGEST, 1))
        kept = evolve(again, created_at=NOON)
        self.assertEqual(await self.catalogue.leases(image.id), (kept,))

    async def test_other_bytes(self) -> None:
        """
        Bytes that are not the image's, or not there yet, cannot be leased.
        """
        image, queued = await self.active(), await self.queued()
        other = Digest("sha512", DIGEST.value)
        for leased, digest in ((image, other), (queued, DIGEST)):
            with self.assertRaises(LeaseConflict) as caught:
                await self.catalogue.lease(lease_of(leased), digest, 9)
            self.assertIn(leased.id, str(caught.exception))
            self.assertEqual(await self.catalogue.leases(leased.id), ())

    async def test_deactivated(self) -> None:
        """
        The bytes of a deactivated image can be leased: they are there.
        """
        image = await self.active()
        await self.catalogue.change(image.id, lambda old: old.deactivated(NOON))
        self.assertTrue(await self.catalogue.lease(lease_of(image), DIGEST, 9))

    async def test_others_lease(self) -> None:
        """
        Only the project that took a lease renews it.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 9)
        for project in ("q", None):
            with self.assertRaises(Forbidden):
                lease = lease_of(image, project=project, url="http://evil.invalid")
                await self.catalogue.lease(lease, DIGEST, 9)
        self.assertEqual(await self.catalogue.leases(image.id), (lease_of(image),))

    async def test_too_many(self) -> None:
        """
        An image has no more leases than it may have.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 1)
        with self.assertRaises(TooMany) as caught:
            await self.catalogue.lease(lease_of(image, holder=OTHER), DIGEST, 1)
        self.assertEqual(caught.exception.field, "leases")

    async def test_no_image(self) -> None:
        """
        An image that is not there cannot be leased.
        """
        image = await self.active()
        await self.catalogue.delete(image.id)
        with self.assertRaises(NoSuchImage):
            await self.catalogue.lease(lease_of(image), DIGEST, 9)

    async def test_released(self) -> None:
        """
        A lease that is released is gone, once; those of others stay.
        """
        image = await self.active()
        for holder in (HOLDER, OTHER):
            await self.catalogue.lease(lease_of(image, holder=holder), DIGEST, 9)
        await self.catalogue.release(image.id, OTHER)
        self.assertEqual(await self.catalogue.leases(image.id), (lease_of(image),))
        with self.assertRaises(NoSuchLease):
            await self.catalogue.release(image.id, OTHER)
