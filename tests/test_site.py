# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.site}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server

from glancetx.limits import Limits
from glancetx.web.channel import Channel
from glancetx.web.request import Request
from glancetx.web.site import Drained, Site

from .contract import changed, missing
from .wire import Client, Counts, Line, Memory, Route, WireTests, codes, get, put


class ContractTests(SynchronousTestCase):
    """What the site uses of Twisted's."""

    def test_names(self) -> None:
        """
        Twisted has, and calls, these names.
        """
        names = "protocol buildProtocol startFactory stopFactory log timeOut"
        self.assertEqual(missing(server.Site, *names.split()), "")

    def test_channel(self) -> None:
        """
        Twisted makes connections with the site's protocol, and tells them their site.
        """
        site = Memory().site
        self.assertIsInstance(site, Factory)
        channel = site.buildProtocol(None)
        self.assertIs(type(channel), Channel, changed("a site makes its protocol"))
        self.assertIs(channel.site, site, changed("a channel is told its site"))
        self.assertIs(channel.factory, site, changed("a channel is told its factory"))

    def test_http_only(self) -> None:
        """
        HTTP/2 is not offered, whatever is installed.
        """
        self.assertEqual(Memory().site.acceptableProtocols(), [b"http/1.1"])


class LifeTests(SynchronousTestCase):
    """What a site knows of its connections and requests."""

    def setUp(self) -> None:
        self.requests: list[Request] = []
        self.counts = Counts()
        self.path = self.mktemp()
        self.memory = Memory(
            self.requests.append, Limits(connections=2), self.path, self.counts
        )
        self.site = self.memory.site
        self.addCleanup(self.site.stopFactory)

    def lines(self) -> list[str]:
        return Path(self.path).read_text("ascii").splitlines()

    def finish(self, request: Request, body: bytes) -> None:
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def test_transfers(self) -> None:
        """
        A request is a transfer from the end of its headers to the end of its answer.
        """
        line = self.memory.connect()
        line.send(put(b"abc")[:-1])
        self.assertEqual(self.site.transfers, set(self.requests))
        line.send(b"c")
        self.finish(self.requests[0], b"")
        self.assertEqual(self.site.transfers, set())

    def test_log(self) -> None:
        """
        Each answer is one line of the log, without the query.
        """
        line = self.memory.connect()
        line.send(get(b"/images/a?secret=b", b"GET", b"User-Agent: curl"))
        self.memory.clock.advance(1.5)
        self.finish(self.requests[0], b"abc")
        line.send(get(b"/cut"))
        self.requests[1].setHeader(b"Content-Length", b"10")
        self.requests[1].write(b"ab")
        line.leave()
        complete, cut = self.lines()
        self.assertIn('"GET /images/a HTTP/1.1" 200 3 "-" "curl" req-', complete)
        self.assertTrue(complete.endswith(" 1.500 complete"), complete)
        self.assertIn('"GET /cut HTTP/1.1" 200 2 ', cut)
        self.assertTrue(cut.endswith(" 0.000 cut"), cut)

    def test_log_of_refusals(self) -> None:
        """
        So is each refusal, even of what was no request.
        """
        for data, shown in (
            (get(b"/a//b?secret"), '"GET /a//b HTTP/1.1" 400'),
            (b"nonsense\r\n", '"- - -" 400'),
            (get(b"/", b"TRACE"), '"TRACE / HTTP/1.1" 501'),
        ):
            line = self.memory.connect()
            line.send(data)
            line.leave()
            self.assertIn(shown, self.lines()[-1])
        self.assertNotIn("secret", "".join(self.lines()))

    def test_counted(self) -> None:
        """
        An observer is told of every answer and its bytes, both ways.
        """
        line = self.memory.connect()
        line.send(put(b"abc"))
        self.requests[0].layout = "own"
        self.finish(self.requests[0], b"abcde")
        line.send(get(b"//"))
        self.assertEqual(self.counts.done, [("PUT", 200), ("-", 400)])
        self.assertEqual(self.counts.bytes_received, 3)
        self.assertEqual(self.counts.bytes_sent, {"own": 5})

    def test_too_many(self) -> None:
        """
        A connection too many is closed at once; when one left there is room again.
        """
        lines = [self.memory.connect() for _ in range(2)]
        surplus = self.site.buildProtocol(None)
        transport = StringTransport()
        surplus.makeConnection(transport)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.site.turned_away, 1)
        lines[0].leave()
        self.memory.connect().send(get())
        self.assertEqual(len(self.requests), 1)

    def test_timers(self) -> None:
        """
        Without connections a site has no timer, and its log is closed with its port.
        """
        line = self.memory.connect()
        self.assertNotEqual(self.memory.clock.getDelayedCalls(), [])
        self.site.stopFactory()
        line.leave()
        self.assertEqual(self.memory.clock.getDelayedCalls(), [])
        self.assertIsNone(self.site.access_log._file)

    def test_log_cannot_be_written(self) -> None:
        """
        A log that cannot be opened stops the start.
        """
        site = Site(Route(self.fail), Limits(), Clock(), access_log="/none/log")
        self.assertRaises(OSError, site.startFactory)


