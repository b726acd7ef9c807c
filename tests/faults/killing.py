# Copyright glancetx contributors. See LICENSE for details.

"""
Two real servers on one catalogue and one store, of which one is killed; and a look
at what is there afterwards.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from attrs import Factory, define
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.servers import ServerCase
from tests.twistd import Twistd
from tests.wire import Client, chunked, get

from .uploads import FORMAT, request

__all__ = ["KillCase", "Journal", "upload_until_killed"]

CONFIGURATION = """
[server]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "http://zone.example.com"
[catalogue]
url = "sqlite:///{folder}/catalogue.sqlite"
[stores.main]
backend = "filesystem"
path = "{folder}/pieces"
"""
LARGEST = 700_000
CLIENTS = 3
LOOKS = 1000


class BrokenTwistd(Twistd):
    """A server with a planted bug, or a place to die at."""

    def start_broken(self, name: str, *arguments: str) -> None:
        module = [sys.executable, "-m", "tests.faults.broken_twistd", name]
        self._run([*module, "-n", "--pidfile=", "glancetx", *arguments], "r")


@define
class Journal:
    """
    What clients know.

    :ivar sent: the digest of what was sent for an image, by its id.
    :ivar acknowledged: the ids of those that a server said to have.
    :ivar refused: unexpected answers.
    """

    sent: dict[str, str] = Factory(dict)
    acknowledged: set[str] = Factory(set)
    refused: list[bytes] = Factory(list)


def upload_until_killed(port: int, seed: int, journal: Journal) -> None:
    """Make images, one after the other, by whichever request; blocks."""
    dice = random.Random(seed)
    while True:
        name = str(UUID(int=dice.getrandbits(128), version=4))
        body = dice.randbytes(dice.randint(1, LARGEST))
        journal.sent[name] = sha256(body).hexdigest()
        length = b"Content-Length: %d" % len(body)
        named = FORMAT, b"X-Image-Meta-Id: " + name.encode("ascii")
        try:
            with Client(port) as client:
                if dice.random() < 0.5:
                    client.send(request(b"POST", "/images", length, *named) + body)
                    expected = 201
                else:
                    client.send(request(b"POST", "/images", *named))
                    client.answer()
                    coding = b"Transfer-Encoding: chunked"
                    client.send(request(b"PUT", f"/images/{name}", coding))
                    client.send(chunked(body[:-1], body[-1:]))
                    expected = 200
                answer = client.answer()
        except (OSError, EOFError):
            return
        if answer.code == expected:
            journal.acknowledged.add(name)
        else:
            journal.refused.append(answer.body)


class KillCase(ServerCase):
    """
    A test with a server to be killed, and a neighbour that lives on.

    :ivar journal: what clients know of the images that they made.
    :ivar scrubbed: how much the victim left behind, as its starts said.
    """

    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(os.path.abspath(self.mktemp()))
        self.journal = Journal()
        self.scrubbed = 0
        self._checked: set[str] = set()

    async def start(
        self, name: str, bug: str | None = None
    ) -> tuple[BrokenTwistd, int]:
        """Start a server; returns its process, and its port."""
        server = BrokenTwistd(reactor, str(self.folder / name))
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        path = server.configure(CONFIGURATION.format(folder=self.folder))
        if bug is None:
            server.start("--config", path)
        else:
            server.start_broken(bug, "--config", path)
        return server, urlsplit(await server.url()).port or 0

    async def start_both(self, bug: str | None = None) -> None:
        """Start the neighbour, and then the victim, which may have a bug."""
        self.neighbour, self.neighbours_port = await self.start("neighbour")
        self.bug = bug
        self.victim, self.port = await self.start("victim", bug)

    async def kill_once(self, dice: random.Random) -> list[str]:
        """
        Kill the victim amid uploads, start it again, and look around.

        :returns: what is damaged.
        """
        upload = await deferToThread(NeighboursUpload, self.neighbours_port, dice)
        self.addCleanup(upload.client.__exit__)
        seeds = [dice.getrandbits(32) for _ in range(CLIENTS)]
        uploading = [
            deferToThread(upload_until_killed, self.port, seed, self.journal)
            for seed in seeds
        ]
        await deferLater(reactor, dice.uniform(0.005, 0.3))
        self.victim.signal("KILL")
        await self.victim.ended()
        await gatherResults(uploading)
        self.victim, self.port = await self.start("victim", self.bug)
        said = re.search(r"scrub: (\d+) leftovers removed", self.victim.output)
        self.scrubbed += int(said[1]) if said else 0
        damage = await deferToThread(upload.finish, self.journal)
        return damage + await deferToThread(self.look)

    def look(self) -> list[str]:
        """What is wrong in the catalogue and in the store; blocks."""
        rows, intents = self._read_catalogue()
        damage = [f"refused: {answer!r}" for answer in self.journal.refused]
        active = {name: row for name, row in rows.items() if row[0] == "active"}
        damage += [f"lost: {n}" for n in self.journal.acknowledged - active.keys()]
        damage += [f"stuck: {n}" for n, row in rows.items() if row[0] == "saving"]
        for name in active.keys() - self._checked:
            damage += self._look_at(name, *active[name][1:])
        self._checked |= active.keys()
        kept = {key for _, key, _ in active.values()}
        damage += [f"orphan: {path}" for path in self._files() if path.name not in kept]
        return damage + [f"intent: {key}" for key in intents]

    def _look_at(self, name: str, key: str, digest: str) -> list[str]:
        path = self.folder / "pieces" / key[:2] / key
        if not path.exists():
            return [f"without bytes: {name}"]
        if (
            not digest
            == sha256(path.read_bytes()).hexdigest()
            == self.journal.sent[name]
        ):
            return [f"wrong bytes: {name}"]
        with Client(self.neighbours_port) as client:
            client.send(get(f"/images/{name}".encode("ascii")))
            if sha256(client.answer().body).hexdigest() != digest:
                return [f"read wrongly: {name}"]
        return []

    def _read_catalogue(self) -> tuple[dict[str, tuple[str, str, str]], list[str]]:
        uri = f"file:{self.folder}/catalogue.sqlite?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as catalogue:
            images = catalogue.execute(
                "SELECT id, status, key, digest_value FROM images"
            )
            rows = {name: (status, key, digest) for name, status, key, digest in images}
            intents = catalogue.execute("SELECT key FROM intents")
            return rows, [key for (key,) in intents]

    def _files(self) -> list[Path]:
        return [path for path in (self.folder / "pieces").rglob("*") if path.is_file()]


class NeighboursUpload:
    """An upload to the neighbour that is half done; blocks until it is so far."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self.name = str(UUID(int=dice.getrandbits(128), version=4))
        self.halves = dice.randbytes(300_000), dice.randbytes(300_000)
        self.client = Client(port)
        named = FORMAT, b"X-Image-Meta-Id: " + self.name.encode("ascii")
        self.client.send(request(b"POST", "/images", *named))
        self.client.answer()
        length = b"Content-Length: %d" % sum(map(len, self.halves))
        self.client.send(request(b"PUT", f"/images/{self.name}", length))
        self.client.send(self.halves[0])
        asking = get(f"/images/{self.name}".encode("ascii"), b"HEAD")
        for _ in range(LOOKS):
            with Client(port) as other:
                other.send(asking)
                status = other.answer(head=True).headers[b"x-image-meta-status"]
            if status == b"saving":
                return
        raise AssertionError("the neighbour does not take the upload")

    def finish(self, journal: Journal) -> list[str]:
        """Bring the other half; what went wrong."""
        journal.sent[self.name] = sha256(b"".join(self.halves)).hexdigest()
        self.client.send(self.halves[1])
        answer = self.client.answer()
        self.client.__exit__()
        if answer.code == 200:
            journal.acknowledged.add(self.name)
            return []
        return [f"harmed: {answer.body!r}"]
