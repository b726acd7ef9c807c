# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the projects that images are shared with.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from glancetx.errors import MemberExists, NoSuchImage, NoSuchMember, TooMany
from glancetx.image import Image, Member, MemberStatus

from .catalogues import NOON, CatalogueTestCase
from .test_catalogue_races import outcomes


def member_of(image: Image, project: str, seconds: int = 0) -> Member:
    """A project that an image was shared with so long after noon."""
    when = NOON + timedelta(seconds=seconds)
    return Member(image.id, project, MemberStatus.PENDING, when, when)


class MemberTests(CatalogueTestCase):
    """``membership``, ``members``, ``add_member``, ``set_member``, ``remove_member``"""

    async def test_nobody(self) -> None:
        """
        At first an image is shared with nobody, as is one that is not there.
        """
        image = await self.queued()
        for image_id in (image.id, "nobody"):
            self.assertIsNone(await self.catalogue.membership(image_id, "p"))
            self.assertEqual(await self.catalogue.members(image_id), ())

    async def test_added(self) -> None:
        """
        Members come back as they were added, the first of them first.
        """
        image, other = await self.queued(), await self.queued()
        late, early, third = (
            member_of(image, "late", 2),
            member_of(image, "early", 1),
            member_of(other, "late"),
        )
        for member in (late, early, third):
            await self.catalogue.add_member(member, 9)
        self.assertEqual(await self.catalogue.members(image.id), (early, late))
        self.assertEqual(await self.catalogue.membership(image.id, "late"), late)
        self.assertEqual(await self.catalogue.membership(other.id, "late"), third)
        self.assertIsNone(await self.catalogue.membership(other.id, "early"))

    async def test_twice(self) -> None:
        """
        An image is shared with a project once; what the project made of it stays.
        """
        image = await self.queued()
        member = evolve(member_of(image, "p"), status=MemberStatus.ACCEPTED)
        await self.catalogue.add_member(member, 1)
        with self.assertRaises(MemberExists):
            await self.catalogue.add_member(member_of(image, "p"), 1)
        self.assertEqual(await self.catalogue.members(image.id), (member,))

    async def test_too_many(self) -> None:
        """
        An image is shared with no more projects than it may be, also by two at once.
        """
        image = await self.queued()
        await self.catalogue.add_member(member_of(image, "a"), 2)
        other = await self.open()
        results = await outcomes(
            self.catalogue.add_member(member_of(image, "b"), 2),
            other.add_member(member_of(image, "c"), 2),
        )
        [refused] = [result for result in results if result is not None]
        self.assertIsInstance(refused, TooMany)
        self.assertEqual((refused.field, refused.limit), ("members", 2))
        self.assertEqual(len(await self.catalogue.members(image.id)), 2)

    async def test_no_image(self) -> None:
        """
        An image that is not there cannot be shared.
        """
        image = await self.queued()
        await self.catalogue.delete(image.id)
        with self.assertRaises(NoSuchImage):
            await self.catalogue.add_member(member_of(image, "p"), 9)

    async def test_set(self) -> None:
        """
        What a project makes of an image is kept, with the time.
        """
        image, later = await self.queued(), NOON + timedelta(hours=1)
        for project in ("p", "q"):
            await self.catalogue.add_member(member_of(image, project), 9)
        changed = await self.catalogue.set_member(
            image.id, "p", MemberStatus.REJECTED, later
        )
        expected = Member(image.id, "p", MemberStatus.REJECTED, NOON, later)
        self.assertEqual(changed, expected)
        self.assertEqual(
            await self.catalogue.members(image.id), (expected, member_of(image, "q"))
        )

    async def test_removed(self) -> None:
        """
        A project that is removed is a member no more; the others are.
        """
        image = await self.queued()
        for project in ("p", "q"):
            await self.catalogue.add_member(member_of(image, project), 9)
        await self.catalogue.remove_member(image.id, "p")
        self.assertEqual(
            await self.catalogue.members(image.id), (member_of(image, "q"),)
        )

    async def test_unknown(self) -> None:
        """
        A project that is no member cannot be changed or removed.
        """
        image, status = await self.queued(), MemberStatus.ACCEPTED
        await self.catalogue.add_member(member_of(image, "p"), 9)
        for image_id, project in ((image.id, "q"), ("nobody", "p")):
            with self.assertRaises(NoSuchMember):
                await self.catalogue.set_member(image_id, project, status, NOON)
            with self.assertRaises(NoSuchMember):
                await self.catalogue.remove_member(image_id, project)

    async def test_gone_with_image(self) -> None:
        """
        Members go with the image.
        """
        image = await self.queued()
        await self.catalogue.add_member(member_of(image, "p"), 9)
        await self.catalogue.delete(image.id)
        self.assertIsNone(await self.catalogue.membership(image.id, "p"))
