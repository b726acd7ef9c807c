# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.request}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http, server

from glancetx.errors import BodyLost
from glancetx.web.request import Request, header_value

from .contract import changed, missing
from .wire import Line, Memory, codes, get, put


class ContractTests(SynchronousTestCase):
    """What the request uses of Twisted's."""

    def test_names(self) -> None:
        """
        Twisted has, and calls, these names.
        """
        names = (
            "gotLength handleContentChunk requestReceived connectionLost process "
            "processingFailed write finish registerProducer unregisterProducer "
            "setHeader setResponseCode startedWriting finished chunked sentLength "
            "producer etag lastModified _disconnected defaultContentType"
        ).split()
        self.assertEqual(missing(server.Request, *names), "")
        self.assertEqual(missing(http, "NO_BODY_CODES", "datetimeToString"), "")

    def test_log(self) -> None:
        """
        Twisted tells the site, by C{log}, of every answer that is finished.
        """
        memory = Memory()
        told: list[Request] = []
        memory.site.log = told.append  # type: ignore[method-assign,assignment]
        memory.connect().send(get())
        self.assertEqual(len(told), 1, changed("a finished answer is logged"))

    def test_reads_no_form(self) -> None:
        """
        Twisted leaves a body alone if it is told not to parse forms.
        """
        self.assertIs(
            Memory().site._parsePOSTFormSubmission, False, changed("this switch works")
        )


class AnswerTests(SynchronousTestCase):
    """What every answer has, and what none has."""

    def answer(
        self, work: Callable[[Request], object], data: bytes = get()
    ) -> tuple[bytes, bytes]:
        line = Memory(work).connect()
        line.send(data)
        head, body = line.received().split(b"\r\n\r\n", 1)
        return head, body

    def test_headers(self) -> None:
        """
        Every answer has a date and an id, and no version of the server's parts.
        """
        head, body = self.answer(lambda request: b"abc")
        names = [line.split(b": ")[0] for line in head.split(b"\r\n")[1:]]
        ours = [b"Content-Length", b"Date", b"Server", b"X-Openstack-Request-Id"]
        self.assertEqual(sorted(names), ours)
        self.assertIn(b"\r\nServer: glancetx\r\n", head)
        self.assertRegex(head, rb"X-Openstack-Request-Id: req-[0-9a-f-]{36}")
        self.assertEqual(body, b"abc")

    def test_request_id(self) -> None:
        """
        A client's own id is used if it is one, and short and printable.
        """
        good = b"req-\x21" + b"~" * 59
        for given, kept in (
            ((good,), True),
            ((b"two words",), False),
            ((b"\xc3\xa9",), False),
            ((b"",), False),
            ((b"a", b"b"), False),
        ):
            lines = [b"X-Openstack-Request-Id: " + value for value in given]
            head, _ = self.answer(lambda request: b"", get(b"/", b"GET", *lines))
            [echo] = [line for line in head.split(b"\r\n") if b"Request-Id" in line]
            self.assertEqual(echo == lines[0], kept, given)

    def test_phrase(self) -> None:
        """
        The phrase of a status is fixed: nothing can be smuggled into it.
        """

        def work(request: Request) -> bytes:
            request.setResponseCode(409, b"no\r\nX-Evil: 1")
            return b""

        head, _ = self.answer(work)
        self.assertTrue(head.startswith(b"HTTP/1.1 409 Conflict\r\n"))
        self.assertNotIn(b"Evil", head)

    def test_header_values(self) -> None:
        """
        A header's value cannot end its line, and what is not ASCII is UTF-8.
        """

        def work(request: Request) -> bytes:
            request.setHeader("X-Image-Meta-Name", 'a\r\nX-Evil: "\0\x7f\té\N{TOOTH}')
            return b""

        head, _ = self.answer(work)
        [value] = [line for line in head.split(b"\r\n") if b"Meta-Name" in line]
        expected = 'X-Image-Meta-Name: a%0D%0AX-Evil: "%00%7F\té\N{TOOTH}'
        self.assertEqual(value.decode("utf-8"), expected)
        self.assertEqual(header_value(b"plain 100%"), b"plain 100%")

    def test_no_body(self) -> None:
        """
        204, 304 and the answer to a HEAD have headers only, whatever is written.
        """
        for code, method, length in (
            (204, b"GET", False),
            (304, b"GET", True),
            (200, b"HEAD", True),
        ):

            def work(request: Request, code: int = code) -> None:
                request.setResponseCode(code)
                request.setHeader(b"Content-Length", b"5")
                request.write(b"abc")
                request.write(b"de")
                request.finish()

            head, body = self.answer(work, get(b"/", method))
            self.assertEqual(body, b"", code)
            self.assertEqual(b"Content-Length" in head, length, code)

    def test_clear_headers(self) -> None:
        """
        Cleared headers are gone; those of every answer are not.
        """

        def work(request: Request) -> bytes:
            request.setHeader(b"Cache-Control", b"public")
            request.setHeader(b"Content-Length", b"100")
            request.setETag(b'"a"')
            request.setLastModified(5)
            request.addCookie(b"a", b"b")
            request.clear_headers()
            return b"abc"

        close = get(b"/", b"GET", b"Connection: close")
        head, _ = self.answer(work, close)
        for name in (b"Cache-Control", b"ETag", b"Last-Modified", b"Set-Cookie"):
            self.assertNotIn(name, head)
        for line in (b"Content-Length: 3", b"Connection: close", b"Server: glancetx"):
            self.assertIn(line, head)
        self.assertIn(b"X-Openstack-Request-Id", head)


