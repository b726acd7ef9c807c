# Copyright glancetx contributors. See LICENSE for details.

"""
Stores that are full, or fail: an answer that says so, and nothing kept.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import subprocess
from functools import partial
from typing import Any

from twisted.trial.unittest import SkipTest

from glancetx.backends import filesystem
from glancetx.errors import StoreUnavailable
from tests.wire import Answer, Client, chunked

from .uploads import FORMAT, UploadCase, request

MIB = 1024 * 1024


class FullDiskTests(UploadCase):
    """A store on a file system of 4 MiB."""

    async def start_on_small_disk(self, below: str = "pieces") -> None:
        folder = os.path.abspath(self.mktemp())
        path = os.path.join(folder, below)
        os.makedirs(path)
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SkipTest(f"cannot mount a small disk: {error}") from None
        self.addCleanup(subprocess.run, ["umount", "--lazy", path], check=True)
        await self.start(folder=folder)

    async def check_full(self, data: bytes) -> None:
        """This request is answered with a sentence; the client reads it."""

        def work(client: Client) -> Answer:
            client.send(data)
            return client.answer()

        answer = await self.raw(self.zone, work)
        self.assertEqual(answer.code, 507)
        self.assertEqual(answer.headers[b"content-type"], b"application/json")
        sentence = b"store main is full; nothing of the upload was kept"
        self.assertIn(sentence, answer.body)
        self.assertIn(b'"insufficientStorage"', answer.body)
        await self.settled()

    async def test_full(self) -> None:
        """
        An upload that does not fit is a 507, whether its length is known or not, and
        by whichever request; what is there can be read meanwhile, and the room is
        back at once.
        """
        await self.start_on_small_disk()
        there = random.randbytes(MIB)
        first = await self.zone.add(there, id=self.next_id())
        body = random.randbytes(4 * MIB)
        queued = await self.queued()
        length, coding = (
            b"Content-Length: %d" % len(body),
            b"Transfer-Encoding: chunked",
        )
        put = (b"PUT", f"/images/{queued}")
        for call in (put, (b"POST", "/images", FORMAT)):
            await self.check_full(request(*call, length) + body)
            halves = chunked(body[: 2 * MIB], body[2 * MIB :])
            await self.check_full(request(*call, coding) + halves)
            await self.check_kept((first, there))
        self.assertEqual(await self.status(queued), "queued")
        self.assertEqual(await self.put(queued, body[: 2 * MIB]), 200)
        await self.check_kept((first, there), (queued, body[: 2 * MIB]))

    async def test_shared(self) -> None:
        """
        The catalogue may be on the same disk: a failed upload makes room before its
        record is written. If others fill the disk, what is there can still be read,
        and whoever wants to write is told.
        """
        await self.start_on_small_disk("")
        there = random.randbytes(MIB)
        first = await self.zone.add(there, id=self.next_id())
        queued = await self.queued()
        head = request(b"PUT", f"/images/{queued}", b"Transfer-Encoding: chunked")
        await self.check_full(head + chunked(*[random.randbytes(MIB)] * 4))
        self.assertEqual(await self.status(queued), "queued")
        filling = os.path.join(self.zone.folder, "filling")
        with open(filling, "wb") as file, self.assertRaises(OSError):
            file.write(bytes(4 * MIB))
        self.assertIn(await self.put(queued, b"later"), (503, 507))
        reply = await self.zone.ask("GET", f"/images/{first}")
        self.assertTrue(reply.body == there)
        os.unlink(filling)
        self.assertEqual(await self.put(queued, b"later"), 200)
        await self.check_kept((first, there), (queued, b"later"))

    async def test_several(self) -> None:
        """
        Of uploads that together do not fit some may be refused, and leave nothing.
        """
        await self.start_on_small_disk()
        body = random.randbytes(2 * MIB)
        names = [await self.queued() for _ in range(4)]
        coding = b"Transfer-Encoding: chunked"

        def work(name: str, client: Client) -> int:
            head = request(b"PUT", f"/images/{name}", coding)
            client.send(head + chunked(body[:MIB], body[MIB:]))
            return client.answer().code

        sending = [self.raw(self.zone, partial(work, name)) for name in names]
        codes = [await one for one in sending]
        self.assertLessEqual(set(codes), {200, 507})
        self.assertIn(507, codes)
        await self.settled()
        stored = [n for n, code in zip(names, codes, strict=True) if code == 200]
        await self.check_kept(*[(name, body) for name in stored])


class _FailingOs:
    """
    The module ``os`` of the backend, of which one call fails, or all from that on.

    :ivar countdown: counted calls until the first that fails.
    """

    def __init__(
        self, error: int, countdown: int, *counted: str, lasting: bool = False
    ) -> None:
        self.countdown = countdown
        self._error = error
        self._counted = counted
        self._lasting = lasting

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name not in self._counted:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.countdown -= 1
            if self.countdown == 0 or (self._lasting and self.countdown < 0):
                raise OSError(self._error, os.strerror(self._error))
            return found(*args, **kwargs)

        return call


CALLS = ("open", "statvfs", "write", "posix_fadvise", "fsync", "mkdir", "rename")


class FailingDiskTests(UploadCase):
    """A disk of which the Nth call fails."""

    async def check_every_call(self, error: int, code: int) -> None:
        await self.start()
        body = random.randbytes(300_000)
        failed = set()
        # How many calls an upload makes depends on how its bytes come together, so
        # each of a kind is failed until there is no further one.
        for call in CALLS:
            for countdown in itertools.count(1):
                name = await self.queued()
                failing = _FailingOs(error, countdown, call)
                patch = self.patch(filesystem, "os", failing)
                answer = await self.put(name, body)
                patch.restore()
                if failing.countdown > 0:
                    break
                failed.add(call)
                self.assertEqual(answer, code)
                await self.settled()
                self.assertEqual(await self.status(name), "queued")
                await self.check_kept()
                self.assertEqual(await self.put(name, b"later"), 200)
                await self.check_kept((name, b"later"))
                await self.zone.ask("DELETE", f"/images/{name}")
            self.assertEqual(answer, 200)
            await self.check_kept((name, body))
            await self.zone.ask("DELETE", f"/images/{name}")
        self.assertLessEqual(set(CALLS) - {"mkdir"}, failed)  # a folder may be there

    async def test_every_call(self) -> None:
        """
        Whichever call of an upload fails, the client is told, the image waits for
        the next upload, and nothing is left.
        """
        self.patch(filesystem, "WRITE_BACK", 100_000)
        await self.check_every_call(errno.ENOSPC, 507)
        await self.check_every_call(errno.EDQUOT, 507)
        await self.check_every_call(errno.EIO, 503)

    async def test_removal(self) -> None:
        """
        What cannot be removed after a failed upload, or a deletion, stands in no
        one's way, and is removed by the next start.
        """
        await self.start()
        failed, deleted = await self.queued(), await self.zone.add(b"bytes")
        wrong = {"x-image-meta-checksum": "0" * 32}
        path = f"/images/{failed}"
        patch = self.patch(filesystem, "os", _FailingOs(errno.EIO, 1, "unlink"))
        self.assertEqual(
            (await self.zone.ask("DELETE", f"/images/{deleted}")).code, 204
        )
        patch.restore()
        for countdown in (1, 2):
            failing = _FailingOs(errno.EIO, countdown, "unlink", lasting=True)
            patch = self.patch(filesystem, "os", failing)
            reply = await self.zone.ask("PUT", path, wrong, b"bytes")
            patch.restore()
            self.assertGreaterEqual(reply.code, 400)
            self.assertEqual(await self.status(failed), "queued")
        self.assertEqual(len(self.zone.pieces()), 3)
        self.assertEqual(await self.put(failed, b"later"), 200)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 3)
        await self._stop(self.zone)
        await self.start(folder=self.zone.folder)
        self.assertEqual(await self.status(deleted), "")
        await self.check_kept((failed, b"later"))
