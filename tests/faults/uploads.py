# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of uploads have in common: a zone's server, and clients that break off.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.threads import deferToThread

from glancetx.limits import Limits
from tests.players import image_id
from tests.servers import RunningServer
from tests.wire import Answer, Client, get

from .reading import FaultCase

__all__ = ["FORMAT", "UploadCase", "cut_off", "request"]

FORMAT = b"X-Image-Meta-Disk_format: raw"


def cut_off(port: int, data: bytes, reset: bool) -> int:
    """
    Send this and be gone, by FIN or by RST; blocks.

    :returns: the port that it was sent from.
    """
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(60)
        client.sendall(data)
        sender: int = client.getsockname()[1]
        if reset:
            linger = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return sender


class UploadCase(FaultCase):
    """
    A test of uploads to one server.

    :ivar zone: the server.
    """

    zone: RunningServer
    _numbers = 0

    async def start(self, limits: Limits | None = None, **server: Any) -> None:
        """Start the server."""
        self.zone = await self.serve((), limits, **server)
        self.watch()

    def watch(self) -> None:
        """Note which connections the server is done with."""
        site = self.zone.parts.site
        closed = site.closed
        self._left: set[int] = set()

        def note(channel: Any) -> None:
            self._left.add(channel.transport.getPeer().port)
            closed(channel)

        self.patch(site, "closed", note)

    def next_id(self) -> str:
        """An id that was not used."""
        self._numbers += 1
        return image_id(self._numbers)

    async def queued(self) -> str:
        """A record that waits for its bytes."""
        return await self.zone.add(None, id=self.next_id())

    async def send(self, data: bytes) -> Answer:
        """Send this, and read the answer."""

        def work(client: Client) -> Answer:
            client.send(data)
            return client.answer()

        return await self.raw(self.zone, work)

    async def put(self, image_id: str, body: bytes) -> int:
        """Bring an image its bytes; the status of the answer."""
        return (await self.zone.ask("PUT", f"/images/{image_id}", None, body)).code

    async def break_off(self, data: bytes, reset: bool = False) -> None:
        """Send this and be gone; wait until the server is done with it."""
        sender = await deferToThread(cut_off, self.zone.port, data, reset)
        await self.until(lambda: sender in self._left)
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is under way in the library."""
        await self.zone.parts.images.settled()

    async def status(self, image_id: str) -> str:
        """The status of an image; empty if there is none."""
        reply = await self.zone.ask("HEAD", f"/images/{image_id}")
        return reply.headers.get("x-image-meta-status", "")

    async def check_kept(self, *images: tuple[str, bytes]) -> None:
        """The server has the bytes of these images, and no others."""
        for name, body in images:
            reply = await self.zone.ask("GET", f"/images/{name}")
            self.assertEqual(reply.code, 200)
            self.assertTrue(reply.body == body, name)
        self.assertEqual(len(self.zone.pieces()), len(images))
        self.assertEqual(await self.zone.parts.catalogue.leftovers(), [])


def request(method: bytes, path: str, *headers: bytes) -> bytes:
    """The head of a request."""
    return get(path.encode("ascii"), method, *headers)
