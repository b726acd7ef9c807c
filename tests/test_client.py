# Copyright glancetx contributors. See LICENSE for details.

"""
How the client finds images, and reads them with all that they are differences to.
"""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred

from glancetx.client import ImageRecord, NotTrusted, Server, ServerRefused
from glancetx.errors import (
    BadValue,
    NoSuchImage,
    OriginUnavailable,
    PieceCorrupt,
    PieceTruncated,
    ReaderGone,
    WrongState,
)
from glancetx.image import Digest
from glancetx.testing import RecordingConsumer

from .fake_servers import Answer, ClientCase, FakeServer, Piece, image_id

DELTA = os.urandom(300_000)
GOLDEN = os.urandom(900_000)


def uri(server: FakeServer, number: int) -> str:
    """The URI of a server's nth image."""
    return f"{server.url}/images/{image_id(number)}"


class HeadTests(ClientCase):
    """``head_image()``, ``chain()`` and ``delete_image()``"""

    async def test_record(self) -> None:
        """
        The headers of an answer become a record; names are UTF-8.
        """
        server = await FakeServer().start(self)
        meta = {"name": "größe", "Property-Os-Version": "12", "min_disk": "3"}
        piece = Piece(1, b"disk", "http://global.example/images/x", meta=meta)
        server.offer(piece)
        record = await self.client(server.url).head_image(uri(server, 1))
        self.assertEqual(
            record,
            ImageRecord(
                id=image_id(1),
                status="active",
                name="größe",
                disk_format="raw",
                size=4,
                digest=Digest("sha256", piece.sha256),
                parent="http://global.example/images/x",
                min_disk=3,
                properties={"os_version": "12"},
            ),
        )
        self.assertEqual(
            record, ImageRecord.from_json({**record.as_json(), "unknown": []})
        )

    async def test_unknown(self) -> None:
        """
        An id that the server does not know is named.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        for call in (client.head_image, client.chain, client.delete_image):
            error = await self.failure(NoSuchImage, call(image_id(1)))
            self.assertEqual(error.image_id, image_id(1))

    async def test_refused(self) -> None:
        """
        Another refusal comes with the server's sentence, or with its status.
        """
        server = await FakeServer().start(self)
        path = f"DELETE /images/{image_id(1)}"
        client = self.client(server.url)
        server.say(path, Answer.refusal(409, "it is the parent of two"))
        error = await self.failure(ServerRefused, client.delete_image(image_id(1)))
        self.assertEqual(
            (error.status, error.message), (409, "it is the parent of two")
        )
        for body in (b"<html>", b"[]", b"{}", b'{"a": 1}', b'{"a": {}}', b"\xff"):
            server.say(path, Answer(418, body))
            error = await self.failure(ServerRefused, client.delete_image(image_id(1)))
            self.assertIn("I'm a Teapot", error.message)

    async def test_deleted(self) -> None:
        """
        An answer without a body is success.
        """
        server = await FakeServer().start(self)
        server.say(f"DELETE /images/{image_id(1)}", Answer(204))
        await self.client(server.url).delete_image(image_id(1))

    async def test_addresses(self) -> None:
        """
        What is no id and no URI of a trusted server is not asked for.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        for text in (
            "http://127.0.0.1:1/images/" + image_id(1),
            server.url.replace("127.0.0.1", "localhost") + "/images/" + image_id(1),
            server.url.replace("http://", "http://u:p@") + "/images/" + image_id(1),
        ):
            await self.failure(NotTrusted, client.head_image(text))
        for text in ("", "golden", image_id(1) + "/", "../" + image_id(1)):
            await self.failure(BadValue, client.head_image(text))
        self.assertEqual(server.seen, [])

    async def test_unreachable(self) -> None:
        """
        A server that does not listen is named.
        """
        client = self.client("http://127.0.0.1:1")
        error = await self.failure(OriginUnavailable, client.head_image(image_id(1)))
        self.assertEqual(error.origin, "http://127.0.0.1:1")

    async def test_nonsense(self) -> None:
        """
        An answer that describes no image, or no chain, is the server's failure.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        server.say(f"HEAD /images/{image_id(1)}", Answer())
        await self.failure(OriginUnavailable, client.head_image(image_id(1)))
        piece = {
            "id": image_id(1),
            "uri": "u",
            "size": 4,
            "os_hash_algo": "sha256",
            "os_hash_value": "00",
            "offset": 0,
        }
        for chain, size in (
            ([piece], 5),
            ([piece | {"offset": 1}], 4),
            ([piece, piece], 8),
            ([piece | {"size": "4"}], 4),
            ([piece | {"size": -4}], -4),
            ([piece | {"os_hash_value": None}], 4),
            ([piece | {"os_hash_algo": "shake_128"}], 4),
            ([[]], 0),
            ([], 0),
        ):
            answer = Answer.of({"chain": chain, "size": size})
            server.say(f"GET /images/{image_id(1)}/chain", answer)
            await self.failure(OriginUnavailable, client.chain(image_id(1)))


class ListTests(ClientCase):
    """``list_images()``"""

    async def test_pages(self) -> None:
        """
        Pages are asked for until there is no more; each begins behind the last.
        """
        server = await FakeServer().start(self)

        def page(*numbers: int) -> dict[str, object]:
            one = [{"id": image_id(n), "status": "active"} for n in numbers]
            return {"images": one}

        first = "GET /images/detail?name=a%26b&limit=2"
        server.say(first, Answer.of(page(5, 4) | {"next": "/anywhere"}))
        server.say(f"{first}&marker={image_id(4)}", Answer.of(page(3)))
        client = self.client(server.url)
        found = [one.id async for one in client.list_images({"name": "a&b"}, page=2)]
        self.assertEqual(found, [image_id(5), image_id(4), image_id(3)])

    async def test_empty(self) -> None:
        """
        A server without images lists none; an empty page with a next one ends it.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        empty: dict[str, object] = {"images": []}
        for answer in (empty, empty | {"next": "/images/detail"}):
            server.say("GET /images/detail?limit=100", Answer.of(answer))
            self.assertEqual([one async for one in client.list_images()], [])


