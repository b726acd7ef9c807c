# Copyright glancetx contributors. See LICENSE for details.

"""
Requests that are pipelined behind big answers of a whole server.
"""

from __future__ import annotations

import io
import os
import tarfile
from threading import Event, Thread

from glancetx.limits import Limits
from glancetx.web.intake import RECEIVE
from tests.wire import Answer, Client, get

from .uploads import UploadCase, request

MIB = 1024 * 1024
COUNT = 400


class PipelineTests(UploadCase):
    """Many requests on one connection."""

    async def build(self) -> tuple[str, list[bytes]]:
        """
        A chain whose archive is sent in every way: literals and padding, files that
        are copied, files that are sent by the kernel; the child's id, the pieces.
        """
        sizes = [9 * MIB + 1, 70_001, 65_536, 1000, 1, 511, 300_000, 5 * MIB]
        parent = None
        pieces: list[bytes] = []
        for size in sizes:
            pieces.insert(0, os.urandom(size))
            parent = await self.zone.add(pieces[0], parent)
        assert parent is not None
        return parent, pieces

    async def test_behind_an_archive(self) -> None:
        """
        400 requests behind an archive, sent with it, are answered each in its turn
        and whole.
        """
        await self.start()
        child, pieces = await self.build()
        path = f"/images/{child}".encode("ascii")
        archive = (await self.zone.ask("GET", f"/images/{child}/chain.tar")).body
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            files = [members.extractfile(one) for one in members]
        self.assertTrue([file and file.read() for file in files[1:]] == pieces)
        stream = b"".join(pieces)

        def work(client: Client) -> list[Answer]:
            data = [get(path + b"/chain.tar")]
            data += [self.numbered(path, n, len(stream)) for n in range(COUNT)]
            client.send(b"".join(data))
            heads = [False] + [number % 4 == 3 for number in range(COUNT)]
            return [client.answer(head) for head in heads]

        first, *others = await self.raw(self.zone, work)
        self.assertTrue(first.body == archive)
        for number, answer in enumerate(others):
            self.check_numbered(number, answer, stream, archive)

    def numbered(self, path: bytes, number: int, size: int) -> bytes:
        """One of four kinds of requests."""
        start = number * (size // COUNT)
        ranges = b"Range: bytes=%d-%d" % (start, start + 100_000)
        kinds = [
            get(path + b"/stream", b"GET", ranges),
            get(path + b"/chain.tar", b"GET", ranges),
            get(path.replace(b"-", b"_")),
            get(path + b"/stream", b"HEAD"),
        ]
        return kinds[number % 4]

    def check_numbered(
        self, number: int, answer: Answer, stream: bytes, archive: bytes
    ) -> None:
        start = number * (len(stream) // COUNT)
        if number % 4 < 2:
            whole = archive if number % 4 else stream
            self.assertEqual(answer.code, 206)
            self.assertTrue(answer.body == whole[start : start + 100_001], number)
        elif number % 4 == 2:
            self.assertEqual(answer.code, 404)
        else:
            self.assertEqual(answer.code, 200)
            self.assertEqual(int(answer.headers[b"content-length"]), len(stream))

    async def test_upload_behind_an_answer(self) -> None:
        """
        An upload that is pipelined behind a big answer waits in the client while the
        answer is not read, and arrives whole afterwards.
        """
        window = 256 * 1024
        await self.start(Limits(upload_window=window))
        big = os.urandom(MIB) * 32
        first = await self.zone.add(big, id=self.next_id())
        name = await self.queued()
        body = os.urandom(MIB) * 16
        length = b"Content-Length: %d" % len(body)
        sent, going_on = 0, Event()
        self.addCleanup(going_on.set)

        def send(client: Client) -> None:
            nonlocal sent
            client.send(get(f"/images/{first}".encode("ascii")))
            client.send(request(b"PUT", f"/images/{name}", length))
            for start in range(0, len(body), 65536):
                client.send(body[start : start + 65536])
                sent += 65536

        def work(client: Client) -> tuple[bool, int]:
            sender = Thread(target=send, args=[client])
            sender.start()
            going_on.wait()
            right = client.answer().body == big
            code = client.answer().code
            sender.join()
            return right, code

        asking = self.raw(self.zone, work, receive_buffer=65536)
        self.assertLess(await self.at_rest(lambda: sent), len(body))
        [channel] = [one for one in self.zone.parts.site.channels if one.requests]
        queued = sum(map(len, channel._dataBuffer))
        if len(channel.requests) > 1:
            queued += channel.requests[1].body.queued
        self.assertLessEqual(queued, window + RECEIVE)
        going_on.set()
        self.assertEqual(await asking, (True, 200))
        await self.check_kept((first, big), (name, body))
