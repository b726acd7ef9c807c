# Copyright glancetx contributors. See LICENSE for details.

"""
Readers that do not read, over the borders of pieces: the server buffers no piece.
"""

from __future__ import annotations

import os
import socket
from threading import Event
from typing import Any

from twisted.internet.threads import deferToThread

from glancetx.guard import _Guard
from tests.wire import Client, get

from .chains import ParentCase
from .origin import Framing, Parent

MIB = 1024 * 1024

KERNEL = 65536
"""Bytes of the kernel's buffers, where they are not its own choice."""

AHEAD = 6 * MIB
"""Bytes of parents that may be on their way to a reader, in all buffers together."""


class StalledReaderTests(ParentCase):
    """Chains whose reader stops."""

    async def start_small(self) -> None:
        """Start servers whose kernels buffer little for them."""
        await self.start()
        self.origin.send_buffer = KERNEL
        self.shrink(self.zone.parts.site, "opened", socket.SO_SNDBUF)
        self.shrink(_Guard, "connectionMade", socket.SO_RCVBUF)

    def shrink(self, owner: object, method: str, option: int) -> None:
        """Let a buffer be small wherever this is told of a new connection."""
        usual = getattr(owner, method)

        def told(protocol: Any) -> None:
            handle = protocol.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, option, KERNEL)
            usual(protocol)

        self.patch(owner, method, told)

    async def stop_reading(self, child: str, whole: bytes, taken: int) -> int:
        """
        Read so much of a stream, stop, then read on to its end.

        :returns: how many bytes the origin had got rid of, when all was at rest.
        """
        self.origin.sent = 0
        stopped, going_on = Event(), Event()
        self.addCleanup(going_on.set)

        def work(client: Client) -> bool:
            client.send(get(f"/images/{child}/stream".encode("ascii")))
            client.head()
            body = client.take(taken)
            stopped.set()
            going_on.wait()
            return body + client.take(len(whole) - taken) == whole

        reading = self.raw(self.zone, work, receive_buffer=KERNEL)
        await deferToThread(stopped.wait)
        sent = await self.at_rest(lambda: self.origin.sent)
        going_on.set()
        self.assertTrue(await reading)
        return sent

    async def test_borders(self) -> None:
        """
        Wherever a reader stops in a chain of a local, a remote and a local piece,
        little more was taken from the origin than he has read; and when he reads on,
        he gets everything.
        """
        await self.start_small()
        golden, own = os.urandom(5 * MIB), os.urandom(300_000)
        data = os.urandom(MIB) * 24
        uri = self.zone.uri(await self.zone.add(golden))
        whole = own + data + golden
        for framing in (Framing.LENGTH, Framing.CHUNKED):
            parent = Parent(1, data, uri, framing=framing)
            self.origin.add(parent)
            child = await self.zone.add(own, self.uri(parent))
            for taken in (0, len(own), len(own) + 9 * MIB, len(own + data)):
                sent = await self.stop_reading(child, whole, taken)
                passed = min(max(0, taken - len(own)), len(data))
                self.assertLess(sent - passed, AHEAD, (framing, taken))

    async def test_many_parents(self) -> None:
        """
        It is no more if there are many parents, each of them small.
        """
        await self.start_small()
        data = [os.urandom(2 * MIB) for _ in range(20)]
        for number, piece in enumerate(data):
            following = Parent(number + 1).id if number + 1 < len(data) else None
            self.origin.add(Parent(number, piece, following))
        child = await self.zone.add(b"child", self.uri(Parent(0)))
        whole = b"child" + b"".join(data)
        for taken in (0, 5 + 7 * MIB):
            sent = await self.stop_reading(child, whole, taken)
            self.assertLess(sent - taken, AHEAD)

    async def test_leaving_between(self) -> None:
        """
        A reader who leaves between two pieces leaves nothing behind: no question to
        an origin, no file open, no transfer.
        """
        await self.start_small()
        self.data = os.urandom(MIB) * 32
        golden = await self.zone.add(os.urandom(5 * MIB))
        parent = Parent(1, self.data, self.zone.uri(golden))
        self.origin.add(parent)
        child = await self.zone.add(self.child, self.uri(parent))
        path = f"/images/{child}/stream".encode("ascii")
        for taken in (len(self.child), len(self.child + self.data)):

            def work(client: Client, taken: int = taken) -> None:
                client.send(get(path))
                client.head()
                client.take(taken)

            await self.raw(self.zone, work, receive_buffer=KERNEL)
            await self.until(lambda: not self.zone.parts.site.transfers)
            await self.loopback.emptied()
            await self.until(lambda: not self.open_pieces())

    def open_pieces(self) -> list[str]:
        """Files of the store that this process has open."""
        folder = os.path.realpath(self.zone.folder)
        return [path for path in _open_files() if path.startswith(folder + "/pieces")]


def _open_files() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass  # it was that of the listing
    return found
