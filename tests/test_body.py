# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.body}.
"""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BodyLost
from glancetx.limits import Limits
from glancetx.web.body import BATCH, Body
from glancetx.web.request import Request

from .wire import Memory, chunked, codes, get, put


class FakeFlow:
    """A connection that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold_body(self) -> None:
        self.told.append("hold")

    def release_body(self) -> None:
        self.told.append("release")

    def want_body(self) -> None:
        self.told.append("want")


class BodyTests(SynchronousTestCase):
    """``Body``"""

    def setUp(self) -> None:
        self.flow = FakeFlow()
        self.body = Body(None, 100000, self.flow)

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.read())

    def test_none(self) -> None:
        """
        A body that was not announced is over before it began.
        """
        self.body = Body(0, 100000, None)
        self.assertFalse(self.body.expected)
        self.assertEqual(self.successResultOf(self.read()), b"")
        self.assertEqual(self.successResultOf(self.read()), b"")

    def test_batches(self) -> None:
        """
        Small chunks are gathered, and the rest comes when the body ends.
        """
        reading = self.read()
        for _ in range(63):
            self.body.feed(b"a" * 1024)
        self.assertNoResult(reading)
        self.body.feed(b"a" * 1024)
        self.assertEqual(self.successResultOf(reading), b"a" * BATCH)
        self.body.feed(b"bcd")
        reading = self.read()
        self.assertNoResult(reading)
        self.body.end()
        self.assertEqual(self.successResultOf(reading), b"bcd")
        for _ in range(2):
            self.assertEqual(self.successResultOf(self.read()), b"")
        self.assertEqual(self.body.received, BATCH + 3)

    def test_known_length(self) -> None:
        """
        The last bytes of a known length come with the end, not before it.
        """
        self.body = Body(BATCH, 100000, self.flow)
        reading = self.read()
        self.body.feed(bytes(BATCH))
        self.assertNoResult(reading)
        self.body.end()
        self.assertEqual(len(self.successResultOf(reading)), BATCH)

    def test_window(self) -> None:
        """
        Above its window it holds the client back, once, until it is read.
        """
        for _ in range(2):
            self.body.feed(bytes(50000))
        self.assertEqual(self.flow.told, [])
        self.body.feed(b"x")
        self.body.feed(b"x")
        self.assertEqual(self.flow.told, ["hold"])
        self.assertEqual(len(self.successResultOf(self.read())), 100002)
        self.assertEqual(self.flow.told, ["hold", "want", "release"])

    def test_small_window(self) -> None:
        """
        A window that is smaller than a batch stops nobody.
        """
        self.body = Body(None, 10, self.flow)
        reading = self.read()
        self.body.feed(bytes(10))
        self.assertEqual(len(self.successResultOf(reading)), 10)

    def test_wanted_once(self) -> None:
        """
        Only the first read says that the body is wanted; a complete one is not.
        """
        reading = self.read()
        self.body.feed(bytes(BATCH))
        self.successResultOf(reading)
        self.read()
        self.assertEqual(self.flow.told, ["want"])
        self.body = Body(None, 10, self.flow)
        self.body.end()
        self.successResultOf(self.read())
        self.assertEqual(self.flow.told, ["want"])

    def test_lost(self) -> None:
        """
        A lost body fails the reader that waits, and every later one.
        """
        reading = self.read()
        self.body.feed(b"abc")
        self.body.lose(BodyLost("a reason"))
        self.assertIn("a reason", str(self.failureResultOf(reading).value))
        self.failureResultOf(self.read(), BodyLost)
        self.assertEqual(self.body.queued, 0)
        self.body.feed(b"def")
        self.assertEqual(self.body.queued, 0)

    def test_lost_after_end(self) -> None:
        """
        A body that is complete cannot be lost.
        """
        self.body.feed(b"abc")
        self.body.end()
        self.body.lose(BodyLost())
        self.assertEqual(self.successResultOf(self.read()), b"abc")

    def test_cancelled(self) -> None:
        """
        A read that is cancelled can be made again, and nothing is missing.
        """
        reading = self.read()
        self.body.feed(b"abc")
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.body.end()
        self.assertEqual(self.successResultOf(self.read()), b"abc")

    def test_cancelled_when_lost(self) -> None:
        """
        A read that is cancelled since the client left says that it left.
        """
        reading = self.read()
        self.body.lose(BodyLost(), wake=False)
        self.assertNoResult(reading)
        reading.cancel()
        self.failureResultOf(reading, BodyLost)

    def test_two_readers(self) -> None:
        """
        A second reader is a mistake.
        """
        reading = self.read()
        self.failureResultOf(self.read(), RuntimeError)
        self.body.end()
        self.assertEqual(self.successResultOf(reading), b"")


