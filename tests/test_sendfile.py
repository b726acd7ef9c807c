# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.sendfile}, over loopback TCP.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from twisted.internet import abstract, tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer
from zope.interface.verify import verifyClass

from glancetx.errors import ReaderGone
from glancetx.interfaces import IFileConsumer
from glancetx.web.request import Request
from glancetx.web.sendfile import FileRequest

from .contract import missing
from .wire import MIB, Client, FileWireTests, Memory, Recorder, get, reactor


class SendfileTests(FileWireTests):
    """``FileRequest.sendfile``"""

    def test_interface(self) -> None:
        """
        A request over plain TCP is a consumer of files; one in memory is not.
        """
        verifyClass(IFileConsumer, FileRequest)
        requests: list[Request] = []
        Memory(requests.append).connect().send(get())
        self.assertFalse(IFileConsumer.providedBy(requests[0]))

    def test_contract(self) -> None:
        """
        The transport has the methods that the shape needs.
        """
        names = "getHandle startWriting registerProducer unregisterProducer bufferSize"
        self.assertEqual(missing(tcp.Server, *names.split(), "abortConnection"), "")
        self.assertEqual(missing(abstract.FileDescriptor(reactor), "reactor"), "")

    async def test_ranges(self) -> None:
        """
        Exactly the bytes asked for are sent, none for an empty range.
        """
        for start, stop in ((0, 0), (5, 5), (0, 1), (7, 3 * MIB + 5), (1, self.size)):

            async def work(request: Any, start: int = start, stop: int = stop) -> None:
                await request.sendfile(self.fd, start, stop)

            self.send(work, stop - start)

            def read(client: Client) -> bytes:
                client.send(get())
                return client.answer().body

            self.assertEqual(await self.client(read), self.data[start:stop])

    async def test_mixed(self) -> None:
        """
        Files and copies alternate in order, and all bytes are counted.
        """
        requests: list[Request] = []

        async def work(request: Any) -> None:
            requests.append(request)
            for number in range(20):
                request.write(b"%2d" % number)
                await request.sendfile(self.fd, number, number + 100000)
                request.write(b"x" * 100000)

        self.send(work, 20 * 200002)
        expected = b"".join(
            b"%2d" % number + self.data[number : number + 100000] + b"x" * 100000
            for number in range(20)
        )

        def read(client: Client) -> list[bytes]:
            client.send(get() + get())
            return [client.answer().body for _ in range(2)]

        self.assertEqual(await self.client(read), [expected, expected])
        self.assertEqual([request.sentLength for request in requests], [4000040] * 2)

    async def test_pipelined_behind_a_mixed_body(self) -> None:
        """
        400 requests that wait behind a body of files and copies are all answered.
        """

        @implementer(IPushProducer)
        class Copier(Recorder):
            """Copies like a stage: waits while it is paused."""

            waiting: Deferred[None] | None = None
            paused = False

            def pauseProducing(self) -> None:
                self.paused = True

            def resumeProducing(self) -> None:
                self.paused = False
                waiting, self.waiting = self.waiting, None
                if waiting is not None:
                    waiting.callback(None)

        async def answer(request: Any) -> None:
            if request.path != b"/big":
                request.setHeader(b"Content-Length", b"%d" % len(request.path))
                request.write(request.path)
                request.finish()
                return
            request.setHeader(b"Content-Length", b"%d" % (4 * (self.size + 4 * MIB)))
            copier = Copier()
            request.registerProducer(copier, True)
            for _ in range(4):
                for offset in range(0, 4 * MIB, 65536):
                    if copier.paused:
                        copier.waiting = Deferred()
                        await copier.waiting
                    request.write(self.data[offset : offset + 65536])
                await request.sendfile(self.fd, 0, self.size)
            request.unregisterProducer()
            request.finish()

        self.serve(answer, threads=reactor.getThreadPool())
        paths = [b"/%d" % number for number in range(400)]

        def read(client: Client) -> tuple[bytes, list[bytes]]:
            client.send(get(b"/big") + b"".join(map(get, paths)))
            big = sha256(client.answer().body).digest()
            return big, [client.answer().body for _ in paths]

        expected = sha256((self.data[: 4 * MIB] + self.data) * 4).digest()
        self.assertEqual(await self.client(read), (expected, paths))

    async def test_head(self) -> None:
        """
        The answer to a HEAD has the length, and not one byte of the file.
        """

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, self.size)

        self.send(work)

        def read(client: Client) -> tuple[bytes, bytes]:
            client.send(get(b"/", b"HEAD") + get())
            length = client.answer(head=True).headers[b"content-length"]
            return length, client.answer().body

        self.assertEqual(await self.client(read), (b"%d" % self.size, self.data))

    async def test_producer_is_left_alone(self) -> None:
        """
        The registered producer is not called until the file is sent; then it is told
        to go on, and is told again when the transport is full.
        """
        told: list[list[str]] = []

        async def work(request: Any) -> None:
            producer = Recorder()
            request.registerProducer(producer, True)
            request.write(bytes(1000000))
            told.append(list(producer.told))
            await request.sendfile(self.fd, 0, self.size)
            told.append(list(producer.told))
            request.write(bytes(1000000))
            told.append(list(producer.told))
            request.unregisterProducer()

        self.send(work, self.size + 2000000)

        def read(client: Client) -> int:
            client.send(get())
            return len(client.answer().body)

        self.assertEqual(await self.client(read), self.size + 2000000)
        steps = ["pause", "resume", "pause"]
        self.assertEqual(told, [steps[:1], steps[:2], steps])

    async def test_chunked(self) -> None:
        """
        An answer without a length cannot take a file.
        """
        errors: list[str] = []

        async def answer(request: Any) -> None:
            try:
                await request.sendfile(self.fd, 0, 5)
            except RuntimeError as error:
                errors.append(str(error))
            request.finish()

        self.serve(answer)

        def read(client: Client) -> bytes:
            client.send(get())
            return client.answer().body

        self.assertEqual(await self.client(read), b"")
        self.assertIn("Content-Length", errors[0])

    async def test_too_much(self) -> None:
        """
        More of a file than was announced is not begun: the answer is cut.
        """

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, 6)

        self.send(work, 5)

        def read(client: Client) -> object:
            client.send(get())
            return self.assertRaises((EOFError, OSError), client.answer)

        await self.client(read)
        self.assertTrue(self.route.failures[0].check(ReaderGone))


class LargeTests(FileWireTests):
    """Files that no buffer holds."""

    size = 64 * MIB

    async def test_pipelined(self) -> None:
        """
        Three files that were asked for at once come one behind the other.
        """

        async def work(request: Any) -> None:
            await request.sendfile(self.fd, 0, self.size)

        self.send(work)

        def read(client: Client) -> list[bool]:
            client.send(get() * 3)
            return [client.answer().body == self.data for _ in range(3)]

        self.assertEqual(await self.client(read), [True] * 3)
