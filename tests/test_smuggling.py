# Copyright glancetx contributors. See LICENSE for details.

"""
What is not strictly lawful HTTP is refused by L{glancetx.web.channel}, and nothing
that comes behind it is taken for a request.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.limits import Limits
from glancetx.web.request import Request

from .wire import Memory, chunked, codes, get

SMUGGLED = get(b"/smuggled")

HEAD = {
    "LF in a header": b"GET / HTTP/1.1\r\nHost: zone\nX-A: b\r\n\r\n",
    "CR in a header": b"GET / HTTP/1.1\r\nHost: zone\rX-A: b\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: zone\r\nX-A: b\0c\r\n\r\n",
    "VT in a header": b"GET / HTTP/1.1\r\nHost: zone\r\nX-A: b\x0bc\r\n\r\n",
    "LF in the request line": b"GET /\nX HTTP/1.1\r\nHost: zone\r\n\r\n",
    "NUL in a header's name": get(b"/", b"GET", b"Transfer-Encoding\0: chunked"),
    "space before a colon": get(b"/", b"GET", b"Transfer-Encoding : chunked"),
    "tab before a colon": get(b"/", b"GET", b"Content-Length\t: 5"),
    "header without a colon": get(b"/", b"GET", b"X-A"),
    "header without a name": get(b"/", b"GET", b": b"),
    "header in two lines": get(b"/", b"GET", b"X-A: b", b" c"),
    "header in two lines by tab": get(b"/", b"GET", b"X-A: b", b"\tc"),
    "coding in the second line": get(b"/", b"GET", b"Transfer-Encoding:", b" chunked"),
    "folded line at the top": b"GET / HTTP/1.1\r\n X: y\r\nHost: zone\r\n\r\n",
    "length and coding": get(
        b"/", b"PUT", b"Content-Length: 5", b"Transfer-Encoding: chunked"
    ),
    "coding and length": get(
        b"/", b"PUT", b"Transfer-Encoding: chunked", b"Content-Length: 5"
    ),
    "two lengths": get(b"/", b"PUT", b"Content-Length: 5", b"Content-Length: 6"),
    "one length twice": get(b"/", b"PUT", b"Content-Length: 5", b"Content-Length: 5"),
    "list of lengths": get(b"/", b"PUT", b"Content-Length: 5, 5"),
    "length with a sign": get(b"/", b"PUT", b"Content-Length: +5"),
    "length below zero": get(b"/", b"PUT", b"Content-Length: -5"),
    "length in hex": get(b"/", b"PUT", b"Content-Length: 0x5"),
    "length with an underscore": get(b"/", b"PUT", b"Content-Length: 1_0"),
    "length with a space": get(b"/", b"PUT", b"Content-Length: 5 5"),
    "empty length": get(b"/", b"PUT", b"Content-Length:"),
    "length of 20 digits": get(b"/", b"PUT", b"Content-Length: " + b"1" * 20),
    "length of 5000 digits": get(b"/", b"PUT", b"Content-Length: " + b"1" * 5000),
    "unknown coding": get(b"/", b"PUT", b"Transfer-Encoding: xchunked"),
    "identity": get(b"/", b"PUT", b"Transfer-Encoding: identity"),
    "chunked, identity": get(b"/", b"PUT", b"Transfer-Encoding: chunked, identity"),
    "gzip, chunked": get(b"/", b"PUT", b"Transfer-Encoding: gzip, chunked"),
    "chunked, chunked": get(b"/", b"PUT", b"Transfer-Encoding: chunked, chunked"),
    "chunked twice": get(
        b"/", b"PUT", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"
    ),
    "chunked behind VT": get(b"/", b"PUT", b"Transfer-Encoding: \x0bchunked"),
    "chunked with a parameter": get(b"/", b"PUT", b"Transfer-Encoding: chunked;a=b"),
    "coding in HTTP/1.0": (
        b"PUT / HTTP/1.0\r\nHost: zone\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get(b"/", b"GET", b"Host: zone"),
    "two hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: zone/x\r\n\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: user@zone\r\n\r\n",
    "host with a space": b"GET / HTTP/1.1\r\nHost: zone other\r\n\r\n",
    "host with a bad port": b"GET / HTTP/1.1\r\nHost: zone:80x\r\n\r\n",
    "target of another host": get(b"http://other/"),
    "target with a user": get(b"http://user@zone/"),
    "target of another scheme": get(b"ftp://zone/"),
    "target without a slash": get(b"images"),
    "two spaces in the request line": b"GET  / HTTP/1.1\r\nHost: zone\r\n\r\n",
    "tab in the request line": b"GET\t/ HTTP/1.1\r\nHost: zone\r\n\r\n",
    "no version": b"GET /\r\nHost: zone\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: zone\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: zone\r\n\r\n",
    "lower-case version": b"GET / http/1.1\r\nHost: zone\r\n\r\n",
    "bad method": get(b"/", b"G(T"),
    "two empty lines": b"\r\n\r\n" + get(b"/"),
}

CHUNKS = {
    "size with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "size with an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size behind a space": b" 3\r\nabc\r\n0\r\n\r\n",
    "size before a space": b"3 \r\nabc\r\n0\r\n\r\n",
    "size below zero": b"-3\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "long extension": b"3;" + b"a" * 2000 + b"\r\nabc\r\n0\r\n\r\n",
    "no CRLF behind a chunk": b"3\r\nabcd\r\n0\r\n\r\n",
    "LF behind a chunk": b"3\r\nabc\n0\r\n\r\n",
    "long trailer": b"0\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
}


class Seen:
    """An application that notes which requests it saw, and reads their bodies."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.bodies: list[bytes] = []
        self.memory = Memory(self.answer)

    async def answer(self, request: Request) -> None:
        self.paths.append(request.path)
        body = b""
        while data := await request.body.read():
            body += data
        self.bodies.append(body)
        request.setHeader(b"Content-Length", b"0")
        request.finish()


