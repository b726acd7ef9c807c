# Copyright glancetx contributors. See LICENSE for details.

"""
The parent's server is not there, or not any more; or the reader is not.
"""

from __future__ import annotations

import random
import socket
from threading import Event

from attrs import evolve
from twisted.internet.threads import deferToThread

from glancetx.config import OriginConfig
from glancetx.limits import Limits
from tests.servers import Reply
from tests.wire import Client, get

from .chains import CHILD, SIZE, ParentCase
from .origin import BEFORE, End, Fault, Framing
from .reading import FaultCase

MIB = 1024 * 1024


class LeavingReaderTests(ParentCase):
    """Readers that leave before the end."""

    async def leave(self, path: str, taken: int) -> None:
        """Read so many bytes of a chain; when its parent was asked for, be gone."""
        asked, leaving = len(self.origin.asked), Event()
        self.addCleanup(leaving.set)

        def work(client: Client) -> None:
            client.send(get(path.encode("ascii")))
            client.head()
            client.take(taken)
            leaving.wait()

        reading = self.raw(self.zone, work)
        await self.until(lambda: len(self.origin.asked) > asked)
        leaving.set()
        await reading
        await self.loopback.emptied()
        self.assertEqual(len(self.origin.asked), asked + 1)

    async def test_while_it_waits(self) -> None:
        """
        A reader who leaves while the parent's server is silent ends the question,
        whether that gave no byte yet or half of them.
        """
        await self.start()
        for framing in Framing:
            for at in (BEFORE, 0, SIZE // 2):
                parent = await self.make(framing)
                parent.faults = [Fault(at, End.STALL)]
                await self.leave(self.path(parent), CHILD + max(at, 0))

    async def test_in_the_child(self) -> None:
        """
        So does one who leaves in the child, when the parent was asked ahead.
        """
        await self.start()
        parent = await self.make()
        parent.faults = [Fault(1, End.STALL)]
        await self.leave(self.path(parent), 1)

    async def test_in_the_stream(self) -> None:
        """
        So does one who leaves while bytes flow, or while they are held back for him.
        """
        await self.start()
        self.data = bytes(32 * MIB)
        parent = await self.make(size=32 * MIB)
        for taken in (1, CHILD + 1, CHILD + 9 * MIB):
            await self.leave(self.path(parent), taken)


class AbsentOriginTests(ParentCase):
    """Origins that were taken out of the configuration, or are down."""

    async def restart(
        self, *origins: OriginConfig, limits: Limits | None = None
    ) -> None:
        """End the zone's server, and start it with other origins."""
        await self._stop(self.zone)
        self.zone = await self.serve(origins, limits, self.zone.folder)

    async def create(self, uri: str) -> Reply:
        headers = {"x-image-meta-disk_format": "raw", "x-image-meta-parent_id": uri}
        return await self.zone.ask("POST", "/images", headers, b"child")

    def check_unavailable(self, reply: Reply, name: str) -> None:
        self.assertEqual(reply.code, 503, reply)
        self.assertIn(name, reply.json["serviceUnavailable"]["message"])
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertNotIn("etag", reply.headers)

    async def test_removed(self) -> None:
        """
        When its parent's server is no longer configured, a child is still there, and
        its chain can be seen; to read on into the parent is a 503 that names the
        server, before any byte.
        """
        await self.start()
        parent = await self.make()
        await self.restart()
        asked = len(self.origin.asked)
        for layout in ("stream", "chain.tar"):
            for method in ("GET", "HEAD"):
                path = self.path(parent, layout)
                reply = await self.zone.ask(method, path)
                self.assertEqual(reply.code, 503)
            self.check_unavailable(await self.zone.ask("GET", path), self.loopback.url)
        own = await self.zone.ask("GET", self.path(parent).removesuffix("/stream"))
        self.assertEqual((own.code, own.body), (200, self.child))
        chain = await self.zone.ask("GET", self.path(parent, "chain"))
        self.assertEqual(chain.json["chain"][1]["uri"], self.uri(parent))
        self.assertEqual(len(self.origin.asked), asked)

    async def test_renamed(self) -> None:
        """
        An origin that is configured anew by another name, or whose old address is an
        alias of the new one, is found.
        """
        await self.start()
        parent = await self.make()
        await self.restart(OriginConfig("other", self.loopback.url))
        self.assertTrue((await self.stream(parent)).whole)
        there = self.loopback.url.replace("127.0.0.1", "localhost")
        await self.restart(OriginConfig("new", there, (self.loopback.url,)))
        self.assertTrue((await self.stream(parent)).whole)

    async def test_down_at_creation(self) -> None:
        """
        While an origin is down no child is made of its images, but of those that
        are the parent of another child already.
        """
        await self.start()
        known = await self.make()
        other = await self.make()
        await self.zone.ask("DELETE", self.path(other).removesuffix("/stream"))
        await self.loopback.stop()
        before = (await self.zone.ask("GET", "/images")).json
        self.check_unavailable(await self.create(self.uri(other)), "origin far")
        self.assertEqual((await self.zone.ask("GET", "/images")).json, before)
        reply = await self.create(self.uri(known))
        self.assertEqual(reply.code, 201)
        self.assertEqual(reply.json["image"]["parent_id"], self.uri(known))

    async def test_deaf(self) -> None:
        """
        An origin that accepts no connections is down, for creation and for reading.
        """
        limits = Limits(origin_seconds=1, origin_tries=1)
        await self.start(limits)
        parent = await self.make()
        await self.restart(evolve(self.far, proxy=self.deaf()), limits=limits)
        unknown = self.uri(parent).replace("-8000-", "-9000-")
        self.check_unavailable(await self.create(unknown), "origin far")
        ranges = {"Range": f"bytes={CHILD}-"}
        reply = await self.zone.ask("GET", self.path(parent), ranges)
        self.check_unavailable(reply, parent.id)

    def deaf(self) -> str:
        """The URL of a server that lets everyone knock."""
        server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(server.close)
        for _ in range(4):
            knocking = socket.socket()
            self.addCleanup(knocking.close)
            knocking.setblocking(False)
            knocking.connect_ex(server.getsockname())
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class RestartTests(FaultCase):
    """A parent's server that is restarted."""

    async def test_under_a_reader(self) -> None:
        """
        A reader does not notice that the parent's server was cut, and started again,
        while he read from it.
        """
        limits = Limits(drain_seconds=0)
        golden = await self.serve(limits=limits)
        data = random.randbytes(MIB) * 48
        parent = await golden.add(data)
        zone = await self.serve([golden])
        child = await zone.add(b"child", golden.uri(parent))
        paused, restarted = Event(), Event()
        self.addCleanup(restarted.set)

        def work(client: Client) -> bytes:
            client.send(get(f"/images/{child}/stream".encode("ascii")))
            client.head()
            body = client.take(5 + MIB)
            paused.set()
            restarted.wait()
            return body + client.take(len(data) - MIB)

        reading = self.raw(zone, work)
        await deferToThread(paused.wait)
        await self._stop(golden)
        await self.serve(limits=limits, folder=golden.folder, port=golden.port)
        restarted.set()
        self.assertTrue(await reading == b"child" + data)
