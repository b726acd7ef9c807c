# Copyright glancetx contributors. See LICENSE for details.

"""
What the client sends, and how it takes a refusal in the middle of it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from glancetx.client import ServerRefused
from glancetx.client.upload import SILENT_SECONDS, Body, upload
from glancetx.errors import BadValue, NoSuchImage, OriginUnavailable, PieceCorrupt

from .fake_servers import (
    Answer,
    ClientCase,
    FakeServer,
    RawServer,
    image_id,
    reactor,
)

MIB = 1024 * 1024


def described(data: bytes, **more: Any) -> Answer:
    """What a server answers that has stored this."""
    record = {
        "id": image_id(1),
        "status": "active",
        "size": len(data),
        "os_hash_algo": "sha256",
        "os_hash_value": hashlib.sha256(data).hexdigest(),
    }
    return Answer.of({"image": record | more}, 201)


async def chunks_of(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    """A source that hands out chunks."""
    for chunk in chunks:
        yield chunk


class AddImageTests(ClientCase):
    """``add_image()`` and ``put_image()``"""

    async def test_file(self) -> None:
        """
        A file is sent with its length, its name and formats as headers in UTF-8.
        """
        server = await FakeServer().start(self)
        data = b"disk" * 100_000
        path = Path(self.mktemp())
        path.write_bytes(data)
        server.say("POST /images", described(data, name="größe"))
        record = await self.client(server.url).add_image(
            {
                "name": "größe",
                "disk_format": "raw",
                "is_public": True,
                "properties": {"os": "debian"},
            },
            path,
            parent="http://global.example/images/" + image_id(9),
        )
        (seen,) = server.seen
        self.assertEqual(seen.body, data)
        self.assertEqual(seen.headers["content-length"], str(len(data)))
        self.assertEqual(seen.headers["x-image-meta-size"], str(len(data)))
        self.assertEqual(seen.headers["x-image-meta-name"], "größe")
        self.assertEqual(seen.headers["x-image-meta-is_public"], "True")
        self.assertEqual(seen.headers["x-image-meta-property-os"], "debian")
        self.assertEqual(
            seen.headers["x-image-meta-parent_id"],
            "http://global.example/images/" + image_id(9),
        )
        self.assertEqual((record.id, record.name), (image_id(1), "größe"))

    async def test_open_file(self) -> None:
        """
        An open file is sent from its position on, and stays open.
        """
        server = await FakeServer().start(self)
        server.say("POST /images", described(b"rest"))
        file = io.BytesIO(b"head, rest")
        file.seek(6)
        await self.client(server.url).add_image({}, file)
        self.assertEqual(server.seen[0].body, b"rest")
        self.assertFalse(file.closed)

    async def test_generator(self) -> None:
        """
        Chunks of unknown number are sent as a chunked body; empty ones end nothing.
        """
        server = await FakeServer().start(self)
        server.say("POST /images", described(b"onetwo"))
        told: list[int] = []
        await self.client(server.url).add_image(
            {}, chunks_of(b"one", b"", b"two"), progress=told.append
        )
        self.assertEqual(server.seen[0].body, b"onetwo")
        self.assertEqual(server.seen[0].headers["transfer-encoding"], "chunked")
        self.assertNotIn("x-image-meta-size", server.seen[0].headers)
        self.assertEqual(told, [3, 3])

    async def test_record_alone(self) -> None:
        """
        Without a source nothing but the record is made.
        """
        server = await FakeServer().start(self)
        queued = {"image": {"id": image_id(1), "status": "queued"}}
        server.say("POST /images", Answer.of(queued, 201))
        record = await self.client(server.url).add_image({"name": "later"}, None)
        self.assertEqual(record.status, "queued")
        self.assertEqual(server.seen[0].headers["content-length"], "0")

    async def test_put(self) -> None:
        """
        The bytes of a queued record are brought by a PUT.
        """
        server = await FakeServer().start(self)
        server.say(f"PUT /images/{image_id(1)}", described(b"late"))
        client = self.client(server.url)
        record = await client.put_image(image_id(1), chunks_of(b"late"), size=4)
        self.assertEqual(record.size, 4)
        self.assertEqual(server.seen[0].headers["content-length"], "4")
        await self.failure(
            NoSuchImage, client.put_image(image_id(2), chunks_of(b"late"), size=4)
        )

    async def test_other_bytes(self) -> None:
        """
        A server that stored other bytes than were sent is found out.
        """
        server = await FakeServer().start(self)
        server.say("POST /images", described(b"dusk"))
        error = await self.failure(
            PieceCorrupt,
            self.client(server.url).add_image({}, chunks_of(b"disk"), size=4),
        )
        self.assertIn(image_id(1), str(error))

    async def test_short_source(self) -> None:
        """
        A source that ends early, or does not end in time, is the caller's error.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        short = client.add_image({}, chunks_of(b"abc"), size=4)
        self.assertIn("3 of 4", str(await self.failure(BadValue, short)))
        long = client.add_image({}, chunks_of(b"abcde"), size=4)
        self.assertIn("more than 4", str(await self.failure(BadValue, long)))

    async def test_failing_source(self) -> None:
        """
        What goes wrong in a source is raised as it is.
        """
        server = await FakeServer().start(self)

        async def failing() -> AsyncGenerator[bytes, None]:
            yield b"abc"
            raise OSError("the disk is broken")

        await self.failure(
            OSError, self.client(server.url).add_image({}, failing(), size=9)
        )

    async def test_unsendable(self) -> None:
        """
        What cannot stand in a header is refused before anything is sent.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        for metadata in (
            {"name": "two\r\nlines"},
            {"name": "nul\0"},
            {"name": " blank"},
            {"name": "lone \ud800"},
            {"name": 7},
            {"colour": "red"},
            {"properties": {"a:b": "c"}},
            {"properties": {"a": "b\n"}},
        ):
            await self.failure(BadValue, client.add_image(metadata, None))
        self.assertEqual(server.seen, [])


def sentence(code: int, text: str) -> bytes:
    """A refusal as it goes over the wire."""
    body = b'{"problem": {"message": "%s"}}' % text.encode("ascii")
    return (
        b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (code, len(body))
    ) + body


class EarlyRefusalTests(ClientCase):
    """A server that answers before it has the whole body."""

    async def refused(self, *script: Any) -> tuple[ServerRefused, RawServer, int]:
        """Upload 64 MiB to a server that will not have them."""
        told: list[int] = []
        server = RawServer(*script)
        url = await server.start(self)
        source = chunks_of(*[bytes(MIB)] * 64)
        error = await self.failure(
            ServerRefused,
            self.client(url).add_image({}, source, 64 * MIB, progress=told.append),
        )
        await server.lost
        return error, server, sum(told)

    async def test_whole_at_once(self) -> None:
        """
        A refusal that comes in one piece is reported, and ends the sending.
        """
        answer = sentence(400, "no such parent")
        error, _, sent = await self.refused((b"\r\n\r\n", lambda t: t.write(answer)))
        self.assertEqual((error.status, error.message), (400, "no such parent"))
        self.assertLess(sent, 64 * MIB)

    async def test_in_parts(self) -> None:
        """
        So is one whose body comes behind its headers, in the middle of the upload.
        """
        head, _, body = sentence(507, "store main is full").partition(b"\r\n\r\n")
        error, server, sent = await self.refused(
            (b"\r\n\r\n", lambda t: t.write(head + b"\r\n\r\n")),
            (8 * MIB, lambda t: t.write(body)),
        )
        self.assertEqual((error.status, error.message), (507, "store main is full"))
        self.assertLess(sent, 64 * MIB)

    async def test_then_closed(self) -> None:
        """
        A server that refuses and closes at once, with bytes unread, is understood.
        """

        def refuse(transport: Any) -> None:
            transport.write(sentence(413, "too large"))
            transport.loseConnection()

        error, _, _ = await self.refused((b"\r\n\r\n", refuse))
        self.assertEqual(error.status, 413)

    async def test_lost(self) -> None:
        """
        A connection that breaks without an answer is an unavailable server.
        """
        server = RawServer((8 * MIB, lambda t: t.abortConnection()))
        url = await server.start(self)
        source = chunks_of(*[bytes(MIB)] * 64)
        error = await self.failure(
            OriginUnavailable, self.client(url).add_image({}, source, 64 * MIB)
        )
        self.assertEqual(error.origin, url)

    async def test_back_pressure(self) -> None:
        """
        A source is not asked for more than the server takes.
        """
        told: list[int] = []
        halted = Deferred[None]()

        def halt(transport: Any) -> None:
            transport.pauseProducing()
            halted.callback(None)

        server = RawServer((b"\r\n\r\n", halt))
        url = await server.start(self)

        async def endless() -> AsyncGenerator[bytes, None]:
            while True:
                yield bytes(MIB)

        client = self.client(url)
        sending = Deferred.fromCoroutine(
            client.add_image({}, endless(), progress=told.append)
        )
        await halted
        count = -1
        while count != len(told):  # until the sockets between us are full
            count = len(told)
            await _turns(50)
        self.assertLess(sum(told), 64 * MIB)
        sending.addErrback(lambda _: None).cancel()
        await sending


class SilenceTests(SynchronousTestCase):
    """A server that neither takes nor answers."""

    def test_given_up(self) -> None:
        """
        It is given up after its time, which begins anew with every chunk it takes.
        """
        clock = Clock()
        answer: Deferred[IResponse] = Deferred()
        body = Body(chunks_of(), None, lambda count: None)

        class Silent:
            def request(self, *args: object) -> Deferred[IResponse]:
                return answer

        uri = b"http://zone.invalid/images"
        agent: Any = Silent()
        sending = upload(agent, b"POST", uri, Headers(), body, clock)
        waiting = Deferred.fromCoroutine(sending)
        clock.advance(SILENT_SECONDS - 1)
        for told in body._told:
            told(1)
        clock.advance(SILENT_SECONDS - 1)
        self.assertNoResult(waiting)
        clock.advance(1)
        error = self.failureResultOf(waiting, OriginUnavailable).value
        self.assertIn("neither took a byte nor answered", str(error))
        self.assertEqual(clock.getDelayedCalls(), [])


async def _turns(count: int) -> None:
    """Let the reactor turn."""
    for _ in range(count):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, turn.callback, None)
        await turn