class GetTests(ClientCase):
    """``get_piece()`` and ``get_image()``"""

    async def two(self, digest: str = "") -> tuple[FakeServer, FakeServer]:
        """A zone with a difference, and a global server with what it is one to."""
        world = await FakeServer().start(self)
        zone = await FakeServer().start(self)
        above = Piece(2, GOLDEN, digest=digest)
        world.offer(above)
        zone.offer(Piece(1, DELTA, uri(world, 2)), above)
        return zone, world

    async def test_piece(self) -> None:
        """
        An image's own piece is nothing but its own, and never finishes the consumer.
        """
        zone, world = await self.two()
        consumer = RecordingConsumer()
        await self.client(zone.url, world.url).get_piece(image_id(1), consumer)
        self.assertEqual(bytes(consumer.received), DELTA)
        self.assertEqual((consumer.producer, consumer.broken), (None, []))

    async def test_joined(self) -> None:
        """
        The zone joins the chain by default; no other server is asked.
        """
        zone, world = await self.two()
        consumer = RecordingConsumer()
        await self.client(zone.url, world.url).get_image(uri(zone, 1), consumer)
        self.assertEqual(bytes(consumer.received), DELTA + GOLDEN)
        self.assertEqual((consumer.producer, consumer.broken), (None, []))
        self.assertEqual(world.seen, [])

    async def test_followed(self) -> None:
        """
        Else each piece comes from the server that its child names, and registers
        nothing anew with the consumer.
        """
        zone, world = await self.two()
        consumer = RecordingConsumer()
        client = self.client(zone.url, world.url)
        await client.get_image(image_id(1), consumer, join=False)
        self.assertEqual(bytes(consumer.received), DELTA + GOLDEN)
        self.assertEqual((consumer.registered, consumer.broken), ([True], []))
        self.assertEqual(len(world.asked(f"GET /images/{image_id(2)}")), 1)
        self.assertEqual(zone.asked(f"GET /images/{image_id(1)}/stream"), [])

    async def test_from_the_middle(self) -> None:
        """
        A reading can begin at any byte, also one of a parent's piece.
        """
        zone, world = await self.two()
        client = self.client(zone.url, world.url)
        for start in (1, len(DELTA) - 1, len(DELTA), len(DELTA) + 7):
            for join in (True, False):
                consumer = RecordingConsumer()
                await client.get_image(image_id(1), consumer, join, start)
                self.assertEqual(bytes(consumer.received), (DELTA + GOLDEN)[start:])

    async def test_not_trusted(self) -> None:
        """
        A parent on a server that we were not told to trust is not asked for.
        """
        zone, world = await self.two()
        consumer = RecordingConsumer()
        error = await self.failure(
            NotTrusted, self.client(zone.url).get_image(image_id(1), consumer, False)
        )
        self.assertEqual(error.uri, uri(world, 2))
        self.assertEqual((world.seen, bytes(consumer.received)), ([], b""))

    async def test_alias(self) -> None:
        """
        A server is known by its aliases, and asked at its URL.
        """
        zone = await FakeServer().start(self)
        alias = "http://glance.example.com"
        zone.offer(Piece(1, DELTA, f"{alias}/v2/images/{image_id(2)}"))
        zone.offer(Piece(2, GOLDEN))
        consumer = RecordingConsumer()
        client = self.client(Server(zone.url, aliases=(alias,)))
        await client.get_image(image_id(1), consumer, join=False)
        self.assertEqual(bytes(consumer.received), DELTA + GOLDEN)

    async def test_credentials(self) -> None:
        """
        Each server gets its own credentials with every request, and nobody else's.
        """
        zone, world = await self.two()
        client = self.client(
            Server(zone.url, {"X-Auth-Token": "for the zone"}),
            Server(world.url, {"X-Auth-Token": "for the world"}),
        )
        for join in (True, False):
            await client.get_image(image_id(1), RecordingConsumer(), join)
        await client.get_piece(uri(world, 2), RecordingConsumer())
        for server, token in ((zone, "for the zone"), (world, "for the world")):
            tokens = {one.headers.get("x-auth-token") for one in server.seen}
            self.assertEqual(tokens, {token})
        self.assertNotIn("for the", repr(Server(zone.url, {"X": "for the zone"})))

    async def test_resumed(self) -> None:
        """
        What breaks off is asked for again from where it broke, as long as it is the
        same.
        """
        zone, world = await self.two()
        path = f"GET /images/{image_id(1)}/stream"
        whole = zone.answers[path][0]
        cuts = [Answer(200, whole.body, whole.headers, cut) for cut in (60_000, 50_000)]
        zone.say(path, *cuts, whole)
        consumer = RecordingConsumer()
        await self.client(zone.url).get_image(image_id(1), consumer)
        self.assertEqual(bytes(consumer.received), DELTA + GOLDEN)
        asked = [
            (one.headers.get("range"), one.headers.get("if-range"))
            for one in zone.asked(path)
        ]
        last = len(DELTA + GOLDEN) - 1
        self.assertEqual(
            asked,
            [
                (None, None),
                (f"bytes=60000-{last}", '"all"'),
                (f"bytes=110000-{last}", '"all"'),
            ],
        )

    async def test_lost(self) -> None:
        """
        A server that is lost for good is told with how far it came.
        """
        zone, _ = await self.two()
        path = f"GET /images/{image_id(1)}"
        whole = zone.answers[path][0]
        zone.say(path, Answer(200, whole.body, whole.headers, 60_000), Answer(503))
        consumer = RecordingConsumer()
        error = await self.failure(
            PieceTruncated, self.client(zone.url).get_piece(image_id(1), consumer)
        )
        self.assertEqual((error.offset, error.size), (60_000, len(DELTA)))

    async def test_corrupt(self) -> None:
        """
        A wrong byte in any piece of the stream is found before the piece is whole.
        """
        zone, world = await self.two(digest="00" * 32)
        client = self.client(zone.url, world.url)
        for join in (True, False):
            consumer = RecordingConsumer()
            await self.failure(
                PieceCorrupt, client.get_image(image_id(1), consumer, join)
            )
            self.assertLess(len(consumer.received), len(DELTA + GOLDEN))
            self.assertGreaterEqual(len(consumer.received), len(DELTA))
            self.assertEqual((consumer.producer, consumer.broken), (None, []))

    async def test_no_bytes(self) -> None:
        """
        An image that waits for its bytes cannot be read.
        """
        server = await FakeServer().start(self)
        meta = {"X-Image-Meta-Id": image_id(1), "X-Image-Meta-Status": "queued"}
        server.say(f"HEAD /images/{image_id(1)}", Answer(headers=meta))
        client = self.client(server.url)
        error = await self.failure(
            WrongState, client.get_piece(image_id(1), RecordingConsumer())
        )
        self.assertEqual(error.status, "queued")

    async def test_circle(self) -> None:
        """
        A chain that comes back to itself is refused before a byte is written.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, DELTA, uri(server, 2)))
        server.offer(Piece(2, GOLDEN, uri(server, 1)))
        consumer = RecordingConsumer()
        error = await self.failure(
            BadValue, self.client(server.url).get_image(image_id(1), consumer, False)
        )
        self.assertIn("parent of itself", str(error))
        self.assertEqual(consumer.registered, [])

    async def test_too_long(self) -> None:
        """
        A chain without end is followed no further than the limit says.
        """
        server = await FakeServer().start(self)
        for number in range(1, 80):
            server.offer(Piece(number, b"x", uri(server, number + 1)))
        error = await self.failure(
            BadValue,
            self.client(server.url).get_image(image_id(1), RecordingConsumer(), False),
        )
        self.assertIn("more than 64", str(error))

    async def test_gone(self) -> None:
        """
        A consumer that leaves ends the reading.
        """
        zone, world = await self.two()
        for join in (True, False):
            consumer = RecordingConsumer(on_write=RecordingConsumer.leave)
            client = self.client(zone.url, world.url)
            await self.failure(
                ReaderGone, client.get_image(image_id(1), consumer, join)
            )
            self.assertEqual(consumer.broken, [])

    async def test_paused(self) -> None:
        """
        A consumer that has enough gets no more until it wants to.
        """
        zone, _ = await self.two()
        consumer = RecordingConsumer(on_write=RecordingConsumer.pause)
        client = self.client(zone.url)
        reading = Deferred.fromCoroutine(client.get_image(image_id(1), consumer))
        await consumer.reached(1)
        self.assertEqual(len(consumer.writes), 1)
        consumer.on_write = None
        consumer.resume()
        await reading
        self.assertEqual(bytes(consumer.received), DELTA + GOLDEN)
        self.assertEqual(consumer.surplus, 0)
