# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of changes to image records, and of what may keep an image from deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from attrs import evolve

from glancetx.errors import BadValue, Forbidden, ImageInUse, NoSuchImage, WrongState
from glancetx.image import Image, Lease, Location, Status, Visibility

from .catalogues import DIGEST, NOON, CatalogueTestCase, far_pin, new_image, pin_of

HOLDER = "11111111-1111-4111-8111-111111111111"


def lease_of(image: Image, **fields: Any) -> Lease:
    """A lease that another server has for an hour."""
    until = NOON + timedelta(hours=1)
    lease = Lease(image.id, HOLDER, "https://zone.invalid", "p", until, NOON)
    return evolve(lease, **fields)


def always(image: Image) -> Callable[[Image], Image]:
    """Makes this of any image."""
    return lambda old: image


class ChangeTests(CatalogueTestCase):
    """``change``"""

    async def changed(self, image: Image, alter: Callable[[Image], Image]) -> Image:
        """What is said to be the image now, which is what is kept."""
        told = await self.catalogue.change(image.id, alter)
        self.assertEqual(await self.catalogue.find(image.id), told)
        return told

    async def test_round_trip(self) -> None:
        """
        Who owns an image, its flags and its tags come back as they were given.
        """
        image = new_image(
            owner="p", protected=True, hidden=True, tags=frozenset({"a", "", "ä"})
        )
        pins = (far_pin(visibility=Visibility.COMMUNITY, anonymous=False), far_pin())
        image = evolve(image, parents=pins)
        await self.catalogue.add(image)
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_everything(self) -> None:
        """
        All that may be changed is changed at once, and only that.
        """
        image = await self.queued(
            name="old", properties={"a": "1", "b": "2"}, tags=frozenset({"x", "y"})
        )
        wanted = evolve(
            image,
            updated_at=NOON + timedelta(days=1),
            name="new",
            visibility=Visibility.COMMUNITY,
            owner="p",
            protected=True,
            hidden=True,
            disk_format="qcow2",
            container_format="bare",
            min_disk=3,
            min_ram=4,
            properties={"b": "3", "c": "4"},
            tags=frozenset({"y", "z"}),
        )
        self.assertEqual(await self.changed(image, always(wanted)), wanted)

    async def test_emptied(self) -> None:
        """
        What can be taken away is gone.
        """
        image = await self.queued(
            name="old", owner="p", properties={"a": "1"}, tags=frozenset({"x"})
        )
        wanted = evolve(image, name=None, owner=None, properties={}, tags=frozenset())
        self.assertEqual(await self.changed(image, always(wanted)), wanted)

    async def test_fixed(self) -> None:
        """
        The id, the bytes and the chain stay, whatever is made of them.
        """
        image = await self.active(parents=(far_pin(),))
        nonsense = evolve(
            image,
            id="other",
            created_at=NOON - timedelta(days=1),
            parents=(),
            size=1,
            checksum="ff" * 16,
            digest=None,
            location=Location("main", "other"),
            stored_at=None,
        )
        self.assertEqual(await self.changed(image, always(nonsense)), image)

    async def test_seen_locked(self) -> None:
        """
        Each change begins with what the one before has left.
        """
        image = await self.queued()

        def count(old: Image) -> Image:
            so_far = int(old.properties.get("count", "0"))
            return evolve(old, properties={"count": str(so_far + 1)})

        other = await self.open()
        for catalogue in (self.catalogue, other) * 5:
            changed = await catalogue.change(image.id, count)
        self.assertEqual(changed.properties, {"count": "10"})

    async def test_refused(self) -> None:
        """
        What the function raises is raised, and nothing is changed.
        """
        image = await self.queued(tags=frozenset({"x"}))

        def refuse(old: Image) -> Image:
            raise Forbidden("not this one")

        with self.assertRaises(Forbidden):
            await self.catalogue.change(image.id, refuse)
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_half_changed(self) -> None:
        """
        A change that cannot be kept whole is not kept at all.
        """
        image = await self.queued(name="old")
        bad: Any = object()
        wrong = evolve(image, name="new", properties={"bad": bad})
        with self.assertRaises(Exception):  # noqa: B017 - the driver's own
            await self.catalogue.change(image.id, always(wrong))
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_number_too_large(self) -> None:
        """
        A number that the database cannot keep is refused by name.
        """
        image = await self.queued()
        for wrong in (evolve(image, min_disk=2**63), evolve(image, min_ram=-1)):
            with self.assertRaises(BadValue) as caught:
                await self.catalogue.change(image.id, always(wrong))
            self.assertIn(caught.exception.field, ("min_disk", "min_ram"))

    async def test_status(self) -> None:
        """
        An active image is deactivated and reactivated so.
        """
        image, later = await self.active(), NOON + timedelta(hours=1)
        off = await self.changed(image, lambda old: old.deactivated(later))
        self.assertEqual(
            off, evolve(image, status=Status.DEACTIVATED, updated_at=later)
        )
        on = await self.changed(image, lambda old: old.reactivated(later))
        self.assertEqual(on.status, Status.ACTIVE)

    async def test_no_other_status(self) -> None:
        """
        No image gets or loses bytes so.
        """
        for image, status in (
            (await self.queued(), Status.ACTIVE),
            (await self.active(), Status.QUEUED),
        ):
            with self.assertRaises(WrongState):
                await self.catalogue.change(
                    image.id, always(evolve(image, status=status))
                )
            self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_unknown(self) -> None:
        """
        An image that is not there cannot be changed.
        """
        with self.assertRaises(NoSuchImage):
            await self.catalogue.change("nobody", lambda old: old)


