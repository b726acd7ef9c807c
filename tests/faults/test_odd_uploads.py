# Copyright glancetx contributors. See LICENSE for details.

"""
Uploads in odd ways: old, malformed, expectant, refused while they come.
"""

from __future__ import annotations

import json
import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from glancetx.config import OriginConfig
from glancetx.limits import Limits
from glancetx.web.intake import RECEIVE
from tests.loopback import Asked, Loopback, RawServer
from tests.servers import reactor
from tests.wire import Client, chunked, codes

from .origin import Parent
from .uploads import FORMAT, UploadCase, request

EXPECT = b"Expect: 100-continue"
CHUNKED = b"Transfer-Encoding: chunked"


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


class OddUploadTests(UploadCase):
    """Bodies that come in unusual ways."""

    async def test_old_protocol(self) -> None:
        """
        A client of HTTP/1.0 can bring bytes, but must say how many.
        """
        await self.start()
        body = random.randbytes(300_000)
        one, two = await self.queued(), await self.queued()

        def old(name: str, *headers: bytes) -> bytes:
            head = request(b"PUT", f"/images/{name}", *headers)
            return head.replace(b"HTTP/1.1", b"HTTP/1.0") + body

        self.assertEqual((await self.send(old(one, length(body)))).code, 200)
        self.assertEqual((await self.send(old(two, CHUNKED))).code, 400)
        self.assertEqual((await self.send(old(two))).code, 400)
        self.assertEqual(await self.status(two), "queued")
        await self.check_kept((one, body))

    async def test_no_body(self) -> None:
        """
        Nor does a client of HTTP/1.1 make an empty image without saying so.
        """
        await self.start()
        name = await self.queued()
        answer = await self.send(request(b"PUT", f"/images/{name}"))
        self.assertEqual(answer.code, 400)
        self.assertIn(b"Content-Length", answer.body)
        self.assertEqual(await self.status(name), "queued")
        answer = await self.send(request(b"PUT", f"/images/{name}", length(b"")))
        self.assertEqual(answer.code, 200)
        await self.check_kept((name, b""))

    async def test_malformed_chunk(self) -> None:
        """
        A chunk that is none, behind good ones, is a 400; nothing is kept, and what
        follows is not taken for a request.
        """
        await self.start(Limits(upload_window=65536))
        good = chunked(random.randbytes(200_000)).removesuffix(b"0\r\n\r\n")
        other = await self.queued()
        follows = request(b"DELETE", f"/images/{other}")
        bad = [b"x\r\n", b"-5\r\nabcde\r\n", b"5\r\nabcdefg\r\n", b"\r\n", b"0x5\r\n"]
        bad += [b"5\n", b"0" * 2000 + b"5\r\n", b"3\r\nabc" + b"X" * 99]
        for end in bad:
            name = await self.queued()
            data = request(b"PUT", f"/images/{name}", CHUNKED) + good + end + follows

            def work(client: Client, data: bytes = data) -> bytes:
                client.send(data)
                return client.rest()

            said = await self.raw(self.zone, work)
            self.assertEqual(codes(said), [400], end)
            await self.settled()
            self.assertEqual(await self.status(name), "queued")
            await self.check_kept()
        self.assertEqual(await self.status(other), "queued")

    async def test_same_packet(self) -> None:
        """
        A refusal is read by a client that sent everything at once; the bytes are not
        kept, and no request is read out of them.
        """
        await self.start()
        active = await self.zone.add(b"here", id=self.next_id())
        body = request(b"DELETE", f"/images/{active}")
        ends = length(body), b"Connection: close"
        heads = {
            404: request(b"PUT", f"/images/{self.next_id()}", *ends),
            409: request(b"PUT", f"/images/{active}", *ends),
            405: request(b"PATCH", f"/images/{active}", *ends),
            400: request(b"POST", "/images", *ends),
            501: request(b"BREW", "/images", *ends),
        }
        for code, head in heads.items():

            def work(client: Client, data: bytes = head + body) -> bytes:
                client.send(data)
                return client.rest()

            self.assertEqual(codes(await self.raw(self.zone, work)), [code])
        await self.check_kept((active, b"here"))


