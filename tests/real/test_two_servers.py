# Copyright glancetx contributors. See LICENSE for details.

"""
Two servers on one PostgreSQL and one Swift, while something of all this dies.
"""

from __future__ import annotations

import json
import os
import random
from functools import cache
from itertools import cycle
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.servers import reactor
from tests.twistd import Twistd
from tests.wire import MIB, Client, get

from .postgres import RealPostgres, missing_postgres
from .swift_case import CONTAINER, SwiftServerCase, Upload

CONFIGURATION = """
[server]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "http://zone.example.com"
[catalogue]
url = "{database}"
"""
SIZE = 8 * MIB + 1_234
BEGUN = 5 * MIB
RESTARTS = 5
CLIENTS = 2
PAUSE_SECONDS = 0.1


@cache
def own_postgres() -> RealPostgres:
    """One that may be restarted."""
    return RealPostgres()


@frozen
class Member:
    """One of the servers."""

    twistd: Twistd
    port: int


class PairCase(SwiftServerCase):
    """Tests with two servers, each a process."""

    skip = SwiftServerCase.skip or missing_postgres()

    async def start_both(self) -> None:
        self.postgres = own_postgres()
        self.folder = Path(os.path.abspath(self.mktemp()))
        self.database = await deferToThread(self.postgres.fresh_database)
        self.victim = await self.start("victim")
        self.neighbour = await self.start("neighbour")

    async def start(self, name: str) -> Member:
        twistd = Twistd(reactor, str(self.folder / name))
        self.addCleanup(lambda: Deferred.fromCoroutine(twistd.stop()))
        store = self.swift.store(container=CONTAINER, segment_size=self.segment_size)
        path = twistd.configure(CONFIGURATION.format(database=self.database) + store)
        os.chmod(path, 0o600)
        twistd.start("--config", path)
        return Member(twistd, urlsplit(await twistd.url()).port or 0)

    def begin(self, server: Member, data: bytes, others: int) -> Upload:
        """
        Begin an upload, until Swift has something of it.

        :param others: how many objects it has by now.
        """
        upload = Upload(server.port, data)
        upload.bring(BEGUN)
        expected = others + BEGUN // self.segment_size
        self.until(lambda: len(self.names()) == expected)
        return upload

    def finish(self, upload: Upload) -> str:
        """End an upload, which must succeed; the image's path."""
        answer = upload.finish()
        self.assertEqual(answer.code, 201, answer.body)
        return urlsplit(answer.headers[b"location"].decode("ascii")).path

    def ask(self, server: Member, method: bytes, path: str) -> tuple[int, bytes]:
        with Client(server.port) as client:
            client.send(get(path.encode("ascii"), method))
            answer = client.answer()
        return answer.code, answer.body

    def check(self, server: Member, path: str, data: bytes) -> None:
        """A server has an image with these bytes."""
        code, body = self.ask(server, b"GET", path)
        self.assertEqual(code, 200)
        self.assertTrue(body == data)

    def remove(self, *paths: str) -> None:
        """Delete these images; nothing else may be there."""
        for path in paths:
            self.assertEqual(self.ask(self.victim, b"DELETE", path)[0], 204)
        self.assert_empty()
        database = self.database.rpartition("/")[2]
        rows = self.postgres.run("SELECT * FROM intents", database)
        self.assertEqual(rows, "")


class KilledTests(PairCase):
    """One server is killed"""

    async def test_neighbour_goes_on(self) -> None:
        """
        Both are amid an upload when one is killed. When it is back, what it has left
        is gone, and what the other is writing is not: its image is whole.
        """
        await self.start_both()
        data = random.Random(8).randbytes(SIZE)

        def before() -> tuple[Upload, Upload]:
            lives = self.begin(self.neighbour, data, 0)
            return lives, self.begin(self.victim, data, len(self.names()))

        lives, dies = await self.story(before)
        self.addCleanup(dies.client.__exit__)
        written = set(self.names())
        self.victim.twistd.signal("KILL")
        await self.victim.twistd.ended()
        self.victim = await self.start("victim")
        said = await self.victim.twistd.says(r"scrub: (\d+) leftovers removed, 0 ")
        self.assertEqual(said[1], "1")

        def after() -> None:
            kept = set(self.names())
            self.assertEqual(len(kept), len(written) // 2)
            self.assertLess(kept, written)
            path = self.finish(lives)
            self.check(self.victim, path, data)
            self.check(self.neighbour, path, data)
            self.remove(path)

        await self.story(after)


class RestartedTests(PairCase):
    """PostgreSQL is restarted"""

    async def test_traffic(self) -> None:
        """
        PostgreSQL is restarted five times while images are uploaded, read and deleted
        by both servers: whoever is told of a success can rely on it, whoever is not
        is told to come back, and a download that has begun goes on.
        """
        await self.start_both()
        data = random.Random(9).randbytes(SIZE)
        path = await self.story(lambda: self.finish(Upload(self.victim.port, data)))
        self.over = False
        self.codes: list[int] = []
        self.made: dict[str, bytes] = {}
        working = [
            self.story(lambda server=server, n=n: self.work(server, n))  # type: ignore[misc]
            for n, server in enumerate([self.victim, self.neighbour] * CLIENTS)
        ]

        def story() -> None:
            for _ in range(RESTARTS):
                with self.open(path) as client:
                    begun = client.take(MIB)
                    self.postgres.restart()
                    self.assertTrue(begun + client.take(SIZE - MIB) == data)
                enough = self.codes.count(201) + 4
                self.until(lambda enough=enough: self.codes.count(201) >= enough)  # type: ignore[misc]

        try:
            await self.story(story)
        finally:
            self.over = True
            await gatherResults(working)
        self.assertEqual(set(self.codes) - {200, 201, 204, 503}, set())
        self.made[path] = data
        await self.story(self.check_all)
        for server in (self.victim, self.neighbour):
            await server.twistd.stop()
        self.victim = await self.start("victim")
        await self.story(self.remove_all)

    def open(self, path: str) -> Client:
        """A download that has begun."""
        while True:
            client = Client(self.neighbour.port, receive_buffer=64 * 1024)
            client.send(get(path.encode("ascii")))
            code, _ = client.head()
            if code == 200:
                return client
            self.assertEqual(code, 503)
            client.__exit__()

    def check_all(self) -> None:
        """What was acknowledged is there, whichever server is asked."""
        servers = cycle([self.victim, self.neighbour])
        for (path, data), server in zip(self.made.items(), servers, strict=False):
            self.check(server, path, data)

    def remove_all(self) -> None:
        """Delete what there is, acknowledged or not."""
        code, body = self.ask(self.victim, b"GET", "/images?limit=1000")
        self.assertEqual(code, 200)
        found = {f"/images/{image['id']}" for image in json.loads(body)["images"]}
        self.assertEqual(set(self.made) - found, set())
        self.remove(*found)

    def work(self, server: Member, number: int) -> None:
        """Upload, read and delete, until it is over."""
        dice = random.Random(number)
        while not self.over:
            body = dice.randbytes(dice.randint(1, 100_000))
            answer = Upload(server.port, body).finish()
            self.codes.append(answer.code)
            if answer.code != 201:
                sleep(PAUSE_SECONDS)
                continue
            path = urlsplit(answer.headers[b"location"].decode("ascii")).path
            self.made[path] = body
            code, found = self.ask(server, b"GET", path)
            self.codes.append(code)
            self.assertTrue(code == 503 or found == body, code)
            if dice.random() < 0.5:
                del self.made[path]  # unknown, if the answer is 503
                self.codes.append(self.ask(server, b"DELETE", path)[0])
