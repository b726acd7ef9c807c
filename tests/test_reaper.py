# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.reaper}.
"""

from __future__ import annotations

import socket

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import blockingCallFromThread
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from glancetx.limits import Limits
from glancetx.web.reaper import Reaper, socket_of, unacknowledged
from glancetx.web.request import Request

from .contract import changed
from .wire import Client, WireTests, get, reactor


class FakeConnection:
    """A connection whose progress is what a test says."""

    def __init__(self, *marks: tuple[int, int] | None | OSError) -> None:
        self.marks = list(marks)
        self.cut_at: int | None = None
        self.looks = 0

    def outstanding(self) -> tuple[int, int] | None:
        self.looks += 1
        mark = self.marks.pop(0) if len(self.marks) > 1 else self.marks[0]
        if isinstance(mark, OSError):
            raise mark
        return mark

    def stalled(self) -> None:
        self.cut_at = self.cut_at or self.looks


class ReaperTests(SynchronousTestCase):
    """``Reaper``"""

    def watch(self, *connections: FakeConnection, rounds: int = 30) -> None:
        clock = Clock()
        reaper = Reaper(clock, 60, lambda: connections)
        reaper.start()
        clock.pump([10] * rounds)
        reaper.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """
        A reader that acknowledges nothing is cut after so many seconds.
        """
        connection = FakeConnection((100, 50))
        self.watch(connection, rounds=7)
        self.assertEqual(connection.cut_at, 7)

    def test_progress(self) -> None:
        """
        One that acknowledges a byte now and then is not.
        """
        marks = [(100, 1000 - count // 5) for count in range(60)]
        connection = FakeConnection(*marks)
        self.watch(connection, rounds=50)
        self.assertIsNone(connection.cut_at)

    def test_refilled(self) -> None:
        """
        Nor is one whose queue is as full as before, but of other bytes.
        """
        connection = FakeConnection(*((count // 5, 1000) for count in range(60)))
        self.watch(connection, rounds=50)
        self.assertIsNone(connection.cut_at)

    def test_nothing_outstanding(self) -> None:
        """
        A reader that has all there is waits for a slow source as long as that takes,
        and its time begins with the next byte that it does not take.
        """
        marks = [(100, 50)] * 5 + [None] * 5 + [(100, 50)]
        connection = FakeConnection(*marks)
        self.watch(connection, rounds=30)
        self.assertEqual(connection.cut_at, 17)

    def test_odd_socket(self) -> None:
        """
        A socket that cannot be looked at does not save the others.
        """
        odd, stalled = FakeConnection(OSError("a"), None), FakeConnection((1, 1))
        self.watch(odd, stalled)
        self.assertEqual(stalled.cut_at, 7)
        self.assertTrue(self.flushLoggedErrors(OSError))


class SocketTests(SynchronousTestCase):
    """``socket_of`` and ``unacknowledged``"""

    def test_wrapped(self) -> None:
        """
        The socket is found through TLS and other wrappers.
        """

        class Inner:
            socket = socket.socket()

        self.addCleanup(Inner.socket.close)
        wrapper = ProtocolWrapper(None, None)  # type: ignore[arg-type]
        wrapper.transport = Inner()  # type: ignore[assignment]
        self.assertIs(socket_of(wrapper), Inner.socket)
        self.assertTrue(
            issubclass(TLSMemoryBIOProtocol, ProtocolWrapper),
            changed("TLS is a protocol wrapper"),
        )

    def test_none(self) -> None:
        """
        A transport in memory has none.
        """
        self.assertIsNone(socket_of(StringTransport()))

    def test_unacknowledged(self) -> None:
        """
        What the peer's kernel has no room for is counted.
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as ours:
                theirs, _ = server.accept()
                with theirs:
                    self.assertEqual(unacknowledged(ours), 0)
                    ours.setblocking(False)
                    with self.assertRaises(BlockingIOError):
                        while True:
                            ours.send(bytes(65536))
                    self.assertGreater(unacknowledged(ours), 0)


class ReapingTests(WireTests):
    """The reaper at work, over TCP, on a clock that the test turns."""

    async def test_stalled_reader(self) -> None:
        """
        A reader that stops reading is cut, and one that has read all is not.
        """
        clock = Clock()
        requests: list[Request] = []

        def answer(request: Request) -> object:
            requests.append(request)
            if request.path == b"/small":
                request.setHeader(b"Content-Length", b"2")
                request.write(b"a")
            else:
                request.setHeader(b"Content-Length", b"100000000")
                request.write(bytes(20_000_000))
            return None

        site = self.serve(answer, Limits(stall_seconds=60), clock=clock)

        def work(client: Client) -> bytes:
            with Client(self.port) as other:
                other.send(get(b"/small"))
                other.head()
                assert other.take(1) == b"a"
                while blockingCallFromThread(reactor, pending):
                    pass  # the kernel acknowledges when it likes to
                client.send(get(b"/big"))
                client.head()
                while not requests[1].was_cut:
                    blockingCallFromThread(reactor, clock.advance, 10)
                reactor.callFromThread(finish)
                return other.take(1)

        def pending() -> object:
            return requests[0].channel.outstanding()

        def finish() -> None:
            requests[0].write(b"b")
            requests[0].finish()

        self.assertEqual(await self.client(work, receive_buffer=4096), b"b")
        self.assertFalse(requests[0].was_cut)
        self.assertEqual(site.transfers, set())

    async def test_slow_reader_of_a_closing_connection(self) -> None:
        """
        A connection that is closing waits for a reader that has not read all.
        """
        clock = Clock()
        data = bytes(20_000_000)
        limits = Limits(stall_seconds=1000, linger_seconds=10)
        self.serve(lambda request: data, limits, clock=clock)

        def work(client: Client) -> bytes:
            client.send(get(b"/", b"GET", b"Connection: close"))
            client.head()
            for _ in range(5):
                blockingCallFromThread(reactor, clock.advance, 10)
            return client.rest()

        self.assertEqual(await self.client(work, receive_buffer=4096), data)
