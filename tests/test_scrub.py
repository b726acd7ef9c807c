# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the scrub: what it removes, what it must never touch, and what stops it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import cast

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock

from glancetx.catalogue import Intent, Process
from glancetx.errors import CatalogueUnavailable, StoreUnavailable, WrongState
from glancetx.image import Image, Location, Status
from glancetx.library.presence import Presence, lock_folder
from glancetx.library.scrub import Failed, scrub
from glancetx.stores import Stores

from .catalogues import DIGEST, CatalogueTestCase, Program, new_location, reactor

UPLOAD = """
import sys
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, ensureDeferred
from glancetx.catalogue import Catalogue
from glancetx.image import Digest, Location
from glancetx.library.presence import Presence, lock_folder

async def main(reactor):
    url, image_id, key = sys.argv[1:]
    catalogue = Catalogue(url, reactor)
    await catalogue.start()
    presence = Presence(catalogue, lock_folder(url), reactor)
    await presence.start()
    location = Location("main", key)
    await catalogue.begin(image_id, location, presence.process_id)
    print(presence.process_id, flush=True)
    sys.stdin.readline()
    await catalogue.commit(image_id, location, 1, Digest("sha256", "00"), None)
    print("committed", flush=True)
    await Deferred()

task.react(lambda reactor: ensureDeferred(main(reactor)))
"""


class Bytes:
    """Stores that only note which keys were removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.broken: dict[str, Exception] = {}
        self.watch: Callable[[], Awaitable[None]] | None = None

    def get(self, name: str) -> Bytes:
        if name != "main":
            raise StoreUnavailable(name, "it is not in the configuration")
        return self

    async def remove(self, key: str) -> None:
        if self.watch is not None:
            await self.watch()
        if key in self.broken:
            raise self.broken[key]
        self.removed.append(key)


class ScrubTestCase(CatalogueTestCase):
    """A server that has started, and processes that it does not know of."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.bytes = Bytes()
        self.stores = cast(Stores, self.bytes)
        folder = lock_folder(self.url)
        self.clock = Clock()
        self.presence = Presence(
            self.catalogue, folder, self.clock, lambda: self.now, watch_seconds=0
        )
        await self.presence.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.presence.stop()))

    async def scrub(
        self,
        removed: list[Location],
        kept: list[Location] = [],  # noqa: B006 - only compared with
        failed: list[Failed] = [],  # noqa: B006
    ) -> None:
        """Scrub, and compare what it says and did."""
        before = len(self.bytes.removed)
        done = await scrub(self.catalogue, self.stores, self.presence)
        self.assertCountEqual(done.removed, removed)
        self.assertCountEqual(done.kept, kept)
        self.assertEqual(done.failed, failed)
        keys = [location.key for location in removed]
        self.assertCountEqual(self.bytes.removed[before:], keys)

    async def dead_upload(self) -> tuple[Image, Location]:
        """An upload of a process whose heartbeat has become old."""
        upload = await self.saving()
        self.pass_seconds(61)
        return upload

    async def status(self, image: Image) -> Status:
        return (await self.catalogue.find(image.id)).status

    async def intents(self) -> list[Location]:
        return [intent.location for intent in await self.catalogue.leftovers()]


