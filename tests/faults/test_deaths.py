# Copyright glancetx contributors. See LICENSE for details.

"""
Servers that are killed at the very places where it matters, one by one.
"""

from __future__ import annotations

from hashlib import sha256

from twisted.internet.threads import deferToThread

from tests.players import image_id
from tests.wire import Client, get

from .killing import KillCase
from .uploads import FORMAT, request

WRONG = b"X-Image-Meta-Checksum: " + b"0" * 32
BODY = b"bytes" * 50_000

UPLOADS = {
    "intent written": "queued",
    "bytes written": "queued",
    "bytes durable": "queued",
    "row active": "active",
}
FAILED_UPLOADS = ("upload failed", "upload given up")
DELETIONS = ("row deleted", "bytes removed")


class DeathTests(KillCase):
    """A server that dies at a place, and is started again."""

    async def begin(self, place: str) -> None:
        """Start a server that will die at this place."""
        self.victim, self.port = await self.start("victim", place)

    async def ask(self, data: bytes) -> bytes:
        """Send a request; the status, nothing if the server died instead."""

        def work() -> bytes:
            with Client(self.port) as client:
                client.send(data)
                try:
                    code, headers = client.head()
                except (EOFError, ConnectionError):
                    return b""
                return headers.get(b"x-image-meta-status", b"%d" % code)

        return await deferToThread(work)

    async def put(self, name: str, *headers: bytes) -> bytes:
        self.journal.sent[name] = sha256(BODY).hexdigest()
        length = b"Content-Length: %d" % len(BODY)
        return await self.ask(
            request(b"PUT", f"/images/{name}", length, *headers) + BODY
        )

    async def make(self, number: int) -> str:
        """A record that waits for its bytes."""
        name = image_id(number)
        named = FORMAT, b"X-Image-Meta-Id: " + name.encode("ascii")
        self.assertEqual(await self.ask(request(b"POST", "/images", *named)), b"201")
        return name

    async def restart(self) -> None:
        """See that it died; start one as it should be, and look around."""
        self.assertEqual(await self.victim.ended(), -9)
        self.successor = await self.serve(folder=str(self.folder))
        self.port = self.neighbours_port = self.successor.port
        self.assertEqual(await deferToThread(self.look), [])

    async def status(self, name: str) -> str:
        path = f"/images/{name}".encode("ascii")
        return (await self.ask(get(path, b"HEAD"))).decode("ascii")

    async def test_upload(self) -> None:
        """
        An upload is there with all bytes if its row was written, and else not at
        all; another one can follow.
        """
        for number, (place, expected) in enumerate(UPLOADS.items()):
            await self.begin(place)
            name = await self.make(number)
            self.assertEqual(await self.put(name), b"", place)
            await self.restart()
            self.assertEqual(await self.status(name), expected, place)
            if expected == "queued":
                self.assertEqual(await self.put(name), b"200")
            self.journal.acknowledged.add(name)
            await self._stop(self.successor)

    async def test_failed_upload(self) -> None:
        """
        An upload that failed leaves nothing, though its server dies of it.
        """
        for number, place in enumerate(FAILED_UPLOADS):
            await self.begin(place)
            name = await self.make(number)
            self.assertEqual(await self.put(name, WRONG), b"", place)
            await self.restart()
            self.assertEqual(await self.status(name), "queued", place)
            self.assertEqual(await self.put(name), b"200")
            self.journal.acknowledged.add(name)
            await self._stop(self.successor)

    async def test_deletion(self) -> None:
        """
        What is deleted is gone, row and bytes, though its server dies in between.
        """
        for number, place in enumerate(DELETIONS):
            await self.begin(place)
            name = await self.make(number)
            self.assertEqual(await self.put(name), b"200")
            deletion = request(b"DELETE", f"/images/{name}")
            self.assertEqual(await self.ask(deletion), b"", place)
            await self.restart()
            self.assertEqual(await self.status(name), "404", place)
            await self._stop(self.successor)
