# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of two servers on one database that want the same thing at the same time.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.python.failure import Failure

from glancetx.catalogue import Catalogue, Hold
from glancetx.errors import (
    BadValue,
    ImageExists,
    ImageInUse,
    NoSuchImage,
    TooMany,
    WrongState,
)
from glancetx.image import Image, Lease, Status

from .catalogues import (
    DIGEST,
    CatalogueTestCase,
    Program,
    new_image,
    new_location,
    pin_of,
)

ROUNDS = 50

BEGIN = """
import sys, uuid
from twisted.internet import reactor, task
from twisted.internet.defer import ensureDeferred, gatherResults
from glancetx.catalogue import Catalogue, Process
from glancetx.errors import WrongState
from glancetx.image import Location
from glancetx.times import utcnow

async def begin(catalogue, image_id, process_id):
    try:
        await catalogue.begin(image_id, Location("main", uuid.uuid4().hex), process_id)
    except WrongState:
        print("lost", image_id, flush=True)
    else:
        print("won", image_id, flush=True)

async def main(reactor):
    url, process_id, *image_ids = sys.argv[1:]
    catalogue = Catalogue(url, reactor)
    await catalogue.start()
    await catalogue.join(Process(process_id, "here", 1, "", utcnow()))
    print("ready", flush=True)
    sys.stdin.readline()
    for image_id in image_ids:
        await begin(catalogue, image_id, process_id)
    await catalogue.stop()

task.react(lambda reactor: ensureDeferred(main(reactor)))
"""


async def outcomes(*calls: Coroutine[Deferred[Any], Any, Any]) -> list[Any]:
    """Results or errors of calls that are made in one turn, each by its own server."""
    started = [Deferred.fromCoroutine(call) for call in calls]
    results: Any = await DeferredList(started, consumeErrors=True)
    return [r.value if isinstance(r, Failure) else r for _, r in results]


