# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.channel}: order, refusal, closing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from unittest.mock import Mock

from twisted.internet.defer import Deferred
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel

from glancetx.limits import Limits
from glancetx.web.channel import SEND
from glancetx.web.request import Request

from .contract import changed, missing
from .wire import Line, Memory, chunked, codes, get, path_answer, put


class ContractTests(SynchronousTestCase):
    """What the channel uses of Twisted's."""

    def test_methods(self) -> None:
        """
        Twisted calls what the channel overrides by these names.
        """
        names = (
            "allContentReceived allHeadersReceived checkPersistence headerReceived "
            "lineLengthExceeded lineReceived rawDataReceived requestDone "
            "pauseProducing resumeProducing stopProducing loseConnection "
            "_respondToBadRequestAndDisconnect _optimisticEagerReadSize "
            "MAX_LENGTH totalHeadersSize maxHeaders length persistent"
        ).split()
        self.assertEqual(missing(HTTPChannel, *names), "")

    def test_attributes(self) -> None:
        """
        Twisted keeps its state under these names.
        """
        channel = Memory().connect().channel
        names = "requests _handlingRequest _dataBuffer _networkProducer".split()
        self.assertEqual(missing(channel, *names), "")

    def test_gate(self) -> None:
        """
        Twisted stops and goes on reading through its network producer only.
        """
        waiting: list[Request] = []
        line = Memory(waiting.append).connect()
        line.send(get())
        line.send(bytes(line.channel._optimisticEagerReadSize + 1))
        self.assertFalse(line.reading, changed("pipelined bytes pause the gate"))
        waiting[0].finish()
        self.assertTrue(line.reading, changed("an answer's end resumes the gate"))

    def test_end_of_headers(self) -> None:
        """
        Twisted is in raw mode, with a decoder, once its lineReceived has returned.
        """
        modes: list[object] = []

        def answer(request: Request) -> None:
            modes.append(request.channel.line_mode)

        Memory(answer).connect().send(put(b"abc"))
        self.assertEqual(modes, [0], changed("bodies are read in raw mode"))

    def test_send_size(self) -> None:
        """
        A transport hands as much to the kernel at once as the channel tells it.
        """
        channel = Memory().connect().channel
        self.assertEqual(channel.transport.SEND_LIMIT, SEND)
        kernel = Mock(**{"send.side_effect": len})
        transport = Connection(kernel, channel)
        transport.SEND_LIMIT = SEND
        sent = transport.writeSomeData(bytes(3 * SEND))
        self.assertEqual(sent, SEND, changed("SEND_LIMIT bounds what is sent"))


class OrderTests(SynchronousTestCase):
    """Requests that come one behind the other."""

    def test_pipelined(self) -> None:
        """
        Answers come in the order of the requests; a slow one holds up the others.
        """
        slow: list[Request] = []

        def answer(request: Request) -> object:
            if request.path == b"/slow":
                slow.append(request)
                return None
            return path_answer(request)

        line = Memory(answer).connect()
        line.send(get(b"/slow") + get(b"/a") + put(b"xyz", b"/b") + get(b"/c"))
        self.assertEqual(line.received(), b"")
        slow[0].setHeader(b"Content-Length", b"4")
        slow[0].write(b"slow")
        slow[0].finish()
        bodies = [part.split(b"\r\n\r\n")[1] for part in split(line.received())]
        self.assertEqual(bodies[:3], [b"slow", b"GET /a\n", b"PUT /b\n"])

    def test_many(self) -> None:
        """
        400 requests in one packet are answered, each once.
        """
        line = Memory().connect()
        line.send(b"".join(get(b"/%d" % number) for number in range(400)))
        bodies = [part.split(b"\r\n\r\n")[1] for part in split(line.received())]
        self.assertEqual(bodies, [b"GET /%d\n" % number for number in range(400)])

    def test_full_transport_bounds_what_is_behind(self) -> None:
        """
        While an answer fills the transport, little is taken of what comes behind it.
        """
        line = Memory(lambda request: None).connect()
        line.send(get())
        line.channel.pauseProducing()
        for _ in range(10):
            line.send(bytes(64 * 1024))
        self.assertLessEqual(sum(map(len, line.channel._dataBuffer)), 64 * 1024)
        self.assertFalse(line.reading)

    def test_body_holds_client_back(self) -> None:
        """
        A body that nobody reads pauses its client, however often the transport of an
        earlier answer gets room.
        """
        requests: list[Request] = []
        line = Memory(requests.append, Limits(upload_window=1000)).connect()
        line.send(get())
        line.channel.pauseProducing()
        line.send(get(b"/", b"PUT", b"Content-Length: 5000"))
        requests[0].finish()
        for _ in range(5):
            line.channel.resumeProducing()
            line.send(bytes(600))
            line.channel.pauseProducing()
        line.channel.resumeProducing()
        self.assertEqual(requests[1].body.queued, 1200)
        self.assertFalse(line.reading)


