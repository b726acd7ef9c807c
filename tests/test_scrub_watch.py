# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of scrubs that watch processes on other machines before they take them for dead.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from glancetx.catalogue import Catalogue, Process
from glancetx.image import Status
from glancetx.library.presence import WATCH_SECONDS, Presence
from glancetx.library.scrub import Scrubbed, scrub

from .catalogues import new_image, new_location, reactor
from .servers import ServerCase
from .test_scrub import ScrubTestCase


class WatchTests(ScrubTestCase):
    """``scrub``, and ``Presence.watch``"""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.clock = Clock()
        self.watcher = Presence(
            self.catalogue, self.mktemp(), self.clock, lambda: self.now
        )

    async def watching(self) -> Deferred[Scrubbed]:
        """A scrub that has begun to watch."""
        done = Deferred.fromCoroutine(scrub(self.catalogue, self.stores, self.watcher))
        while not self.clock.getDelayedCalls():
            await deferLater(reactor, 0.01)
        return done

    async def test_silent(self) -> None:
        """
        Who does not beat while he is watched is dead, and no sooner.
        """
        _, location = await self.dead_upload()
        scrubbing = await self.watching()
        self.clock.advance(WATCH_SECONDS - 1)
        self.assertFalse(scrubbing.called)
        self.clock.advance(1)
        self.assertEqual((await scrubbing).removed, [location])

    async def test_beats(self) -> None:
        """
        Who beats lives, whatever his clock says; one who is gone meanwhile does not.
        """
        image, location = await self.dead_upload()
        self.process, beating = await self.join(self.catalogue), self.process
        _, other = await self.dead_upload()
        scrubbing = await self.watching()
        self.pass_seconds(-1800)
        await self.catalogue.beat(beating)
        await self.catalogue.leave(self.process)
        self.clock.advance(WATCH_SECONDS)
        found = await scrubbing
        self.assertEqual((found.kept, found.removed), ([location], [other]))
        self.assertEqual(await self.status(image), Status.SAVING)

    async def test_impatient(self) -> None:
        """
        Who does not want to wait leaves what is in doubt, and removes all else.
        """
        _, location = await self.dead_upload()
        image = await self.active()
        await self.catalogue.delete(image.id)
        found = await scrub(self.catalogue, self.stores, self.watcher, patient=False)
        self.assertEqual((found.doubted, found.removed), ([location], [image.location]))
        self.assertEqual(found.kept, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StartTests(ServerCase):
    """A server that starts."""

    async def test_does_not_wait(self) -> None:
        """
        A start watches others while the server runs already, and stops that at its end.
        """
        config = self.config()
        catalogue = Catalogue(config.catalogue_url, reactor)
        await catalogue.start()
        then = datetime.now(UTC) - timedelta(hours=1)
        process = Process(str(uuid4()), "elsewhere.invalid", 1, "/nowhere", then)
        await catalogue.join(process)
        image = new_image()
        await catalogue.add(image)
        await catalogue.begin(image.id, new_location(), process.id)
        server = await self.serve(folder=config.folder)
        reply = await server.ask("GET", f"/v2/images/{image.id}")
        self.assertEqual(reply.json["status"], "saving")
        await catalogue.stop()