class ExpectTests(UploadCase):
    """``Expect: 100-continue``"""

    def ask_first(self, head: bytes, body: bytes) -> Deferred[tuple[int, list[int]]]:
        """
        Send a body when told so, as ``curl`` does; the first status, and all.
        """

        def work(client: Client) -> tuple[int, list[int]]:
            client.send(head)
            first, headers = client.head()
            if first == 100:
                client.send(body)
                return first, [100, client.answer().code]
            client.take(int(headers[b"content-length"]))
            return first, [first, *codes(client.rest())]

        return self.raw(self.zone, work)

    async def test_refused(self) -> None:
        """
        A client that asks first is refused without being told to go on.
        """
        await self.start()
        active = await self.zone.add(b"here", id=self.next_id())
        queued = await self.queued()
        size = b"Content-Length: 99000000000", EXPECT
        wrong = b"X-Image-Meta-Size: 5"
        named = b"X-Image-Meta-Id: " + active.encode("ascii")
        huge = b"Content-Length: " + b"9" * 18, EXPECT
        cases = [
            (404, request(b"PUT", f"/images/{self.next_id()}", *size)),
            (404, request(b"PUT", "/nowhere", *size)),
            (409, request(b"PUT", f"/images/{active}", *size)),
            (405, request(b"PATCH", f"/images/{active}", *size)),
            (400, request(b"PUT", f"/images/{queued}", wrong, *size)),
            (400, request(b"POST", "/images", wrong, FORMAT, *size)),
            (400, request(b"POST", "/images", *size)),
            (400, request(b"POST", "/images", FORMAT, b"X-Image-Meta-Oh: no", *size)),
            (409, request(b"POST", "/images", FORMAT, named, *size)),
            (507, request(b"PUT", f"/images/{queued}", *huge)),
        ]
        for code, head in cases:
            self.assertEqual(await self.ask_first(head, b""), (code, [code]), head)
        await self.settled()
        self.assertEqual(await self.status(queued), "queued")
        await self.check_kept((active, b"here"))

    async def test_welcome(self) -> None:
        """
        One who is welcome is told so once, whichever way the body is framed.
        """
        await self.start()
        body = random.randbytes(300_000)
        names = []
        for header, data in ((length(body), body), (CHUNKED, chunked(body))):
            names.append(await self.queued())
            head = request(b"PUT", f"/images/{names[-1]}", header, EXPECT)
            self.assertEqual(await self.ask_first(head, data), (100, [100, 200]))
        await self.check_kept(*[(name, body) for name in names])


class SlowParentTests(UploadCase):
    """Uploads that wait while their parent is looked up."""

    async def start_slow(self) -> None:
        """Start a server whose origin answers when it is told to."""
        self.asked: list[Any] = []
        origin = Loopback(reactor, RawServer(self.hear))
        self.addCleanup(origin.stop)
        self.origin = origin
        limits = Limits(upload_window=65536)
        self.zone = await self.serve([OriginConfig("far", origin.url)], limits)
        self.watch()

    def hear(self, asked: Asked, transport: Any) -> bytes:
        self.asked.append(transport)
        return b""

    def head(self, body: bytes, *headers: bytes) -> bytes:
        uri = f"{self.origin.url}/images/{Parent(1).id}".encode("ascii")
        parent = b"X-Image-Meta-Parent_id: " + uri
        return request(b"POST", "/images", FORMAT, parent, length(body), *headers)

    def answer(self, there: bool) -> None:
        """Let the origin answer that it has the parent, or not."""
        lines = ["HTTP/1.1 200 OK" if there else "HTTP/1.1 403 No"]
        lines += [f"X-Image-Meta-{k}: {v}" for k, v in Parent(1).said.items()]
        lines += ["Content-Length: 0", "Connection: close", "", ""]
        self.asked.pop().write("\r\n".join(lines).encode("ascii"))

    async def begin(self, data: bytes) -> Client:
        """Send this; wait until the origin was asked."""
        client = await deferToThread(Client, self.zone.port)
        self.addCleanup(client.__exit__)
        sending = deferToThread(client.send, data)
        await self.until(lambda: self.asked)
        self.addCleanup(lambda: sending)
        client.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(60)
        return client

    async def test_expectation(self) -> None:
        """
        A client that asks first waits with us: it is told to go on only when the
        parent is known, and hears of a refusal alone.
        """
        await self.start_slow()
        body = random.randbytes(300_000)
        client = await self.begin(self.head(body, EXPECT))
        self.answer(False)
        self.assertEqual(codes(await deferToThread(client.rest)), [400])
        client = await self.begin(self.head(body, EXPECT))
        self.answer(True)
        self.assertEqual((await deferToThread(client.head))[0], 100)
        await deferToThread(client.send, body)
        answer = await deferToThread(client.answer)
        self.assertEqual(answer.code, 201)
        await self.check_kept((json.loads(answer.body)["image"]["id"], body))

    async def test_impatience(self) -> None:
        """
        One that sends at once is held back meanwhile; whatever the look-up says, it
        reads it.
        """
        await self.start_slow()
        body = random.randbytes(12_000_000)
        client = await self.begin(self.head(body) + body[:1])
        sending = deferToThread(client.send, body[1:])
        [channel] = [one for one in self.zone.parts.site.channels if one.requests]
        waiting = channel.requests[0].body
        await self.until(lambda: waiting.queued > 65536)
        self.assertLess(waiting.queued, 65536 + RECEIVE)
        self.answer(True)
        await sending
        answer = await deferToThread(client.answer)
        self.assertEqual(answer.code, 201)
        await self.check_kept((json.loads(answer.body)["image"]["id"], body))

    async def test_refused_impatience(self) -> None:
        """
        So does one that is refused.
        """
        await self.start_slow()
        body = random.randbytes(2_000_000)
        client = await self.begin(self.head(body) + body[:1])
        sending = deferToThread(client.send, body[1:])
        self.answer(False)
        self.assertEqual(codes(await deferToThread(client.rest)), [400])
        await sending
        await self.check_kept()

    async def test_leaving(self) -> None:
        """
        When the client leaves, the origin is not asked any longer, and no record is
        made. (One that is held back is heard of when the look-up is over.)
        """
        await self.start_slow()
        body = random.randbytes(60_000)
        for data in (self.head(body, EXPECT), self.head(body), self.head(body) + body):
            client = await self.begin(data)
            await deferToThread(client.__exit__)
            await self.origin.emptied()
            self.asked.clear()
        self.assertEqual((await self.zone.ask("GET", "/images")).json, {"images": []})
        await self.check_kept()