class SmugglingTests(SynchronousTestCase):
    """Every case of the corpus, whole and byte by byte."""

    def feed(self, data: bytes, step: int) -> tuple[Seen, list[int], bool]:
        seen = Seen()
        line = seen.memory.connect()
        for offset in range(0, len(data), step):
            line.send(data[offset : offset + step])
        return seen, codes(line.received()), line.closed

    def test_head(self) -> None:
        """
        A request that is unlawful in its head is a 400, runs no route, and closes.
        """
        for name, data in HEAD.items():
            for step in (1, 7, len(data) + len(SMUGGLED)):
                seen, answers, closed = self.feed(data + SMUGGLED, step)
                self.assertEqual((seen.paths, answers), ([], [400]), (name, step))
                self.assertTrue(closed, name)

    def test_chunks(self) -> None:
        """
        A malformed chunk is a 400 from the route that reads the body, and closes.
        """
        head = get(b"/up", b"PUT", b"Transfer-Encoding: chunked")
        for name, body in CHUNKS.items():
            data = head + body + SMUGGLED
            for step in (1, 7, len(data)):
                seen, answers, closed = self.feed(data, step)
                self.assertEqual(seen.paths, [b"/up"], name)
                self.assertEqual((seen.bodies, answers), ([], [400]), (name, step))
                self.assertTrue(closed, name)

    def test_lawful(self) -> None:
        """
        What is lawful runs, each request once, and the connection stays.
        """
        data = (
            b"\r\n"
            + get(b"/a?b=%2f..//")
            + get(b"/b", b"PUT", b"Content-Length: 3")
            + b"abc"
            + get(b"/c", b"PUT", b"transfer-encoding: Chunked")
            + chunked(b"def", b"ghi")
            + get(b"/d", b"PUT", b"Transfer-Encoding: chunked")
            + b"3;a=b\r\njkl\r\n0\r\nTrailer: x\r\n\r\n"
            + get(b"http://ZONE/e")
            + get(b"/f%20g")
            + get(b"/h", b"PUT", b"Content-Length: 0000000000000000003")
            + b"xyz"
            + get(b"/i", b"GET", b"X-A: \t\xc3\xa9\tb \t")
        )
        for step in (1, 7, len(data)):
            seen, answers, closed = self.feed(data, step)
            paths = [b"/a", b"/b", b"/c", b"/d", b"/e", b"/f%20g", b"/h", b"/i"]
            self.assertEqual(seen.paths, paths)
            bodies = [b"", b"abc", b"defghi", b"jkl", b"", b"", b"xyz", b""]
            self.assertEqual(seen.bodies, bodies)
            self.assertEqual((answers, closed), ([200] * 8, False))

    def test_garbage_behind_a_body(self) -> None:
        """
        A body that is longer than announced begins no request.
        """
        head = get(b"/up", b"PUT", b"Content-Length: 3")
        for body, status in ((b"abcdef", 501), (b"abcdef\r\n\r\n", 400)):
            data = head + body + SMUGGLED
            seen, answers, closed = self.feed(data, len(data))
            self.assertEqual(seen.bodies, [b"abc"])
            self.assertEqual((answers, closed), ([200, status], True))

    def test_only_line_feeds(self) -> None:
        """
        A head that has no CRLF never ends, and is a 408 when its time is up.
        """
        seen = Seen()
        line = seen.memory.connect()
        line.send(SMUGGLED.replace(b"\r", b""))
        seen.memory.clock.advance(Limits().header_seconds)
        self.assertEqual((seen.paths, codes(line.received())), ([], [408]))
        self.assertTrue(line.closed)
