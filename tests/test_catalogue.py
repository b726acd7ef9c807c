# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of image records: what is kept, what is refused, what is deleted.
"""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList

from glancetx.errors import (
    BadValue,
    CatalogueUnavailable,
    ImageExists,
    ImageInUse,
    NoSuchImage,
    WrongState,
)
from glancetx.image import Status, Visibility

from .catalogues import (
    DIGEST,
    NOON,
    CatalogueTestCase,
    far_pin,
    new_image,
    pin_of,
)


class RecordTests(CatalogueTestCase):
    """``add`` and ``find``"""

    async def test_round_trip(self) -> None:
        """
        An image comes back as it was added, field by field.
        """
        image = new_image(
            name="golden",
            visibility=Visibility.PUBLIC,
            disk_format="qcow2",
            container_format="bare",
            min_disk=2**40,
            min_ram=512,
            properties={"os": "debian", "empty": ""},
            parents=(far_pin(name="a"), far_pin("http://b.invalid", size=2**62)),
        )
        await self.catalogue.add(image)
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_any_text(self) -> None:
        """
        Whatever text a name or a property is made of, it comes back exactly.
        """
        for text in (
            "",
            " ",
            "💽 \U0001f9ca",
            "a\r\nb",
            "\"';--",
            "\u202eevil",
            "ä%_\\",
        ):
            image = new_image(name=text, properties={text: text})
            await self.catalogue.add(image)
            found = await self.catalogue.find(image.id)
            self.assertEqual((found.name, found.properties), (text, {text: text}))

    async def test_moments(self) -> None:
        """
        Times keep their microseconds and are in UTC, whatever zone they came in.
        """
        there = NOON.astimezone(timezone(timedelta(hours=-3, minutes=30)))
        image = await self.queued(created_at=there)
        found = await self.catalogue.find(image.id)
        self.assertEqual(found.created_at.isoformat(), NOON.isoformat())

    async def test_naive_time(self) -> None:
        """
        A time without a zone is a mistake of the program, and nothing is kept.
        """
        image = new_image(created_at=NOON.replace(tzinfo=None))
        with self.assertRaises(Exception) as caught:
            await self.catalogue.add(image)
        self.assertIn("no time zone", str(caught.exception))
        await self.assert_nothing(image.id)

    async def test_unknown(self) -> None:
        """
        An id that nobody gave an image is named in the refusal.
        """
        with self.assertRaises(NoSuchImage) as caught:
            await self.catalogue.find("nobody")
        self.assertEqual(str(caught.exception), "no image nobody")

    async def test_together(self) -> None:
        """
        Images that are looked up at once are each found, or not.
        """
        one, two = await self.queued(name="one"), await self.queued(name="two")
        wanted = (one.id, "nobody", two.id, one.id)
        finding = [Deferred.fromCoroutine(self.catalogue.find(i)) for i in wanted]
        results: Any = await DeferredList(finding, consumeErrors=True)
        good = [result for found, result in results if found]
        self.assertEqual(good, [one, two, one])
        self.assertIsInstance(results[1][1].value, NoSuchImage)

    async def test_taken(self) -> None:
        """
        An id is given once; the image that has it stays as it is.
        """
        image = await self.queued(name="first")
        with self.assertRaises(ImageExists):
            await self.catalogue.add(evolve(image, name="second"))
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_only_queued(self) -> None:
        """
        Only an upload makes an image active: it cannot be added so.
        """
        for status in (Status.SAVING, Status.ACTIVE):
            image = new_image(status=status)
            with self.assertRaises(WrongState):
                await self.catalogue.add(image)
            await self.assert_nothing(image.id)

    async def test_number_too_large(self) -> None:
        """
        A number that the database cannot keep is refused by name.
        """
        for field in ("min_disk", "min_ram"):
            for number in (2**63, -1):
                with self.assertRaises(BadValue) as caught:
                    await self.catalogue.add(new_image(**{field: number}))
                self.assertEqual(caught.exception.field, field)

    async def test_half_added(self) -> None:
        """
        An image that cannot be kept whole is not kept at all, nor is its id taken.
        """
        image = new_image(properties={"bad": object()})
        with self.assertRaises(Exception):  # noqa: B017 - the driver's own
            await self.catalogue.add(image)
        await self.assert_nothing(image.id)
        await self.catalogue.add(evolve(image, properties={}))

    async def test_stopped(self) -> None:
        """
        A catalogue that was stopped, twice even, says so.
        """
        await self.catalogue.stop()
        await self.catalogue.stop()
        with self.assertRaises(CatalogueUnavailable):
            await self.catalogue.find("any")

    async def assert_nothing(self, image_id: str) -> None:
        with self.assertRaises(NoSuchImage):
            await self.catalogue.find(image_id)


class ParentTests(CatalogueTestCase):
    """Parents, and the images that know them."""

    async def test_active_parent(self) -> None:
        """
        An image whose parent is here and active is kept, with its chain in order.
        """
        parent = await self.active()
        chain = (pin_of(parent), far_pin(), far_pin())
        child = await self.queued(parents=chain)
        self.assertEqual((await self.catalogue.find(child.id)).parents, chain)
        self.assertEqual(await self.catalogue.children(parent.id), (child.id,))

    async def test_parent_not_active(self) -> None:
        """
        A parent here that has no bytes yet, or is gone, is refused.
        """
        active = await self.active()
        queued, (saving, _), gone = (
            await self.queued(),
            await self.saving(),
            await self.active(),
        )
        await self.catalogue.delete(gone.id)
        for image_id in (queued.id, saving.id, gone.id, "nobody"):
            pin = evolve(pin_of(active), image_id=image_id)
            with self.assertRaises(BadValue) as caught:
                await self.catalogue.add(new_image(parents=(pin,)))
            self.assertEqual(caught.exception.field, "parent_id")
            self.assertIn(image_id, caught.exception.problem)

    async def test_far_ancestor_here(self) -> None:
        """
        An ancestor here must be active too if the parent between is elsewhere.
        """
        active, queued = await self.active(), await self.queued()
        pin = evolve(pin_of(active), image_id=queued.id)
        with self.assertRaises(BadValue):
            await self.catalogue.add(new_image(parents=(far_pin(), pin)))

    async def test_children(self) -> None:
        """
        Children are those whose direct parent is this image on this server.
        """
        parent = await self.active()
        direct = await self.queued(parents=(pin_of(parent),))
        await self.queued(parents=(far_pin(), pin_of(parent)))
        await self.queued(parents=(far_pin(image_id=parent.id),))
        self.assertEqual(await self.catalogue.children(parent.id), (direct.id,))
        self.assertEqual(await self.catalogue.children(direct.id), ())

    async def test_known_chain(self) -> None:
        """
        Of an image elsewhere, what a child has pinned is known: it and its parents.
        """
        chain = (far_pin(), far_pin(), far_pin("http://other.invalid"))
        await self.queued(parents=chain)
        for depth, pin in enumerate(chain):
            assert pin.origin is not None
            known = await self.catalogue.known_chain(pin.origin, pin.image_id)
            self.assertEqual(known, chain[depth:])

    async def test_known_elsewhere(self) -> None:
        """
        The same id at another origin is another image, and nothing is known of it.
        """
        pin = far_pin()
        await self.queued(parents=(pin,))
        known = await self.catalogue.known_chain("http://b.invalid", pin.image_id)
        self.assertIsNone(known)

    async def test_known_newest(self) -> None:
        """
        Where children pinned different bytes under one id, the newest child counts.
        """
        pin = far_pin()
        newer = evolve(pin, digest=evolve(DIGEST, value="cd" * 32))
        for made, pinned in enumerate((pin, newer)):
            self.now = NOON + timedelta(seconds=made)
            await self.queued(created_at=self.now, parents=(pinned,))
        assert pin.origin is not None
        known = await self.catalogue.known_chain(pin.origin, pin.image_id)
        self.assertEqual(known, (newer,))


class DeleteTests(CatalogueTestCase):
    """``delete``"""

    async def test_tombstone(self) -> None:
        """
        A deleted image is gone, and its id never comes back.
        """
        for image in (await self.queued(), await self.active()):
            self.assertEqual(await self.catalogue.delete(image.id), image)
            with self.assertRaises(NoSuchImage):
                await self.catalogue.find(image.id)
            with self.assertRaises(ImageExists):
                await self.catalogue.add(new_image(id=image.id))
            with self.assertRaises(NoSuchImage):
                await self.catalogue.delete(image.id)

    async def test_tombstone_survives(self) -> None:
        """
        That an id was taken is known to the next server on the same file.
        """
        image = await self.queued()
        await self.catalogue.delete(image.id)
        await self.catalogue.stop()
        self.catalogue = await self.open()
        with self.assertRaises(ImageExists):
            await self.catalogue.add(new_image(id=image.id))

    async def test_bytes_known(self) -> None:
        """
        The bytes of a deleted image stay known until they are removed.
        """
        image = await self.active()
        await self.catalogue.delete(image.id)
        [intent] = await self.catalogue.leftovers()
        self.assertEqual((intent.location, intent.process_id), (image.location, None))
        await self.catalogue.forget(intent.location)
        await self.catalogue.forget(intent.location)
        self.assertEqual(await self.catalogue.leftovers(), [])

    async def test_nothing_to_remove(self) -> None:
        """
        An image without bytes leaves nothing to be removed.
        """
        await self.catalogue.delete((await self.queued()).id)
        self.assertEqual(await self.catalogue.leftovers(), [])

    async def test_saving(self) -> None:
        """
        An image cannot be deleted while it is uploaded; after that it can.
        """
        image, location = await self.saving()
        with self.assertRaises(WrongState):
            await self.catalogue.delete(image.id)
        await self.catalogue.commit(image.id, location, 1, DIGEST, None)
        await self.catalogue.delete(image.id)

    async def test_in_use(self) -> None:
        """
        A parent cannot be deleted while children are here, and they are named.
        """
        parent = await self.active()
        children = [await self.queued(parents=(pin_of(parent),)) for _ in range(2)]
        names = tuple(sorted(child.id for child in children))
        with self.assertRaises(ImageInUse) as caught:
            await self.catalogue.delete(parent.id)
        self.assertEqual(caught.exception.children, names)
        for child in children:
            await self.catalogue.delete(child.id)
        await self.catalogue.delete(parent.id)

    async def test_in_use_nearest(self) -> None:
        """
        Of a long chain, the direct child is named: it is what to delete next.
        """
        golden = await self.active()
        middle = await self.active(parents=(pin_of(golden),))
        await self.queued(parents=(pin_of(middle), pin_of(golden)))
        with self.assertRaises(ImageInUse) as caught:
            await self.catalogue.delete(golden.id)
        self.assertEqual(caught.exception.children, (middle.id,))

    async def test_in_use_from_afar(self) -> None:
        """
        An image that a chain needs behind a parent elsewhere cannot be deleted.
        """
        golden = await self.active()
        child = await self.queued(parents=(far_pin(), pin_of(golden)))
        with self.assertRaises(ImageInUse) as caught:
            await self.catalogue.delete(golden.id)
        self.assertEqual(caught.exception.children, (child.id,))

    async def test_same_id_elsewhere(self) -> None:
        """
        A child of an image elsewhere that has the same id is no hindrance.
        """
        image = await self.active()
        await self.queued(parents=(far_pin(image_id=image.id),))
        await self.catalogue.delete(image.id)