class ScrubTests(ScrubTestCase):
    """What is removed, and what stays."""

    async def test_nothing(self) -> None:
        """
        Where all is well, nothing is done.
        """
        await self.active()
        await self.queued()
        await self.scrub([])

    async def test_abandoned(self) -> None:
        """
        The bytes of an upload that was given up are removed, once.
        """
        image, location = await self.saving()
        await self.catalogue.abandon(image.id, location)
        await self.scrub([location])
        await self.scrub([])

    async def test_deleted(self) -> None:
        """
        The bytes of a deleted image are removed if nobody has done so.
        """
        image = await self.active()
        await self.catalogue.delete(image.id)
        assert image.location is not None
        await self.scrub([image.location])
        self.assertEqual(await self.intents(), [])

    async def test_dead(self) -> None:
        """
        An upload of a dead process is undone: its image queued, its bytes removed.
        """
        image, location = await self.dead_upload()
        await self.scrub([location])
        self.assertEqual(await self.status(image), Status.QUEUED)
        self.assertEqual(await self.intents(), [])
        with self.assertRaises(WrongState):
            await self.catalogue.commit(image.id, location, 1, DIGEST, None)

    async def test_left(self) -> None:
        """
        An upload that a process left behind when it ended is undone.
        """
        image, location = await self.saving()
        await self.catalogue.leave(self.process)
        await self.scrub([location])
        self.assertEqual(await self.status(image), Status.QUEUED)

    async def test_own(self) -> None:
        """
        The scrubbing process's own upload stays, however old its heartbeat is.
        """
        image, location = await self.queued(), new_location()
        await self.catalogue.begin(image.id, location, self.presence.process_id)
        self.pass_seconds(9999)
        await self.scrub([], kept=[location])
        await self.catalogue.commit(image.id, location, 1, DIGEST, None)

    async def test_living_elsewhere(self) -> None:
        """
        An upload elsewhere stays while its process says that it lives.
        """
        image, location = await self.saving()
        for _ in range(3):
            self.pass_seconds(59)
            await self.scrub([], kept=[location])
            await self.catalogue.beat(self.process)
        await self.catalogue.commit(image.id, location, 1, DIGEST, None)

    async def test_order(self) -> None:
        """
        Before bytes go no commit can win; until they are gone they stay known.
        """
        image, location = await self.dead_upload()

        async def watch() -> None:
            self.assertEqual(await self.status(image), Status.QUEUED)
            self.assertEqual(await self.intents(), [location])
            with self.assertRaises(WrongState):
                await self.catalogue.commit(image.id, location, 1, DIGEST, None)

        self.bytes.watch = watch
        await self.scrub([location])

    async def test_committed_meanwhile(self) -> None:
        """
        Bytes that were committed since the scrub looked are not touched.
        """
        image, location = await self.saving()
        found = await self.catalogue.leftovers()
        await self.catalogue.commit(image.id, location, 1, DIGEST, None)
        self.pass_seconds(61)

        async def leftovers() -> list[Intent]:
            return found

        self.patch(self.catalogue, "leftovers", leftovers)
        await self.scrub([])
        self.assertEqual(await self.status(image), Status.ACTIVE)

    async def test_newcomer(self) -> None:
        """
        An upload of a process that came while the scrub looked around stays.
        """
        image, location = await self.queued(), new_location()
        leftovers, processes = self.catalogue.leftovers, self.catalogue.processes
        come: list[str] = []

        async def newcomer() -> None:
            if not come:
                come.append(await self.join(self.catalogue))
                await self.catalogue.begin(image.id, location, come[0])

        async def leftovers_first() -> list[Intent]:
            found = await leftovers()
            await newcomer()
            return found

        async def processes_first() -> list[Process]:
            found = await processes()
            await newcomer()
            return found

        self.patch(self.catalogue, "leftovers", leftovers_first)
        self.patch(self.catalogue, "processes", processes_first)
        await self.scrub([])
        self.assertEqual(await self.status(image), Status.SAVING)

    async def test_new_upload_meanwhile(self) -> None:
        """
        To remove what an earlier upload left does not disturb the next one.
        """
        image, first = await self.saving()
        await self.catalogue.abandon(image.id, first)
        second = new_location()
        await self.catalogue.begin(image.id, second, self.presence.process_id)
        await self.scrub([first], kept=[second])
        await self.catalogue.commit(image.id, second, 1, DIGEST, None)

    async def test_at_once(self) -> None:
        """
        Two scrubs at once do no harm: all is removed, and neither fails.
        """
        locations = [(await self.dead_upload())[1] for _ in range(5)]
        both = [
            Deferred.fromCoroutine(scrub(self.catalogue, self.stores, self.presence))
            for _ in range(2)
        ]
        one, other = await gatherResults(both)
        self.assertEqual(set(one.removed + other.removed), set(locations))
        self.assertEqual(one.failed + other.failed, [])
        self.assertEqual(await self.intents(), [])


class FailureTests(ScrubTestCase):
    """Scrubs that cannot do everything, or are killed."""

    async def test_store_fails(self) -> None:
        """
        Bytes that cannot be removed are reported, the others go, the next scrub tries.
        """
        uploads = [await self.dead_upload() for _ in range(3)]
        locations = [location for _, location in uploads]
        bad = locations.pop(1)
        self.bytes.broken[bad.key] = OSError(5, "Input/output error")
        failed = [Failed(bad, "[Errno 5] Input/output error")]
        await self.scrub(locations, failed=failed)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(await self.intents(), [bad])
        for image, _ in uploads:
            self.assertEqual(await self.status(image), Status.QUEUED)
        self.bytes.broken.clear()
        await self.scrub([bad])

    async def test_store_gone(self) -> None:
        """
        Bytes in a store that is no longer configured stay known, and are reported.
        """
        image, elsewhere = await self.queued(), Location("gone", "key")
        await self.catalogue.begin(image.id, elsewhere, self.process)
        _, location = await self.dead_upload()
        reason = "store gone is not available: it is not in the configuration"
        await self.scrub([location], failed=[Failed(elsewhere, reason)])
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
        self.assertEqual(await self.intents(), [elsewhere])

    async def test_killed_before_removal(self) -> None:
        """
        A scrub that ends before the bytes went is repeated by the next.
        """
        _, location = await self.dead_upload()
        [intent] = await self.catalogue.leftovers()
        await self.catalogue.condemn(intent)
        await self.scrub([location])

    async def test_killed_before_forgetting(self) -> None:
        """
        A scrub that ends before it forgot is repeated, though the bytes are gone.
        """
        image, location = await self.dead_upload()

        async def forget(location: Location) -> None:
            raise CatalogueUnavailable("database is locked")

        undo = self.patch(self.catalogue, "forget", forget)
        done = await scrub(self.catalogue, self.stores, self.presence)
        self.assertEqual([failed.location for failed in done.failed], [location])
        self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 1)
        undo.restore()
        await self.catalogue.begin(image.id, new_location(), self.presence.process_id)
        done = await scrub(self.catalogue, self.stores, self.presence)
        self.assertEqual(done.removed, [location])
        self.assertEqual(self.bytes.removed, [location.key] * 2)
        self.assertEqual(await self.status(image), Status.SAVING)

    async def test_cancelled(self) -> None:
        """
        A scrub that is cancelled ends at once, and is not taken for a failing store.
        """
        _, location = await self.dead_upload()
        await self.dead_upload()
        reached: Deferred[None] = Deferred()

        async def watch() -> None:
            reactor.callLater(0, reached.callback, None)
            await Deferred[None]()

        self.bytes.watch = watch
        running = Deferred.fromCoroutine(
            scrub(self.catalogue, self.stores, self.presence)
        )
        await reached
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        self.assertEqual(len(await self.intents()), 2)

    async def test_catalogue_fails(self) -> None:
        """
        Without the catalogue nothing is removed.
        """
        await self.dead_upload()
        await self.presence.stop()
        await self.catalogue.stop()
        with self.assertRaises(CatalogueUnavailable):
            await scrub(self.catalogue, self.stores, self.presence)
        self.assertEqual(self.bytes.removed, [])


