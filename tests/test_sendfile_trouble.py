# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.sendfile}: what goes wrong on the way, over loopback TCP.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from glancetx.errors import PieceTruncated, ReaderGone
from glancetx.web import sendfile
from glancetx.web.request import Request
from glancetx.web.sendfile import read_ahead, warm_until

from .wire import MIB, Client, FileWireTests, Recorder, get, put


class TroubleTests(FileWireTests):
    """What goes wrong on the way."""

    size = 32 * MIB

    async def test_file_shrinks(self) -> None:
        """
        A file that ends early is a truncated piece, and the answer is cut.
        """
        with open(self.path, "r+b") as file:
            file.truncate(MIB)

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, self.size)

        self.send(work)

        def read(client: Client) -> int:
            client.send(get())
            client.head()
            try:
                return len(client.rest())
            except OSError:
                return 0

        self.assertLessEqual(await self.client(read), MIB)
        [failure] = self.route.failures
        error = failure.value
        assert isinstance(error, PieceTruncated)
        self.assertEqual((error.offset, error.size), (MIB, self.size))
        self.assertTrue(self.flushLoggedErrors(PieceTruncated))

    async def test_not_a_file(self) -> None:
        """
        An error of the file is the caller's to hear, and the answer is cut.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.close(writing)

        async def work(request: Any) -> None:
            await request.sendfile(reading, 5, self.size)

        self.send(work, self.size - 5)

        def read(client: Client) -> object:
            client.send(get())
            return self.assertRaises((EOFError, OSError), client.answer)

        await self.client(read)
        self.assertTrue(self.route.failures[0].check(OSError))
        self.assertTrue(self.flushLoggedErrors(OSError))

    async def test_reader_leaves(self) -> None:
        """
        A reader that leaves ends the sending: the producer is stopped, the route is
        told once and after that, nothing is written or logged as an error, and no
        descriptor is left.
        """
        producers: list[Recorder] = []
        ends: list[tuple[type, list[str]]] = []
        all_over: Deferred[None] = Deferred()
        count = 20

        async def work(request: Any) -> None:
            producers.append(producer := Recorder())
            request.registerProducer(producer, True)
            try:
                await request.sendfile(self.fd, 0, self.size)
            except Exception as error:
                ends.append((type(error), producer.told))
                if len(ends) == count + 1:
                    all_over.callback(None)
                raise

        self.send(work)

        def leave(client: Client) -> None:
            client.send(get())
            client.take(1000)

        await self.client(leave)  # the reactor is under way
        await self.all_closed()
        before = os.listdir("/proc/self/fd")
        with capturedLogs() as events:
            for _ in range(count):
                await self.client(leave)
            await all_over
            await self.all_closed()
        self.assertEqual(ends, [(ReaderGone, ["stop"])] * (count + 1))
        texts = [event["log_format"] for event in events if "log_failure" in event]
        self.assertEqual(texts, [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        self.assertEqual(self.site.transfers, set())

    async def test_cancelled(self) -> None:
        """
        A sending that is cancelled gives the transport back.
        """

        async def work(request: Any) -> None:
            producer = Recorder()
            request.registerProducer(producer, True)
            sending = request.sendfile(self.fd, 0, self.size)
            sending.cancel()
            with self.assertRaises(CancelledError):
                await sending
            request.unregisterProducer()
            request.write(b"abc")

        self.send(work, 3)

        def read(client: Client) -> list[bytes]:
            client.send(get() * 3)
            return [client.answer().body for _ in range(3)]

        # The length was announced for what is written instead.
        self.patch(Request, "admit", lambda *_: True)
        self.assertEqual(await self.client(read), [b"abc"] * 3)

    async def test_one_at_a_time(self) -> None:
        """
        A second file while the first is on its way is a mistake.
        """

        async def work(request: Any) -> None:
            sending = request.sendfile(self.fd, 0, self.size)
            self.assertRaises(RuntimeError, request.sendfile, self.fd, 0, 5)
            await sending

        self.send(work)

        def read(client: Client) -> bool:
            client.send(get())
            return client.answer().body == self.data

        self.assertTrue(await self.client(read))


class ColdTests(FileWireTests):
    """Pages that are not in memory."""

    def test_warm(self) -> None:
        """
        A file that was just written is in memory.
        """
        self.assertEqual(warm_until(self.fd, 5, self.size), self.size)

    def test_unknown(self) -> None:
        """
        Where the kernel cannot tell, the file is taken to be in memory.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.assertEqual(warm_until(reading, 0, 5), 5)

    def test_read_ahead(self) -> None:
        """
        Reading ahead closes its own descriptor, also at the end of the file.
        """
        fd = os.dup(self.fd)
        read_ahead(fd, self.size - 5, self.size + MIB)
        self.assertRaises(OSError, os.fstat, fd)

    async def test_cold(self) -> None:
        """
        A cold window is read in a thread before it is sent; the reactor goes on.
        """
        cold = {0, 3 * MIB}
        ahead: list[int] = []

        def probe(fd: int, start: int, stop: int) -> int:
            within = [offset for offset in cold if start <= offset < stop]
            return min([*within, stop])

        def read(fd: int, start: int, stop: int) -> None:
            ahead.append(start)
            read_ahead(fd, start, stop)

        self.patch(sendfile, "WINDOW", 2 * MIB)
        self.patch(sendfile, "warm_until", probe)
        self.patch(sendfile, "read_ahead", read)

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, self.size)

        self.send(work)

        def fetch(client: Client) -> bytes:
            client.send(get())
            return client.answer().body

        self.assertEqual(await self.client(fetch), self.data)
        self.assertEqual(ahead, [0, 3 * MIB])

    async def test_unreadable(self) -> None:
        """
        Storage that cannot be read is the caller's to hear.
        """

        def read(fd: int, start: int, stop: int) -> None:
            os.close(fd)
            raise OSError("planted")

        self.patch(sendfile, "warm_until", lambda fd, start, stop: start)
        self.patch(sendfile, "read_ahead", read)

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, self.size)

        self.send(work)

        def fetch(client: Client) -> object:
            client.send(get())
            return self.assertRaises((EOFError, OSError), client.answer)

        await self.client(fetch)
        self.assertIn("planted", self.route.failures[0].getErrorMessage())
        self.assertTrue(self.flushLoggedErrors(OSError))

    async def test_reader_leaves_while_reading_ahead(self) -> None:
        """
        A reader that leaves while a thread reads for it is noticed at once, and the
        thread closes what it reads from.
        """
        reader_left: Deferred[None] = Deferred()
        descriptors: list[int] = []
        may_go_on: Deferred[None] = Deferred()

        def defer(*args: Any) -> Deferred[None]:
            descriptors.append(args[3])
            return may_go_on

        self.patch(sendfile, "warm_until", lambda fd, start, stop: start)
        self.patch(sendfile, "deferToThreadPool", defer)

        async def work(request: Any) -> None:
            try:
                await request.sendfile(self.fd, 0, self.size)
            except ReaderGone:
                reader_left.callback(None)

        self.send(work)

        def leave(client: Client) -> None:
            client.send(put(b"") + get())
            client.head()

        await self.client(leave)
        await reader_left
        read_ahead(descriptors[0], 0, MIB)
        may_go_on.callback(None)
        self.assertEqual(self.site.transfers, set())
