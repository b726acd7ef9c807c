# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of bodies over loopback TCP: what only a real socket shows.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256

from twisted.internet import abstract
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from glancetx.limits import Limits
from glancetx.web.intake import RECEIVE
from glancetx.web.request import Request

from .contract import missing
from .wire import Answer, Client, WireTests, chunked, codes, get, put, reactor

MIB = 1024 * 1024


async def digest_answer(request: Request) -> None:
    """Reads the whole body, and answers with its digest."""
    digest = sha256()
    while data := await request.body.read():
        digest.update(data)
    request.setHeader(b"Content-Length", b"64")
    request.write(digest.hexdigest().encode("ascii"))
    request.finish()


def digest_of(data: bytes) -> bytes:
    return sha256(data).hexdigest().encode("ascii")


def refuse(request: Request) -> bytes:
    """Answers without a look at the body."""
    request.setResponseCode(409)
    return b"no"


class ArrivalTests(WireTests):
    """Bodies that arrive."""

    async def test_whole(self) -> None:
        """
        Every byte arrives, one upload behind the other, framed by both ways.
        """
        self.serve(digest_answer)
        data = os.urandom(9 * MIB + 5)

        def send(client: Client) -> list[bytes]:
            client.send(put(data))
            bodies = [client.answer().body]
            head = get(b"/", b"PUT", b"Transfer-Encoding: chunked")
            client.send(head + chunked(data[:70000], data[70000:]) + put(b"abc"))
            return [*bodies, client.answer().body, client.answer().body]

        expected = [digest_of(data), digest_of(data), digest_of(b"abc")]
        self.assertEqual(await self.client(send), expected)

    async def test_nothing_is_spooled(self) -> None:
        """
        No temporary file is made, for whatever kind of body.
        """
        self.patch(tempfile, "TemporaryFile", self.fail)
        self.serve(digest_answer)
        data = os.urandom(2 * MIB)

        def send(client: Client) -> list[Answer]:
            client.send(put(data))
            kind = b"Content-Type: multipart/form-data; boundary=a"
            client.send(put(data, b"/", kind).replace(b"PUT", b"POST", 1))
            client.send(get(b"/", b"PUT", b"Transfer-Encoding: chunked"))
            client.send(chunked(data))
            return [client.answer() for _ in range(3)]

        for answer in await self.client(send):
            self.assertEqual(answer.body, digest_of(data))

    async def test_receive_size(self) -> None:
        """
        More is received at once while a body arrives, and only then.
        """
        self.assertEqual(missing(abstract.FileDescriptor, "bufferSize"), "")
        sizes: list[int] = []

        async def answer(request: Request) -> None:
            transport = request.channel.transport
            sizes.append(transport.bufferSize)
            while await request.body.read():
                pass
            sizes.append(transport.bufferSize)
            request.setHeader(b"Content-Length", b"0")
            request.finish()

        self.serve(answer)

        def send(client: Client) -> None:
            for _ in range(2):
                client.send(put(bytes(MIB)))
                client.answer()

        await self.client(send)
        usual = abstract.FileDescriptor.bufferSize
        self.assertEqual(sizes, [RECEIVE, usual] * 2)

    async def test_back_pressure(self) -> None:
        """
        A body that nobody reads stops its client, and little of it is kept.
        """
        requests: list[Request] = []
        self.serve(requests.append, Limits(upload_window=MIB))

        def send(client: Client) -> int:
            client.send(get(b"/", b"PUT", b"Content-Length: 1000000000"))
            client.socket.settimeout(0.5)
            sent = 0
            with self.assertRaises(TimeoutError):
                while True:
                    sent += client.socket.send(bytes(65536))
            return sent

        sent = await self.client(send)
        body = requests[0].body
        self.assertGreater(body.queued, MIB)
        self.assertLessEqual(body.queued, MIB + RECEIVE)
        self.assertLess(sent, 100 * MIB)
        requests[0].channel.abort()

    async def test_behind_a_big_answer(self) -> None:
        """
        An upload that is pipelined behind a big answer is kept in the window too.
        """
        size = 64 * MIB
        requests: list[Request] = []
        peak = 0

        async def answer(request: Request) -> None:
            requests.append(request)
            if request.method == b"PUT":
                await digest_answer(request)
                return
            request.setHeader(b"Content-Length", b"%d" % size)
            request.write(bytes(size))
            request.finish()

        self.serve(answer, Limits(upload_window=MIB))
        data = os.urandom(MIB) * 64

        def look() -> None:
            nonlocal peak
            [channel] = self.site.channels
            queued = sum(map(len, channel._dataBuffer))
            if len(requests) > 1:
                queued += requests[1].body.queued
            peak = max(peak, queued)

        def send(client: Client) -> bytes:
            client.send(get())
            client.head()
            view = memoryview(put(data))
            client.socket.settimeout(0.2)
            while view:  # both ways at once, the answer by small steps
                blockingCallFromThread(reactor, look)
                try:
                    view = view[client.socket.send(view[: 4 * MIB]) :]
                except TimeoutError:
                    pass
                read_some(client)
            client.socket.settimeout(60)
            client.take(size - taken)
            return client.answer().body

        taken = 0

        def read_some(client: Client) -> None:
            nonlocal taken
            count = min(MIB, size - taken)
            taken += len(client.take(count))

        self.assertEqual(await self.client(send), digest_of(data))
        self.assertLessEqual(peak, MIB + RECEIVE)