def split(data: bytes) -> list[bytes]:
    """What a server wrote, one part for each answer."""
    return [b"HTTP/1.1 " + part for part in data.split(b"HTTP/1.1 ")[1:]]


class RefusalTests(SynchronousTestCase):
    """Requests that get no route."""

    def refused(self, data: bytes, **limits: int) -> Line:
        line = Memory(self.fail, Limits(**limits)).connect()
        line.send(data)
        return line

    def test_answer(self) -> None:
        """
        A refusal is a short JSON answer with an id, that nobody keeps.
        """
        line = self.refused(b"GET / HTTP/1.1\r\n\r\n")
        head, body = line.received().split(b"\r\n\r\n")
        problem = json.loads(body)["badRequest"]
        self.assertEqual(problem["code"], 400)
        self.assertIn("Host", problem["message"])
        lines = head.split(b"\r\n")
        self.assertEqual(lines[0], b"HTTP/1.1 400 Bad Request")
        self.assertIn(b"Connection: close", lines)
        self.assertIn(b"Cache-Control: no-store", lines)
        self.assertIn(b"Content-Length: %d" % len(body), lines)
        self.assertRegex(head, rb"X-Openstack-Request-Id: req-[0-9a-f-]{36}")
        self.assertNotIn(b"Twisted", head)
        self.assertTrue(line.closed)

    def test_head(self) -> None:
        """
        A refused HEAD gets the headers only.
        """
        line = self.refused(b"HEAD / HTTP/1.1\r\n\r\n")
        self.assertTrue(line.received().endswith(b"\r\n\r\n"))

    def test_statuses(self) -> None:
        """
        What is too much, or not done here, has a status of its own.
        """
        for status, data in {
            414: get(b"/" + b"a" * 1000),
            431: get(b"/", b"GET", b"X-A: " + b"b" * 1000),
            417: get(b"/", b"PUT", b"Content-Length: 5", b"Expect: 200-ok"),
            501: get(b"/", b"TRACE"),
        }.items():
            line = self.refused(data, header_bytes=500)
            self.assertEqual(codes(line.received()), [status])
            self.assertTrue(line.closed, status)

    def test_header_bytes(self) -> None:
        """
        All headers together are counted, and the limit itself is not too much.
        """
        data = get(b"/", b"GET", *(b"X-%d: abcdef" % number for number in range(20)))
        line = Memory(limits=Limits(header_bytes=len(data))).connect()
        line.send(data)
        self.assertEqual(codes(line.received()), [200])
        line = self.refused(data, header_bytes=len(data) - 1)
        self.assertEqual(codes(line.received()), [431])

    def test_header_count(self) -> None:
        """
        More headers than allowed are a 431; as many as allowed are not.
        """
        line = Memory(limits=Limits(header_count=3)).connect()
        line.send(get(b"/", b"GET", b"X-A: 1", b"X-B: 2"))
        self.assertEqual(codes(line.received()), [200])
        line.send(get(b"/", b"GET", b"X-A: 1", b"X-B: 2", b"X-C: 3"))
        self.assertEqual(codes(line.received()), [200, 431])

    def test_endless_line(self) -> None:
        """
        A line that does not end is refused when it is too long, not kept.
        """
        for start, status in ((b"GET /", 414), (b"GET / HTTP/1.1\r\nX: ", 431)):
            line = self.refused(start + b"a" * 2000, header_bytes=1000)
            self.assertEqual(codes(line.received()), [status])

    def test_request_id(self) -> None:
        """
        A request's own id of more than 64 bytes is a 431.
        """
        header = b"X-Openstack-Request-Id: " + b"a" * 65
        line = self.refused(get(b"/", b"GET", header))
        self.assertEqual(codes(line.received()), [431])


