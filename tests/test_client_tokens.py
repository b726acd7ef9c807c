# Copyright glancetx contributors. See LICENSE for details.

"""
What the client shows to which server: tokens, and the queries of signed URLs.
"""

from __future__ import annotations

import os

from glancetx.client import NotTrusted, Server, ServerRefused
from glancetx.errors import BadValue
from glancetx.testing import RecordingConsumer

from .fake_servers import Answer, ClientCase, FakeServer, Piece, image_id

TOKEN = "gtx_0123456789abcdef_" + "0a" * 32
SIGNED = f"gtx_key=k-1&gtx_method=GET&gtx_digest=sha256:{'ab' * 32}&gtx_sig=00ff"
DELTA = os.urandom(30_000)
GOLDEN = os.urandom(90_000)


class TokenTests(ClientCase):
    """A token in the headers of one server"""

    async def test_bound(self) -> None:
        """
        A token goes to its own server only, also when a chain leads to another.
        """
        world = await FakeServer().start(self)
        zone = await FakeServer().start(self)
        golden, delta = (
            Piece(2, GOLDEN),
            Piece(1, DELTA, f"{world.url}/images/{image_id(2)}"),
        )
        world.offer(golden)
        zone.offer(delta)
        home = Server(zone.url, {"X-Auth-Token": TOKEN})
        consumer = RecordingConsumer()
        client = self.client(home, world.url)
        await client.get_image(image_id(1), consumer, join=False)
        self.assertEqual(consumer.received, DELTA + GOLDEN)
        self.assertEqual(
            {one.headers.get("x-auth-token") for one in zone.seen}, {TOKEN}
        )
        self.assertGreater(len(world.seen), 1)
        for seen in world.seen:
            self.assertNotIn(TOKEN, repr(seen))

    async def test_not_allowed(self) -> None:
        """
        Who may see an image but not read it is told so in the server's words, at once.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, DELTA))
        path = f"/images/{image_id(1)}"
        for code in (401, 403):
            server.seen.clear()
            server.say(f"GET {path}", Answer.refusal(code, "you may not"))
            reading = self.client(server.url).get_piece(
                image_id(1), RecordingConsumer()
            )
            error = await self.failure(ServerRefused, reading)
            self.assertEqual((error.status, error.message), (code, "you may not"))
            self.assertEqual([one.method for one in server.seen], ["HEAD", "GET"])

    async def test_not_known(self) -> None:
        """
        An answer to a HEAD has no words; that a token is not known is told anyway.
        """
        server = await FakeServer().start(self)
        server.say(f"HEAD /images/{image_id(1)}", Answer(401))
        asking = self.client(server.url).head_image(image_id(1))
        error = await self.failure(ServerRefused, asking)
        self.assertEqual(str(error), "the server does not know who asks (401)")

    async def test_redirect(self) -> None:
        """
        A server that sends the client elsewhere does not send the token along.
        """
        other = await FakeServer().start(self)
        zone = await FakeServer().start(self)
        path = f"/images/{image_id(1)}"
        zone.say(f"HEAD {path}", Answer(307, headers={"Location": other.url + path}))
        client = self.client(Server(zone.url, {"X-Auth-Token": TOKEN}), other.url)
        await self.failure(Exception, client.head_image(image_id(1)))
        self.assertEqual(other.seen, [])


class SignedTests(ClientCase):
    """Signed URLs as names of images"""

    def sign(self, server: FakeServer, number: int) -> str:
        """Let a server have an image for a signed query only; returns its URL."""
        path = f"/images/{image_id(number)}"
        for method in ("HEAD", "GET"):
            (answer,) = server.answers.pop(f"{method} {path}")
            server.say(f"{method} {path}?{SIGNED}", answer)
        return f"{server.url}{path}?{SIGNED}"

    async def test_piece(self) -> None:
        """
        A signed URL is asked for with its query, to the last byte.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, DELTA))
        url = self.sign(server, 1)
        consumer = RecordingConsumer()
        await self.client(server.url).get_piece(url, consumer)
        self.assertEqual(consumer.received, DELTA)
        self.assertEqual(len(server.seen), 2)

    async def test_parents(self) -> None:
        """
        The query of one image is not shown where its parent is asked for.
        """
        world = await FakeServer().start(self)
        zone = await FakeServer().start(self)
        world.offer(Piece(2, GOLDEN))
        zone.offer(Piece(1, DELTA, f"{world.url}/images/{image_id(2)}"))
        url = self.sign(zone, 1)
        consumer = RecordingConsumer()
        await self.client(zone.url, world.url).get_image(url, consumer, join=False)
        self.assertEqual(consumer.received, DELTA + GOLDEN)
        self.assertNotIn("gtx_", repr([one.path for one in world.seen]))

    async def test_not_trusted(self) -> None:
        """
        A server that is not trusted is not asked; the signature is not in the error.
        """
        client = self.client("http://127.0.0.1:1")
        url = f"http://other.example.com/images/{image_id(1)}?{SIGNED}"
        error = await self.failure(NotTrusted, client.head_image(url))
        self.assertNotIn("gtx_", str(error))

    async def test_other_queries(self) -> None:
        """
        No other query makes the name of an image.
        """
        server = await FakeServer().start(self)
        client = self.client(server.url)
        uri = f"{server.url}/images/{image_id(1)}"
        for query in (
            "",
            "layout=own",
            f"{SIGNED}&force=true",
            "gtx_sig",
            "gtx_a=%0a&gtx_b=1",
        ):
            await self.failure(NotTrusted, client.head_image(f"{uri}?{query}"))
        await self.failure(BadValue, client.head_image(f"{image_id(1)}?{SIGNED}"))
        self.assertEqual(server.seen, [])