class RaceTests(CatalogueTestCase):
    """Two catalogues, each with threads of its own, on one file."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.other = await self.open()
        self.neighbour = await self.join(self.other)

    def assert_one(self, results: list[Any], *errors: type[Exception]) -> int:
        """One call succeeded, the other was refused; says which succeeded."""
        kinds = [isinstance(result, errors) for result in results]
        self.assertEqual(sorted(kinds), [False, True], results)
        winner = kinds.index(False)
        self.assertNotIsInstance(results[winner], Exception)
        return winner

    async def test_begin(self) -> None:
        """
        Of two uploads to one image exactly one begins, and its intent is the only one.
        """
        processes = (self.process, self.neighbour)
        for _ in range(ROUNDS):
            image, locations = await self.queued(), (new_location(), new_location())
            results = await outcomes(
                self.catalogue.begin(image.id, locations[0], processes[0]),
                self.other.begin(image.id, locations[1], processes[1]),
            )
            won = self.assert_one(results, WrongState)
            [intent] = await self.catalogue.leftovers()
            self.assertEqual(intent.location, locations[won])
            self.assertEqual(intent.process_id, processes[won])
            await self.other.commit(image.id, intent.location, 1, DIGEST, None)

    async def test_add(self) -> None:
        """
        Of two images with one id exactly one is kept.
        """
        for _ in range(ROUNDS):
            ours = new_image(name="ours")
            theirs = new_image(name="theirs", id=ours.id)
            results = await outcomes(self.catalogue.add(ours), self.other.add(theirs))
            won = self.assert_one(results, ImageExists)
            found = await self.catalogue.find(ours.id)
            self.assertEqual(found, (ours, theirs)[won])

    async def test_child_or_gone(self) -> None:
        """
        A parent gets a child or is deleted, never both.
        """
        for _ in range(ROUNDS):
            parent = await self.active()
            child = new_image(parents=(pin_of(parent),))
            results = await outcomes(
                self.catalogue.add(child), self.other.delete(parent.id)
            )
            gone = self.assert_one(results, BadValue, ImageInUse)
            found = await outcomes(
                self.catalogue.find(parent.id), self.other.find(child.id)
            )
            absent = [isinstance(image, NoSuchImage) for image in found]
            self.assertEqual(absent, [bool(gone)] * 2)

    async def test_leased_or_gone(self) -> None:
        """
        An image is leased or deleted, never both.
        """
        for _ in range(ROUNDS):
            image = await self.active()
            lease = Lease(image.id, "h", "http://z.invalid", None, self.now, self.now)
            results = await outcomes(
                self.catalogue.lease(lease, DIGEST, 1), self.other.delete(image.id)
            )
            leased = not self.assert_one(results, NoSuchImage, ImageInUse)
            self.assertEqual(await self.other.leases(image.id), (lease,) * leased)

    async def test_too_many_leases(self) -> None:
        """
        Two that want the last lease do not both get it.
        """
        for _ in range(ROUNDS):
            image = await self.active()
            lease = Lease(image.id, "a", "http://z.invalid", None, self.now, self.now)
            results = await outcomes(
                self.catalogue.lease(lease, DIGEST, 1),
                self.other.lease(evolve(lease, holder="b"), DIGEST, 1),
            )
            self.assert_one(results, TooMany)

    async def test_held_by_two(self) -> None:
        """
        Two that note the same hold both do; one of them sees to it.
        """
        for number in range(ROUNDS):
            noted = Hold("http://o.invalid", str(number), DIGEST, "held")
            results = await outcomes(self.catalogue.hold(noted), self.other.hold(noted))
            self.assertEqual(results, [None, None])
            hold = (await self.catalogue.holds())[-1]
            self.pass_seconds(1)
            results = await outcomes(self.catalogue.claim(hold), self.other.claim(hold))
            self.assertEqual(sorted(map(bool, results)), [False, True])
            self.assertTrue(await self.other.unhold(results[0] or results[1]))

    async def test_changed_by_two(self) -> None:
        """
        Two that change an image at once both change it, one after the other.
        """
        image = await self.queued()

        def count(old: Image) -> Image:
            return evolve(old, min_disk=old.min_disk + 1)

        for _ in range(ROUNDS):
            await outcomes(
                self.catalogue.change(image.id, count),
                self.other.change(image.id, count),
            )
        self.assertEqual((await self.other.find(image.id)).min_disk, 2 * ROUNDS)

    async def test_commit_or_condemned(self) -> None:
        """
        An upload is committed or condemned, never both.
        """
        for _ in range(ROUNDS):
            image, location = await self.saving()
            [intent] = await self.other.leftovers()
            done, condemned = await outcomes(
                self.catalogue.commit(image.id, location, 1, DIGEST, None),
                self.other.condemn(intent),
            )
            self.assertEqual(condemned, isinstance(done, WrongState), done)
            status = (await self.catalogue.find(image.id)).status
            self.assertEqual(status, Status.QUEUED if condemned else Status.ACTIVE)
            await self.other.forget(location)

    async def test_many_writers(self) -> None:
        """
        Writes of two servers at once all succeed: each waits for the other.
        """
        images = [new_image() for _ in range(2 * ROUNDS)]
        adding: list[Deferred[None]] = []
        for n, image in enumerate(images):
            server: Catalogue = (self.catalogue, self.other)[n % 2]
            adding.append(Deferred.fromCoroutine(server.add(image)))
        await gatherResults(adding, consumeErrors=True)
        for image in images:
            self.assertEqual(await self.other.find(image.id), image)

    async def test_seen_at_once(self) -> None:
        """
        What one server has committed, the other reads.
        """
        for _ in range(ROUNDS):
            image = await self.queued()
            self.assertEqual(await self.other.find(image.id), image)


class ProcessRaceTests(CatalogueTestCase):
    """Two processes, each with a reactor of its own, on one file."""

    async def test_begin(self) -> None:
        """
        Each of 50 images is won by exactly one of two processes that want them all.
        """
        images = [(await self.queued()).id for _ in range(ROUNDS)]
        programs = [Program(BEGIN, self.url, who, *images) for who in ("a", "b")]
        for program in programs:
            self.addCleanup(program.kill)
            self.assertEqual(await program.line(), "ready")
        for program in programs:
            program.say("go")
        told = [
            [(await program.line()).split() for _ in images] for program in programs
        ]
        for image_id, *results in zip(images, *told, strict=True):
            expected = [["lost", image_id], ["won", image_id]]
            self.assertEqual(sorted(results), expected)
        won = {
            (who, image_id)
            for who, results in zip("ab", told, strict=True)
            for outcome, image_id in results
            if outcome == "won"
        }
        intents = await self.catalogue.leftovers()
        noted = {(intent.process_id, intent.image_id) for intent in intents}
        self.assertEqual(noted, won)
        self.assertEqual([await program.ended for program in programs], [0, 0])