class ClosingTests(SynchronousTestCase):
    """When a connection is kept, and how it is closed."""

    def test_persistence(self) -> None:
        """
        HTTP/1.1 is kept unless the client says close, in whatever list; 1.0 is not.
        """
        for data, kept in (
            (get(), True),
            (get(b"/", b"GET", b"Connection: close"), False),
            (get(b"/", b"GET", b"Connection: TE,\tClose , a"), False),
            (get(b"/", b"GET", b"Connection: a", b"Connection: close"), False),
            (get(b"/", b"GET", b"Connection: closed"), True),
            (b"GET / HTTP/1.0\r\n\r\n", False),
            (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        ):
            line = Memory().connect()
            line.send(data)
            self.assertEqual(line.closed, not kept, data)
            self.assertEqual(b"Connection: close" in line.received(), not kept, data)

    def closed_early(
        self, data: bytes, answer: Callable[[Request], object] = path_answer
    ) -> None:
        line = Memory(answer).connect()
        line.send(data + get(b"/behind"))
        self.assertEqual(codes(line.received()), [200], data)
        self.assertIn(b"Connection: close\r\n", line.received(), data)
        self.assertTrue(line.closed, data)

    def test_answer_before_body(self) -> None:
        """
        An answer that did not wait for the body closes, and the rest is no request,
        though all of it came in one packet.
        """
        self.closed_early(put(b"GET /inside HTTP/1.1\r\nHost: zone\r\n\r\n"))
        head = get(b"/", b"PUT", b"Transfer-Encoding: chunked")
        self.closed_early(head + chunked(b"abc", b"def"))
        self.closed_early(
            get(b"/", b"PUT", b"Content-Length: 9", b"Expect: 100-continue")
        )

    def test_answer_before_end_mark(self) -> None:
        """
        An answer given at the last byte of a chunked body, before the mark of its
        end, is sent whole, and the connection is closed in order.
        """

        async def answer(request: Request) -> None:
            await request.body.read()
            request.setHeader(b"Content-Length", b"2")
            request.write(b"ok")
            request.finish()

        head = get(b"/", b"PUT", b"Transfer-Encoding: chunked")
        self.closed_early(head + chunked(bytes(70000)), answer)
        memory = Memory(answer)
        line = memory.connect()
        line.send(head + b"11170\r\n" + bytes(70000))
        self.assertTrue(line.received().endswith(b"\r\n\r\nok"))
        line.send(b"\r\n0\r\n\r\n")
        self.assertEqual(memory.route.failures, [])

    def test_answer_at_content_length(self) -> None:
        """
        An answer given at the last byte of a body of known length keeps the connection.
        """

        async def answer(request: Request) -> None:
            while request.body.received < 70000:
                await request.body.read()
            request.setHeader(b"Content-Length", b"0")
            request.finish()

        line = Memory(answer).connect()
        line.send(put(bytes(70000)) + put(bytes(70000)))
        self.assertEqual(codes(line.received()), [200, 200])
        self.assertFalse(line.closed)

    def test_swallowing_ends(self) -> None:
        """
        After a refusal the client may send on for a while, within bounds.
        """
        limits = Limits(linger_seconds=5, linger_bytes=1000)
        memory = Memory(limits=limits)
        for close in ("bytes", "time"):
            line = memory.connect()
            line.send(get(b"/", b"PUT", b"Content-Length: 99999"))
            line.channel.dataReceived(bytes(1000))
            self.assertFalse(line.aborted, close)
            if close == "bytes":
                line.channel.dataReceived(b"x")
            else:
                memory.clock.advance(5)
            self.assertTrue(line.aborted, close)

    def test_lost(self) -> None:
        """
        Nothing is left of a connection that is lost, in whatever state.
        """
        waiting: Deferred[None] = Deferred()

        async def answer(request: Request) -> None:
            await waiting

        memory = Memory(answer)
        for data in (b"", b"GET", b"GET / HTTP/1.1\r\nHo", get(), put(b"abc")[:-1]):
            line = memory.connect()
            line.send(data)
            line.leave()
            self.assertEqual(memory.site.channels, set(), data)
            self.assertEqual(memory.site.transfers, set(), data)
            self.assertEqual(memory.clock.getDelayedCalls(), [], data)
            waiting = Deferred()