class GuardTests(CatalogueTestCase):
    """``delete``: what keeps an image."""

    async def test_check(self) -> None:
        """
        An image that a check refuses stays, and the check sees it as it is kept.
        """
        image = await self.queued(protected=True)
        seen = []

        def check(found: Image) -> None:
            seen.append(found)
            raise Forbidden("it is protected")

        with self.assertRaises(Forbidden):
            await self.catalogue.delete(image.id, check, force=True)
        self.assertEqual(seen, [image])
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_check_first(self) -> None:
        """
        The check is asked before anything else: who may not delete learns no more.
        """
        parent, (saving, _) = await self.active(), await self.saving()
        await self.queued(parents=(pin_of(parent),))

        def check(found: Image) -> None:
            raise Forbidden("not yours")

        for image in (parent, saving):
            with self.assertRaises(Forbidden):
                await self.catalogue.delete(image.id, check)

    async def test_check_passed(self) -> None:
        """
        An image that a check lets go is deleted, with all that belongs to it.
        """
        image = await self.queued(tags=frozenset({"x"}), properties={"a": "b"})
        gone = await self.catalogue.delete(image.id, lambda found: None)
        self.assertEqual(gone, image)

    async def test_leased(self) -> None:
        """
        A leased image stays, and each holder is named with its server and its time.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 9)
        with self.assertRaises(ImageInUse) as caught:
            await self.catalogue.delete(image.id)
        self.assertEqual(caught.exception.children, ())
        self.assertEqual(
            caught.exception.holders,
            (f"https://zone.invalid (holder {HOLDER}, until 2026-11-23T13:00:00Z)",),
        )

    async def test_expired(self) -> None:
        """
        A lease that has expired guards all the same, and is said to have expired.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 9)
        self.pass_seconds(3600)
        with self.assertRaises(ImageInUse) as caught:
            await self.catalogue.delete(image.id)
        self.assertIn("expired 2026-11-23T13:00:00Z", caught.exception.holders[0])

    async def test_forced(self) -> None:
        """
        Force sets leases aside, which go with the image.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 9)
        await self.catalogue.delete(image.id, force=True)
        self.assertEqual(await self.catalogue.leases(image.id), ())

    async def test_force_spares_children(self) -> None:
        """
        No force deletes the parent of an image that is here; all reasons are told.
        """
        parent = await self.active()
        child = await self.queued(parents=(pin_of(parent),))
        await self.catalogue.lease(lease_of(parent), DIGEST, 9)
        for force, holders in ((True, 0), (False, 1)):
            with self.assertRaises(ImageInUse) as caught:
                await self.catalogue.delete(parent.id, force=force)
            self.assertEqual(caught.exception.children, (child.id,))
            self.assertEqual(len(caught.exception.holders), holders)

    async def test_released(self) -> None:
        """
        When the last holder has released it, it can be deleted.
        """
        image = await self.active()
        await self.catalogue.lease(lease_of(image), DIGEST, 9)
        await self.catalogue.release(image.id, HOLDER)
        await self.catalogue.delete(image.id)