class RefusalTests(WireTests):
    """Bodies that nobody wants."""

    async def test_client_reads_why(self) -> None:
        """
        A client that sends its whole body before it reads still reads the refusal.
        """
        self.serve(refuse)

        def send(client: Client) -> tuple[int, bytes, bytes]:
            client.send(put(bytes(8 * MIB)))
            answer = client.answer()
            return answer.code, answer.headers[b"connection"], client.rest()

        self.assertEqual(await self.client(send), (409, b"close", b""))

    async def test_refused_by_the_channel(self) -> None:
        """
        So does one whose request was no lawful one.
        """
        self.serve(self.fail)

        def send(client: Client) -> tuple[list[int], bool]:
            client.send(put(bytes(8 * MIB)).replace(b"Host", b"Ghost"))
            data = client.rest()
            return codes(data), data.endswith(b"}\n")

        self.assertEqual(await self.client(send), ([400], True))

    async def test_same_packet(self) -> None:
        """
        A refusal is the only answer, though the body came in the same packet.
        """
        self.serve(refuse)

        def send(client: Client) -> list[int]:
            client.send(put(b"abc") + get(b"/next"))
            return codes(client.rest())

        self.assertEqual(await self.client(send), [409])

    async def test_slow_authorisation(self) -> None:
        """
        A client that waits for ``100 Continue`` gets the refusal and no 100, though
        that took a while.
        """
        asked: Deferred[None] = Deferred()

        async def answer(request: Request) -> None:
            asked.callback(None)
            await authorised
            request.setResponseCode(413)
            request.setHeader(b"Content-Length", b"0")
            request.finish()

        authorised: Deferred[None] = Deferred()
        self.serve(answer)

        def send(client: Client) -> list[int]:
            expecting = b"Content-Length: 99000000000", b"Expect: 100-continue"
            client.send(get(b"/", b"PUT", *expecting))
            return codes(client.rest())

        answers = self.client(send)
        await asked
        [channel] = self.site.channels
        self.assertIsNone(channel.outstanding())
        authorised.callback(None)
        self.assertEqual(await answers, [413])

    async def test_malformed_chunk(self) -> None:
        """
        A malformed chunk behind a good one is a 400, and the connection is closed.
        """
        self.serve(digest_answer)

        def send(client: Client) -> list[int]:
            client.send(get(b"/", b"PUT", b"Transfer-Encoding: chunked"))
            client.send(b"3\r\nabc\r\nnonsense\r\n" + get(b"/next"))
            return codes(client.rest())

        self.assertEqual(await self.client(send), [400])

    async def test_early_disconnects(self) -> None:
        """
        Clients that leave in the middle of anything leave nothing behind.
        """
        self.serve(digest_answer)
        whole = put(bytes(200000))

        def leave(client: Client) -> None:
            for cut in (0, 3, 20, len(whole) // 2, len(whole) - 1, len(whole)):
                with Client(self.port) as other:
                    other.send(whole[:cut])

        await self.client(leave)
        await self.all_closed()
        before = os.listdir("/proc/self/fd")
        for _ in range(20):
            await self.client(leave)
        await self.all_closed()
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        self.assertEqual(self.site.transfers, set())

    async def test_half_closed(self) -> None:
        """
        A known limit of Twisted: who shuts down its side before it has its answer is
        taken to be gone.
        """
        self.serve(lambda request: None)

        def send(client: Client) -> bytes:
            client.send(get())
            client.socket.shutdown(1)
            return client.rest()

        self.assertEqual(await self.client(send), b"")
