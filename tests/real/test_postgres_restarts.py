# Copyright glancetx contributors. See LICENSE for details.

"""
Servers whose PostgreSQL goes and comes back, in the middle of traffic.
"""

from __future__ import annotations

import os
from hashlib import sha256
from http.client import HTTPConnection
from time import sleep
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from glancetx.config import Config
from glancetx.errors import CatalogueUnavailable
from glancetx.image import Status
from glancetx.library.presence import WATCH_SECONDS, Presence
from glancetx.library.scrub import scrub
from glancetx.stores import Stores
from tests.catalogues import CatalogueTestCase
from tests.servers import Reply, RunningServer, ServerCase, reactor

from .postgres import missing_postgres, shared_postgres
from .postgres_case import OnPostgres, numbered

RESTARTS = 5
UPLOADERS = 3
LARGE = 48 * 1024 * 1024


def rest(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


class RestartTests(ServerCase):
    """Five restarts."""

    skip = missing_postgres()

    def config(self, *args: Any, **options: Any) -> Config:
        """With a catalogue in PostgreSQL."""
        config = super().config(*args, **options)
        locks = os.path.join(config.folder, "processes")
        return evolve(config, catalogue_url=numbered(), catalogue_locks=locks)

    async def test_in_traffic(self) -> None:
        """
        What was acknowledged is there; what was not is refused with 503 and when to ask
        again; downloads go on; nothing is left behind.
        """
        server = await self.serve()
        large = os.urandom(LARGE)
        large_id = await server.add(large)
        self.going, self.refused = True, 0
        self.kept: dict[str, bytes] = {}
        download = deferToThread(slowly, server.port, f"/images/{large_id}")
        traffic = [
            Deferred.fromCoroutine(self.upload(server)) for _ in range(UPLOADERS)
        ]
        traffic.append(Deferred.fromCoroutine(self.list_images(server)))
        for _ in range(RESTARTS):
            await rest(0.4)
            before = len(self.kept)
            await deferToThread(shared_postgres().restart)
            while len(self.kept) == before:
                await rest(0.05)
        self.going = False
        await gatherResults(traffic, consumeErrors=True)
        self.flushLoggedErrors(CatalogueUnavailable)
        self.assertEqual(await download, sha256(large).hexdigest())
        self.assertGreater(self.refused, 0)
        await self.check_left(server)

    async def check_left(self, server: RunningServer) -> None:
        """All that was kept is whole, and all bytes are those of images."""
        for image_id, body in self.kept.items():
            reply = await server.ask("GET", f"/images/{image_id}")
            self.assertEqual((reply.code, reply.body), (200, body))
        await server.add(b"what is owed is done first")
        parts = server.parts
        left = await scrub(parts.catalogue, parts.stores, parts.presence)
        self.assertEqual((left.kept, left.failed), ([], []))
        listed = await server.ask("GET", "/v2/images?limit=1000")
        images = listed.json["images"]
        active = [image for image in images if image["status"] == "active"]
        self.assertEqual({image["status"] for image in images} - {"queued"}, {"active"})
        self.assertEqual(len(server.pieces()), len(active))
        self.assertFalse(self.kept.keys() - {image["id"] for image in active})

    def judge(self, reply: Reply) -> bool:
        """Whether it went well; else it must have been refused as is right."""
        if reply.code != 503:
            return True
        self.refused += 1
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertNotIn(b"127.0.0.1", reply.body)
        return False

    async def upload(self, server: RunningServer) -> None:
        while self.going:
            body = os.urandom(50_000)
            headers = {"x-image-meta-disk_format": "raw"}
            reply = await server.ask("POST", "/images", headers, body)
            if self.judge(reply):
                self.assertEqual(reply.code, 201, reply.body)
                self.kept[reply.json["image"]["id"]] = body
            await rest(0.02)

    async def list_images(self, server: RunningServer) -> None:
        while self.going:
            reply = await server.ask("GET", "/v2/images?limit=5")
            if self.judge(reply):
                self.assertEqual(reply.code, 200)
            await rest(0.02)


def slowly(port: int, path: str) -> str:
    """The digest of a download that takes longer than a few restarts."""
    connection, digest = HTTPConnection("127.0.0.1", port, timeout=60), sha256()
    connection.request("GET", path)
    answer = connection.getresponse()
    while data := answer.read(1024 * 1024):
        digest.update(data)
        sleep(0.05)
    connection.close()
    return digest.hexdigest()


class OutageTests(OnPostgres, CatalogueTestCase):
    """Servers on other machines, after a time without a catalogue."""

    async def test_living(self) -> None:
        """
        Nobody could say that he lives. Who says so once it is back is not dead, and his
        upload goes on; who does not is.
        """
        image, location = await self.saving()
        living, self.process = self.process, await self.join(self.catalogue)
        dead, lost = await self.saving()
        self.pass_seconds(3600)
        clock, stores = Clock(), Removed()
        presence = Presence(self.catalogue, self.mktemp(), clock, lambda: self.now)
        scrubbing = Deferred.fromCoroutine(
            scrub(self.catalogue, cast(Stores, stores), presence)
        )
        while not clock.getDelayedCalls():
            await rest(0.01)
        await self.catalogue.beat(living)
        clock.advance(WATCH_SECONDS)
        found = await scrubbing
        self.assertEqual((found.kept, found.removed), ([location], [lost]))
        self.assertEqual(stores.removed, [lost.key])
        for one, status in ((image, Status.SAVING), (dead, Status.QUEUED)):
            self.assertEqual((await self.catalogue.find(one.id)).status, status)


class Removed:
    """Stores that note which keys were removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def get(self, name: str) -> Removed:
        return self

    async def remove(self, key: str) -> None:
        self.removed.append(key)