class DrainTests(SynchronousTestCase):
    """``Site.drain``"""

    def setUp(self) -> None:
        self.requests: list[Request] = []
        self.memory = Memory(self.requests.append)
        self.clock = self.memory.clock

    def finish(self, request: Request) -> None:
        request.setHeader(b"Content-Length", b"0")
        request.finish()

    def close(self, *lines: Line) -> None:
        """What a transport in memory does not do: tell that it is closed."""
        for line in lines:
            self.assertTrue(line.closed)
            line.channel.connectionLost(Failure(ConnectionDone()))

    def test_nothing(self) -> None:
        """
        Without connections it is over at once.
        """
        drained = self.memory.site.drain(600)
        self.assertEqual(self.successResultOf(drained), Drained(0, 0))

    def test_running(self) -> None:
        """
        A running answer comes to its end, and then its connection does.
        """
        line = self.memory.connect()
        line.send(get() + get())
        drained = self.memory.site.drain(600)
        self.clock.advance(500)
        self.finish(self.requests[0])
        self.assertIn(b"Connection: close", line.received())
        self.assertEqual(len(self.requests), 1)
        self.assertNoResult(drained)
        self.close(line)
        self.assertEqual(self.successResultOf(drained), Drained(1, 0))

    def test_begun(self) -> None:
        """
        So does the connection of an answer that had promised to keep it.
        """
        line = self.memory.connect()
        line.send(get())
        self.requests[0].setHeader(b"Content-Length", b"3")
        self.requests[0].write(b"ab")
        self.memory.site.drain(600)
        self.requests[0].write(b"c")
        self.requests[0].finish()
        self.assertNotIn(b"Connection", line.received())
        self.assertTrue(line.closed)

    def test_idle(self) -> None:
        """
        An idle connection is closed when it was idle for two seconds.
        """
        lines = [self.memory.connect() for _ in range(3)]
        for line in lines[:2]:
            line.send(get())
        self.finish(self.requests[0])
        self.clock.advance(1.5)
        self.finish(self.requests[1])
        self.clock.advance(1)
        drained = self.memory.site.drain(600)
        self.clock.advance(0)
        self.assertEqual([line.closed for line in lines], [True, False, True])
        self.clock.advance(1)
        self.close(*lines)
        self.assertEqual(self.successResultOf(drained), Drained(0, 0))

    def test_on_its_way(self) -> None:
        """
        A request that was on its way when the drain began is answered.
        """
        fresh, partly = self.memory.connect(), self.memory.connect()
        partly.send(b"GET / HTTP/1.1\r\n")
        drained = self.memory.site.drain(600)
        self.clock.advance(1)
        fresh.send(get())
        self.clock.advance(10)
        partly.send(b"Host: zone\r\n\r\n")
        for request in self.requests:
            self.finish(request)
        for line in (fresh, partly):
            self.assertEqual(codes(line.received()), [200])
        self.close(fresh, partly)
        self.assertEqual(self.successResultOf(drained), Drained(2, 0))

    def test_new_connection(self) -> None:
        """
        So is one on a connection that came after it began.
        """
        running = self.memory.connect()
        running.send(get())
        drained = self.memory.site.drain(600)
        line = self.memory.connect()
        line.send(get())
        self.finish(self.requests[1])
        self.assertEqual(codes(line.received()), [200])
        self.close(line)
        self.assertNoResult(drained)

    def test_limit(self) -> None:
        """
        What is not over in time is cut, and counted.
        """
        lines = [self.memory.connect() for _ in range(2)]
        for line in lines:
            line.send(get())
        drained = self.memory.site.drain(600)
        self.finish(self.requests[0])
        self.clock.advance(600)
        self.assertTrue(all(line.aborted for line in lines))
        self.close(*lines)
        self.assertEqual(self.successResultOf(drained), Drained(1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_new_limit(self) -> None:
        """
        A second drain sets a new limit, and both are told the end.
        """
        line = self.memory.connect()
        line.send(get())
        first = self.memory.site.drain(600)
        second = self.memory.site.drain(0)
        self.clock.advance(0)
        self.close(line)
        for drained in (first, second):
            self.assertEqual(self.successResultOf(drained), Drained(0, 1))


class DrainWireTests(WireTests):
    """``Site.drain`` over TCP"""

    async def test_reader_gets_everything(self) -> None:
        """
        A slow reader has every byte of its answer when the drain is over.
        """
        size = 20_000_000
        asked: Deferred[None] = Deferred()
        data = os.urandom(size)

        def answer(request: Request) -> bytes:
            asked.callback(None)
            return data

        site = self.serve(answer)

        def read(client: Client) -> tuple[bytes, bytes]:
            client.send(get())
            code, headers = client.head()
            return client.take(size), client.rest()

        reading = self.client(read, receive_buffer=4096)
        await asked
        drained = await site.drain(60)
        self.assertEqual(await reading, (data, b""))
        self.assertEqual(drained, Drained(1, 0))