class FailureTests(SynchronousTestCase):
    """Routes that fail, on Klein."""

    def setUp(self) -> None:
        self.app = Klein()
        self.memory = Memory(self.app.resource())
        self.line = self.memory.connect()
        self.waiting: Deferred[None] = Deferred()

    def fail_after(self, *writes: bytes, length: int | None = None) -> list[Any]:
        """Serve a route that writes and then fails; the events that were logged."""

        async def route(request: Any) -> None:
            request.setHeader(b"ETag", b'"a"')
            if length is not None:
                request.setHeader(b"Content-Length", b"%d" % length)
            for data in writes:
                request.write(data)
            await self.waiting
            raise ZeroDivisionError("planted")

        self.app.route("/images/a")(route)
        with capturedLogs() as events:
            self.line.send(get(b"/images/a?secret=b"))
            self.waiting.callback(None)
        self.flushLoggedErrors(ZeroDivisionError)
        return [event for event in events if event["log_level"] >= LogLevel.error]

    def test_before_first_byte(self) -> None:
        """
        A failure before the first byte is a 500 with the error's own headers only.
        """
        [event] = self.fail_after(length=100)
        head, body = self.line.received().split(b"\r\n\r\n")
        self.assertEqual(json.loads(body)["computeFault"]["code"], 500)
        self.assertNotIn(b"planted", body)
        self.assertNotIn(b"ETag", head)
        self.assertIn(b"Content-Length: %d\r\n" % len(body), head + b"\r\n")
        self.assertIn(b"Cache-Control: no-store", head)
        self.assertFalse(self.line.closed)
        self.assertEqual(event["path"], "/images/a")

    def test_after_first_byte(self) -> None:
        """
        A failure after the first byte breaks the connection; not one byte more.
        """
        [event] = self.fail_after(b"a" * 100, length=1000)
        self.assertTrue(self.line.received().endswith(b"\r\n\r\n" + b"a" * 100))
        self.assertTrue(self.line.aborted)
        self.assertEqual((event["path"], event["sent"]), ("/images/a", 100))
        self.assertRegex(event["request_id"], "req-")

    def test_after_first_chunk(self) -> None:
        """
        Nor does a chunked answer get a proper end.
        """
        self.fail_after(b"abc")
        self.assertTrue(self.line.received().endswith(b"\r\n\r\n3\r\nabc\r\n"))
        self.assertTrue(self.line.aborted)

    def test_error_handler_that_forgets(self) -> None:
        """
        An error handler that answers into a begun answer cannot complete it.
        """

        @self.app.handle_errors(ZeroDivisionError)
        def handle(request: Any, failure: Any) -> bytes:
            return b"an error page"

        self.fail_after(b"a" * 100, length=1000)
        self.assertTrue(self.line.aborted)

    def test_cut(self) -> None:
        """
        A route that cuts its answer may return; Klein's finish changes nothing.
        """

        @self.app.route("/")
        async def route(request: Any) -> None:
            request.setHeader(b"Content-Length", b"5")
            request.write(b"abc")
            request.cut()
            request.cut()
            request.write(b"de")

        self.line.send(get())
        self.assertTrue(self.line.received().endswith(b"\r\n\r\nabc"))
        self.assertTrue(self.line.aborted)
        [request] = self.memory.site.transfers
        self.line.leave()
        self.assertTrue(request.was_cut)
        self.assertEqual(self.memory.site.transfers, set())

    def test_body_lost(self) -> None:
        """
        A body that the client broke is a 400 that says how, if no handler says more.
        """

        @self.app.route("/", methods=["PUT"])
        async def route(request: Any) -> bytes:
            return bytes(await request.body.read())

        head = get(b"/", b"PUT", b"Transfer-Encoding: chunked")
        self.line.send(head + b"nonsense\r\n")
        self.assertEqual(codes(self.line.received()), [400])
        self.assertIn(b"a chunk of it was malformed", self.line.received())
        self.assertTrue(self.line.closed)

    def test_client_leaves(self) -> None:
        """
        A route whose client left is interrupted once: by a lost body if it waits for
        that, else by Klein's cancelling.
        """
        ends: list[BaseException] = []

        @self.app.route("/", methods=["GET", "PUT"])
        async def route(request: Any) -> None:
            try:
                await (request.body.read() if request.body.expected else self.waiting)
            except BaseException as error:
                ends.append(error)
                if isinstance(error, CancelledError):
                    raise

        for data in (get(), put(b"abc")[:-1]):
            line = self.memory.connect()
            line.send(data)
            with capturedLogs() as events:
                line.leave()
            levels = {event["log_level"] for event in events}
            self.assertLessEqual(levels, {LogLevel.debug, LogLevel.info})
        self.assertEqual([type(end) for end in ends], [CancelledError, BodyLost])


class LengthTests(SynchronousTestCase):
    """An answer is as long as it said."""

    def answer(self, *writes: bytes) -> Line:
        def work(request: Request) -> None:
            request.setHeader(b"Content-Length", b"5")
            for data in writes:
                request.write(data)
            request.finish()

        line = Memory(work).connect()
        line.send(get() + get())
        return line

    def test_right(self) -> None:
        """
        With every byte it is complete, and the next request has its turn.
        """
        line = self.answer(b"abc", b"de")
        self.assertEqual((codes(line.received()), line.closed), ([200, 200], False))

    def test_short(self) -> None:
        """
        With a byte missing it is cut, not finished.
        """
        line = self.answer(b"abc", b"d")
        self.assertEqual((codes(line.received()), line.aborted), ([200], True))

    def test_long(self) -> None:
        """
        With a byte too many it is cut before that byte.
        """
        line = self.answer(b"abc", b"def")
        self.assertTrue(line.received().endswith(b"\r\n\r\nabc"))
        self.assertTrue(line.aborted)
