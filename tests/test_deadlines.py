# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.gate} and L{glancetx.web.intake}: how long a client may take.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BodyLost
from glancetx.limits import Limits
from glancetx.web.gate import Deadline, Gate
from glancetx.web.request import Request

from .wire import Line, Memory, codes, get, put


class DeadlineTests(SynchronousTestCase):
    """``Deadline``"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadline = Deadline(self.clock)
        self.calls: list[str] = []

    def test_last_one_counts(self) -> None:
        """
        It calls once, and only what was set last.
        """
        self.deadline.set(5, lambda: self.calls.append("a"))
        self.deadline.set(7, lambda: self.calls.append("b"))
        self.clock.pump([5, 2, 100])
        self.assertEqual(self.calls, ["b"])

    def test_cancel(self) -> None:
        """
        A cancelled one never calls.
        """
        self.deadline.set(5, lambda: self.calls.append("a"))
        self.deadline.cancel()
        self.deadline.cancel()
        self.clock.advance(100)
        self.assertEqual(self.calls, [])

    def test_hold(self) -> None:
        """
        A held one stands still, and begins anew when it is released.
        """
        self.deadline.set(5, lambda: self.calls.append("a"))
        self.clock.advance(4)
        self.deadline.hold()
        self.clock.advance(100)
        self.deadline.release()
        self.clock.advance(4)
        self.assertEqual(self.calls, [])
        self.clock.advance(1)
        self.assertEqual(self.calls, ["a"])

    def test_set_while_held(self) -> None:
        """
        One that is set while it is held waits for the release.
        """
        self.deadline.hold()
        self.deadline.set(5, lambda: self.calls.append("a"))
        self.clock.advance(100)
        self.deadline.release()
        self.clock.advance(5)
        self.assertEqual(self.calls, ["a"])


class GateTests(SynchronousTestCase):
    """``Gate``"""

    def test_two_reasons(self) -> None:
        """
        The transport is read from only while neither reason holds.
        """
        transport = StringTransport()
        gate = Gate(transport, Deadline(Clock()))
        states = []
        for step in (
            gate.hold,
            gate.pauseProducing,
            gate.resumeProducing,
            gate.release,
            gate.pauseProducing,
            gate.hold,
            gate.release,
            gate.resumeProducing,
        ):
            step()
            states.append(transport.producerState == "producing")
        self.assertEqual(states, [False] * 3 + [True] + [False] * 3 + [True])

    def test_open(self) -> None:
        """
        An opened gate forgets all reasons.
        """
        transport = StringTransport()
        gate = Gate(transport, Deadline(Clock()))
        gate.hold()
        gate.pauseProducing()
        gate.open()
        self.assertEqual(transport.producerState, "producing")


class HeaderTests(SynchronousTestCase):
    """How long headers may take, and the time between requests."""

    def setUp(self) -> None:
        limits = Limits(header_seconds=20, idle_seconds=60)
        self.memory = Memory(limits=limits)
        self.clock = self.memory.clock
        self.line = self.memory.connect()

    def test_nothing_sent(self) -> None:
        """
        A connection that brings nothing is closed without a word.
        """
        self.clock.advance(19)
        self.assertFalse(self.line.closed)
        self.clock.advance(1)
        self.assertEqual((self.line.closed, self.line.received()), (True, b""))

    def test_dripping(self) -> None:
        """
        Bytes that come one by one win no time.
        """
        for byte in get()[:19]:
            self.line.send(bytes([byte]))
            self.clock.advance(1)
        self.assertFalse(self.line.closed)
        self.clock.advance(1)
        self.assertEqual(codes(self.line.received()), [408])
        self.assertTrue(self.line.closed)

    def test_dripping_line_ends(self) -> None:
        """
        Nor do line ends before a request.
        """
        self.line.send(b"\r")
        self.clock.advance(19)
        self.line.send(b"\n")
        self.clock.advance(1)
        self.assertTrue(self.line.closed)

    def test_next_request(self) -> None:
        """
        A later request has its time from its own first byte.
        """
        self.line.send(get())
        self.clock.advance(59)
        self.line.send(b"GET")
        self.clock.advance(19)
        self.assertFalse(self.line.closed)
        self.clock.advance(1)
        self.assertEqual(codes(self.line.received()), [200, 408])

    def test_idle(self) -> None:
        """
        Between requests a connection may be idle for so long, and no longer.
        """
        for _ in range(3):
            self.line.send(get())
            self.clock.advance(59)
        self.assertFalse(self.line.closed)
        self.clock.advance(1)
        self.assertTrue(self.line.closed)
        self.assertEqual(codes(self.line.received()), [200] * 3)

    def test_line_end_between_requests(self) -> None:
        """
        A stray line end behind a request, as old clients send it, is no request.
        """
        together, apart = self.memory.connect(), self.line
        together.send(get() + b"\r\n")
        apart.send(get())
        apart.send(b"\r\n")
        self.clock.advance(20)
        for line in (together, apart):
            self.assertEqual((codes(line.received()), line.closed), ([200], False))

    def test_slow_reader(self) -> None:
        """
        Neither time runs while an answer on its way keeps us from reading.
        """
        self.line.send(get())
        self.line.channel.pauseProducing()
        self.clock.advance(1000)
        self.assertFalse(self.line.closed)
        self.line.channel.resumeProducing()
        self.clock.advance(60)
        self.assertTrue(self.line.closed)

    def test_slow_route(self) -> None:
        """
        A route may take as long as it likes.
        """
        memory = Memory(lambda request: None)
        line = memory.connect()
        line.send(get())
        memory.clock.advance(100000)
        self.assertFalse(line.closed)


class RateTests(SynchronousTestCase):
    """How fast a body must come."""

    HEAD = get(b"/", b"PUT", b"Content-Length: 1000000")
    ASKING = get(b"/", b"PUT", b"Content-Length: 9999", b"Expect: 100-continue")

    def setUp(self) -> None:
        limits = Limits(body_rate=100, body_seconds=30, upload_window=10000)
        self.memory = Memory(self.answer, limits)
        self.clock = self.memory.clock
        self.requests: list[Request] = []
        self.reads = True

    async def answer(self, request: Request) -> None:
        self.requests.append(request)
        if self.reads:
            while await request.body.read():
                pass

    def start(self, head: bytes = HEAD) -> Line:
        line = self.memory.connect()
        line.send(head)
        return line

    def test_too_slow(self) -> None:
        """
        A body below the floor is lost to its reader, and the connection closed.
        """
        line = self.start()
        line.send(bytes(2999))
        self.clock.advance(29)
        self.assertFalse(line.closed)
        self.clock.advance(1)
        [failure] = self.memory.route.failures
        self.assertTrue(failure.check(BodyLost))
        self.assertIn("100 bytes/s", str(failure.value))
        self.assertEqual(codes(line.received()), [400])
        self.assertTrue(line.closed)

    def test_slow(self) -> None:
        """
        A body at the floor goes on, however long it takes.
        """
        line = self.start()
        for _ in range(100):
            line.send(bytes(3000))
            self.clock.advance(30)
        self.assertFalse(line.closed)
        self.assertEqual(self.requests[0].body.received, 300000)

    def test_held_back(self) -> None:
        """
        Time in which nobody reads the body is not the client's.
        """
        self.reads = False
        line = self.start()
        line.send(bytes(10001))
        self.assertFalse(line.reading)
        self.clock.advance(1000)
        self.assertEqual(codes(line.received()), [])
        self.assertFalse(line.closed)
        reading = self.requests[0].body.read()
        self.assertEqual(len(self.successResultOf(reading)), 10001)
        self.assertTrue(line.reading)
        self.clock.advance(30)
        self.failureResultOf(self.requests[0].body.read(), BodyLost)

    def test_not_yet_asked_for(self) -> None:
        """
        A client that waits for C{100 Continue} has all the time until it gets it.
        """
        self.reads = False
        line = self.start(self.ASKING)
        self.clock.advance(1000)
        reading = Deferred.fromCoroutine(self.requests[0].body.read())
        self.assertNoResult(reading)
        self.assertEqual(codes(line.received()), [100])
        self.clock.advance(30)
        self.failureResultOf(reading, BodyLost)

    def test_complete(self) -> None:
        """
        Once a body is complete, nothing more is expected of its client.
        """
        self.reads = False
        line = self.start(put(b"abc"))
        self.clock.advance(1000)
        self.assertEqual(self.successResultOf(self.requests[0].body.read()), b"abc")
        self.assertFalse(line.closed)