class RequestBodyTests(SynchronousTestCase):
    """``Request.body``"""

    def setUp(self) -> None:
        self.requests: list[Request] = []
        self.memory = Memory(self.requests.append, Limits(upload_window=100000))

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.requests[0].body.read())

    def test_announced(self) -> None:
        """
        What was announced is known before a byte of it came.
        """
        for data, length, expected in (
            (get(), 0, False),
            (get(b"/", b"PUT", b"Content-Length: 0"), 0, False),
            (get(b"/", b"PUT", b"Content-Length: 5"), 5, True),
            (get(b"/", b"PUT", b"Transfer-Encoding: chunked"), None, True),
            (b"PUT / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", 5, True),
        ):
            self.memory.connect().send(data)
            body = self.requests.pop().body
            self.assertEqual((body.length, body.expected), (length, expected), data)

    def test_read(self) -> None:
        """
        The bytes of the body arrive, whatever it is framed by.
        """
        data = os.urandom(1000)
        for sent in (
            put(data),
            get(b"/", b"PUT", b"Transfer-Encoding: chunked")
            + chunked(data[:1], data[1:]),
            b"PUT / HTTP/1.0\r\nContent-Length: 1000\r\n\r\n" + data,
        ):
            self.memory.connect().send(sent)
            self.assertEqual(self.successResultOf(self.read()), data)
            self.assertEqual(self.successResultOf(self.read()), b"")
            self.requests.clear()

    def test_forms(self) -> None:
        """
        A form is bytes like any other.
        """
        form = b'--a\r\nContent-Disposition: form-data; name="b"\r\n\r\nc\r\n--a--\r\n'
        for kind, data in (
            (b"multipart/form-data; boundary=a", form),
            (b"application/x-www-form-urlencoded", b"b=c"),
        ):
            headers = b"Content-Type: " + kind, b"Content-Length: %d" % len(data)
            self.memory.connect().send(get(b"/?q=1", b"POST", *headers) + data)
            self.assertEqual(self.requests[0].args, {b"q": [b"1"]})
            self.assertEqual(self.successResultOf(self.read()), data)
            self.requests.clear()

    def test_continue(self) -> None:
        """
        A client that waits for ``100 Continue`` gets it at the first read, once.
        """
        expecting = b"Content-Length: 200000", b"Expect: 100-Continue"
        line = self.memory.connect()
        line.send(get(b"/", b"PUT", *expecting))
        self.assertEqual(line.received(), b"")
        reading = self.read()
        self.assertEqual(line.received(), b"HTTP/1.1 100 Continue\r\n\r\n")
        line.send(bytes(150000))
        self.assertEqual(len(self.successResultOf(reading)), 150000)
        reading = self.read()
        line.send(bytes(50000))
        self.assertEqual(len(self.successResultOf(reading)), 50000)
        self.assertEqual(codes(line.received()), [100])

    def test_no_continue(self) -> None:
        """
        There is none for HTTP/1.0, for no body, and for a body that came unasked.
        """
        for data in (
            b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            get(b"/", b"PUT", b"Expect: 100-continue"),
            get(b"/", b"PUT", b"Expect: 100-continue", b"Content-Length: 9") + b"a",
        ):
            line = self.memory.connect()
            line.send(data)
            self.read()
            self.assertEqual(line.received(), b"", data)
            self.requests.clear()

    def test_client_lost(self) -> None:
        """
        A client that leaves fails the read; the route is interrupted only once.
        """
        told: list[str] = []
        cleaning: Deferred[None] = Deferred(lambda _: told.append("cancelled again"))

        async def answer(request: Request) -> None:
            try:
                await request.body.read()
            except BodyLost as error:
                told.append(str(error))
                await cleaning
            told.append("clean")

        memory = Memory(answer)
        line = memory.connect()
        line.send(get(b"/", b"PUT", b"Content-Length: 9"))
        line.leave()
        cleaning.callback(None)
        self.assertEqual(told, [str(BodyLost()), "clean"])
        self.assertEqual(memory.route.failures, [])

    def test_client_lost_and_nobody_cancels(self) -> None:
        """
        A reader that nobody cancels is told all the same.
        """
        line = self.memory.connect()
        line.send(get(b"/", b"PUT", b"Content-Length: 9"))
        reading = self.read()
        line.leave()
        self.failureResultOf(reading, BodyLost)
