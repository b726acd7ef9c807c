# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of intents: uploads that begin, end, are given up, or are taken for dead.
"""

from __future__ import annotations

from attrs import evolve

from glancetx.errors import CatalogueUnavailable, NoSuchImage, WrongState
from glancetx.image import Location, Status

from .catalogues import DIGEST, CatalogueTestCase, new_location


class UploadTests(CatalogueTestCase):
    """``begin``, ``commit`` and ``abandon``"""

    async def test_commit(self) -> None:
        """
        An upload takes an image from queued to saving to active, and its record tells.
        """
        image, location = await self.queued(disk_format="raw"), new_location()
        begun = await self.catalogue.begin(image.id, location, self.process)
        self.assertEqual(begun.status, Status.SAVING)
        self.assertEqual(await self.catalogue.find(image.id), begun)
        now = self.pass_seconds(5)
        done = await self.catalogue.commit(image.id, location, 7, DIGEST, "ef" * 16)
        self.assertEqual(await self.catalogue.find(image.id), done)
        stored = begun.stored(now, location, 7, DIGEST, "ef" * 16)
        self.assertEqual(done, stored)
        self.assertEqual(await self.catalogue.leftovers(), [])

    async def test_virtual_size(self) -> None:
        """
        How large the disk is that a machine sees comes with the commit, if it is known.
        """
        for known in (1 << 40, None):
            image, location = await self.queued(disk_format="qcow2"), new_location()
            await self.catalogue.begin(image.id, location, self.process)
            await self.catalogue.commit(
                image.id, location, 7, DIGEST, None, virtual_size=known
            )
            found = await self.catalogue.find(image.id)
            self.assertEqual(found.virtual_size, known)

    async def test_intent(self) -> None:
        """
        While an upload runs, its bytes are known, and whose they are.
        """
        image, location = await self.saving()
        [intent] = await self.catalogue.leftovers()
        self.assertEqual(intent.location, location)
        self.assertEqual(intent.image_id, image.id)
        self.assertEqual(intent.process_id, self.process)

    async def test_begin_twice(self) -> None:
        """
        One upload at a time; an active image never takes another.
        """
        for image in ((await self.saving())[0], await self.active()):
            with self.assertRaises(WrongState):
                await self.catalogue.begin(image.id, new_location(), self.process)

    async def test_unknown_image(self) -> None:
        """
        Bytes for an image that is not there are refused, and nothing is noted.
        """
        with self.assertRaises(NoSuchImage):
            await self.catalogue.begin("nobody", new_location(), self.process)
        with self.assertRaises(NoSuchImage):
            await self.catalogue.commit("nobody", new_location(), 1, DIGEST, None)
        self.assertEqual(await self.catalogue.leftovers(), [])

    async def test_unknown_process(self) -> None:
        """
        A process that is not known cannot begin: nobody could tell if it is dead.
        """
        image = await self.queued()
        with self.assertRaises(CatalogueUnavailable):
            await self.catalogue.begin(image.id, new_location(), "stranger")
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_commit_elsewhere(self) -> None:
        """
        A commit counts only at the location, and for the image, that was begun.
        """
        image, location = await self.saving()
        other, _ = await self.saving()
        for image_id, where in ((image.id, new_location()), (other.id, location)):
            with self.assertRaises(WrongState):
                await self.catalogue.commit(image_id, where, 1, DIGEST, None)
        await self.catalogue.commit(image.id, location, 1, DIGEST, None)

    async def test_commit_twice(self) -> None:
        """
        Active bytes never change again: a second commit is refused.
        """
        image, location = await self.saving()
        done = await self.catalogue.commit(image.id, location, 1, DIGEST, None)
        with self.assertRaises(WrongState):
            await self.catalogue.commit(image.id, location, 2, DIGEST, None)
        self.assertEqual(await self.catalogue.find(image.id), done)

    async def test_abandon(self) -> None:
        """
        An upload given up leaves the image queued, and bytes that belong to nobody.
        """
        image, location = await self.saving()
        for _ in range(2):
            await self.catalogue.abandon(image.id, location)
            found = await self.catalogue.find(image.id)
            self.assertEqual(found.status, Status.QUEUED)
            [intent] = await self.catalogue.leftovers()
            self.assertEqual((intent.location, intent.process_id), (location, None))
        await self.catalogue.forget(location)
        await self.catalogue.abandon(image.id, location)

    async def test_abandon_deleted(self) -> None:
        """
        An upload whose image is deleted meanwhile is given up without a word.
        """
        image, location = await self.saving()
        await self.catalogue.abandon(image.id, location)
        await self.catalogue.delete(image.id)
        await self.catalogue.abandon(image.id, location)
        await self.catalogue.forget(location)
        await self.catalogue.abandon(image.id, location)

    async def test_abandon_committed(self) -> None:
        """
        What was committed cannot be given up: its bytes must stay.
        """
        image = await self.active()
        assert image.location is not None
        with self.assertRaises(WrongState):
            await self.catalogue.abandon(image.id, image.location)
        self.assertEqual(await self.catalogue.find(image.id), image)

    async def test_again(self) -> None:
        """
        After an upload that was given up comes another, whatever the first still does.
        """
        image, first = await self.saving()
        await self.catalogue.abandon(image.id, first)
        second = new_location()
        await self.catalogue.begin(image.id, second, self.process)
        with self.assertRaises(WrongState):
            await self.catalogue.commit(image.id, first, 1, DIGEST, None)
        await self.catalogue.abandon(image.id, first)
        done = await self.catalogue.commit(image.id, second, 1, DIGEST, None)
        self.assertEqual(done.location, second)

    async def test_key_never_again(self) -> None:
        """
        A location that an intent has is not given to another upload.
        """
        _, location = await self.saving()
        image = await self.queued()
        with self.assertRaises(Exception):  # noqa: B017 - a mistake of the program
            await self.catalogue.begin(image.id, location, self.process)
        self.assertEqual(await self.catalogue.find(image.id), image)


class CondemnTests(CatalogueTestCase):
    """``condemn``: a scrub takes an upload for dead."""

    async def test_commit_refused(self) -> None:
        """
        Once condemned, an upload cannot be committed, and the image is queued again.
        """
        image, location = await self.saving()
        [intent] = await self.catalogue.leftovers()
        for _ in range(2):
            self.assertTrue(await self.catalogue.condemn(intent))
        with self.assertRaises(WrongState):
            await self.catalogue.commit(image.id, location, 1, DIGEST, None)
        found = await self.catalogue.find(image.id)
        self.assertEqual(found.status, Status.QUEUED)
        await self.catalogue.forget(location)
        with self.assertRaises(WrongState):
            await self.catalogue.commit(image.id, location, 1, DIGEST, None)

    async def test_committed(self) -> None:
        """
        What was committed in the meantime is not condemned.
        """
        image, location = await self.saving()
        [intent] = await self.catalogue.leftovers()
        done = await self.catalogue.commit(image.id, location, 1, DIGEST, None)
        self.assertFalse(await self.catalogue.condemn(intent))
        self.assertEqual(await self.catalogue.find(image.id), done)

    async def test_later_upload(self) -> None:
        """
        To condemn the rest of an earlier upload does not disturb a later one.
        """
        image, first = await self.saving()
        await self.catalogue.abandon(image.id, first)
        [intent] = await self.catalogue.leftovers()
        second = new_location()
        await self.catalogue.begin(image.id, second, self.process)
        self.assertTrue(await self.catalogue.condemn(intent))
        await self.catalogue.commit(image.id, second, 1, DIGEST, None)

    async def test_deleted(self) -> None:
        """
        The bytes of a deleted image are to be removed, by whoever comes first.
        """
        image = await self.active()
        await self.catalogue.delete(image.id)
        [intent] = await self.catalogue.leftovers()
        self.assertTrue(await self.catalogue.condemn(intent))
        assert image.location is not None
        await self.catalogue.forget(image.location)
        self.assertFalse(await self.catalogue.condemn(intent))

    async def test_left(self) -> None:
        """
        An upload that a process left behind belongs to nobody, and may be condemned.
        """
        image, location = await self.saving()
        await self.catalogue.leave(self.process)
        [intent] = await self.catalogue.leftovers()
        self.assertEqual((intent.location, intent.process_id), (location, None))
        self.assertTrue(await self.catalogue.condemn(intent))
        found = await self.catalogue.find(image.id)
        self.assertEqual(found.status, Status.QUEUED)

    async def test_unknown_location(self) -> None:
        """
        Nothing is condemned where nothing was begun.
        """
        await self.saving()
        [intent] = await self.catalogue.leftovers()
        other = evolve(intent, location=Location("main", "other"))
        self.assertFalse(await self.catalogue.condemn(other))