class BuryTests(ScrubTestCase):
    """Dead processes are forgotten."""

    async def others(self) -> list[str]:
        """The processes that are known, without the scrubbing one."""
        known = {process.id for process in await self.catalogue.processes()}
        return sorted(known - {self.presence.process_id})

    async def test_bury(self) -> None:
        """
        A dead process without intents is forgotten, with its lock file.
        """
        lock = Path(lock_folder(self.url)) / "dead.lock"
        lock.touch()
        host = self.presence.host
        await self.catalogue.join(Process("dead", host, 1, str(lock), self.now))
        await self.scrub([])
        self.assertEqual(await self.others(), [self.process])
        self.assertFalse(lock.exists())

    async def test_after_its_uploads(self) -> None:
        """
        A dead process is forgotten in the scrub that undoes its last upload.
        """
        _, location = await self.dead_upload()
        await self.scrub([location])
        self.assertEqual(await self.others(), [])

    async def test_came_back(self) -> None:
        """
        A process that was heard of since it was taken for dead is not forgotten.
        """
        self.pass_seconds(61)
        found = await self.catalogue.processes()
        await self.catalogue.beat(self.process)
        for process in found:
            if process.id == self.process:
                self.assertFalse(await self.catalogue.bury(process))
        self.assertEqual(await self.others(), [self.process])

    async def test_has_intents(self) -> None:
        """
        A process is not forgotten while it has intents.
        """
        await self.saving()
        [process] = [
            p for p in await self.catalogue.processes() if p.id == self.process
        ]
        self.assertFalse(await self.catalogue.bury(process))

    async def test_trouble(self) -> None:
        """
        That the dead cannot be forgotten does not take away what was removed.
        """

        async def bury(process: Process) -> bool:
            raise CatalogueUnavailable("database is locked")

        self.patch(self.catalogue, "bury", bury)
        _, location = await self.dead_upload()
        await self.scrub([location])
        self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 1)


class NeighbourTests(ScrubTestCase):
    """Real processes on this machine: one is killed, the other goes on."""

    async def upload(self) -> tuple[Program, Image, Location]:
        """A process in the middle of an upload."""
        image, location = await self.queued(), new_location()
        program = Program(UPLOAD, self.url, image.id, location.key)
        self.addCleanup(program.kill)
        await program.line()
        return program, image, location

    async def test_killed(self) -> None:
        """
        The upload of a killed process is undone at once; its neighbour's is not
        touched, however late it is, and ends well.
        """
        victim, lost, gone = await self.upload()
        neighbour, image, location = await self.upload()
        await self.scrub([], kept=[gone, location])
        await victim.kill()
        self.now += timedelta(days=9)
        await self.scrub([gone], kept=[location])
        self.assertEqual(await self.status(lost), Status.QUEUED)
        self.assertEqual(await self.status(image), Status.SAVING)
        neighbour.say("go on")
        self.assertEqual(await neighbour.line(), "committed")
        self.assertEqual(await self.status(image), Status.ACTIVE)
        self.assertEqual(await self.intents(), [])

    async def test_scrub_without_presence(self) -> None:
        """
        Who scrubs need not be a server: a presence that was never started will do.
        """
        victim, _, gone = await self.upload()
        _, _, location = await self.upload()
        await victim.kill()
        folder = lock_folder(self.url)
        visitor = Presence(
            self.catalogue, folder, Clock(), lambda: self.now, watch_seconds=0
        )
        done = await scrub(self.catalogue, self.stores, visitor)
        self.assertEqual((done.removed, done.kept), ([gone], [location]))
        self.assertFalse((Path(folder) / f"{visitor.process_id}.lock").exists())
