# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx_httpstore``: against a web server in this process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File

from glancetx.errors import (
    ConfigError,
    NoSuchPiece,
    PieceTruncated,
    StoreUnavailable,
)
from glancetx.stores import Store
from glancetx.testing import (
    ProducingTests,
    ReadingTests,
    RecordingConsumer,
    UnsteadyTests,
    inline_tools,
    threaded_tools,
)
from glancetx_httpstore.backend import HttpStore, httpstore

reactor: Any = _reactor
KEY = "0123456789abcdef" * 2
DATA = bytes(range(256)) * 4096


class HttpStoreCase(TestCase):
    """Starts a web server, and a store that reads from it."""

    def serve(self, root: Resource) -> None:
        """Start the server; at the end of the test nothing is open."""
        site = Site(root)
        site.displayTracebacks = False
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/pieces"
        self.tools = threaded_tools(self)

    def make_backend(self) -> HttpStore:
        return HttpStore(self.url, 10, self.tools)

    async def fetch(self, start: int = 0, stop: int = len(DATA)) -> bytes:
        """Read a range of the piece ``KEY``."""
        consumer = RecordingConsumer()
        piece = self.make_backend().piece(KEY, len(DATA))
        await piece.produce(consumer, start, stop)
        return bytes(consumer.received)


class FolderCase(HttpStoreCase):
    """``HttpStore`` of a plain folder"""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp(), "pieces")
        self.folder.mkdir(parents=True)
        self.serve(File(str(self.folder.parent)))

    def put(self, key: str, data: bytes) -> Path:
        """Bring a piece into the folder."""
        path = self.folder / key[:2] / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path


class RulesTests(FolderCase, ReadingTests, ProducingTests, UnsteadyTests):
    """``HttpStore``, by those rules for all backends that are about reading"""

    async def keep(self, store: Store, data: bytes) -> str:
        key = self.new_key()
        self.put(key, data)
        return key

    def shorten(self, count: int) -> bool:
        for path in self.folder.glob("*/*"):
            os.truncate(path, count)
        return True


class ReadOnlyTests(FolderCase):
    """What a folder that others write to does not do"""

    def test_create(self) -> None:
        """
        It takes no uploads, and says what to do instead.
        """
        backend = self.make_backend()
        error = self.assertRaises(StoreUnavailable, backend.create, KEY, 3)
        self.assertIn("read-only", error.reason)
        self.assertIn("default", error.reason)

    async def test_remove(self) -> None:
        """
        A piece that is there still is not said to be removed.
        """
        path = self.put(KEY, b"abc")
        backend = self.make_backend()
        with self.assertRaises(StoreUnavailable) as caught:
            await backend.remove(KEY)
        self.assertIn(f"01/{KEY}", caught.exception.reason)
        path.unlink()
        await backend.remove(KEY)


class Odd(Resource):
    """Answers as a test says."""

    isLeaf = True

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self._answer = answer

    def render(self, request: Any) -> Any:
        self.asked.append(request.getHeader("Range"))
        return self._answer(request)


class OddServerTests(HttpStoreCase):
    """Web servers that do not do as they should"""

    def odd(self, answer: Any) -> Odd:
        self.serve(odd := Odd(answer))
        return odd

    async def test_dies(self) -> None:
        """
        An answer that breaks is asked for again from there, as long as bytes come.
        """

        def answer(request: Any) -> int:
            start = int(request.getHeader("Range")[6:].partition("-")[0])
            content_range = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
            request.setResponseCode(206)
            request.setHeader("Content-Range", content_range)
            request.setHeader("Content-Length", str(len(DATA) - start))
            request.write(DATA[start : start + 300_000])
            request.loseConnection()
            return NOT_DONE_YET

        odd = self.odd(answer)
        self.assertTrue(await self.fetch() == DATA)
        self.assertEqual(len(odd.asked), 4)

    async def test_gives_nothing(self) -> None:
        """
        A server that gives no byte, however often it is asked, is given up.
        """

        def answer(request: Any) -> int:
            request.setHeader("Content-Length", str(len(DATA)))
            request.write(b"")
            request.loseConnection()
            return NOT_DONE_YET

        odd = self.odd(answer)
        await self.assertFailure(ensureDeferred(self.fetch()), PieceTruncated)
        self.assertEqual(len(odd.asked), 3)

    async def test_ignores_ranges(self) -> None:
        """
        The whole is taken for the whole, and not for a part.
        """
        self.odd(lambda request: DATA)
        self.assertTrue(await self.fetch() == DATA)
        self.assertTrue(await self.fetch(0, 10) == DATA[:10])
        await self.assertFailure(ensureDeferred(self.fetch(5, 10)), StoreUnavailable)

    async def test_statuses(self) -> None:
        """
        What is not there is told from what cannot be had now.
        """
        for code, error in [
            (404, NoSuchPiece),
            (410, NoSuchPiece),
            (403, StoreUnavailable),
            (302, StoreUnavailable),
            (503, StoreUnavailable),
        ]:

            def answer(request: Any, code: int = code) -> bytes:
                request.setResponseCode(code)
                return b"sorry"

            self.odd(answer)
            failed = await self.assertFailure(ensureDeferred(self.fetch()), error)
            self.assertNotIn("127.0.0.1", str(failed))

    async def test_away(self) -> None:
        """
        A server that is not there is told without its name, but in the log.
        """
        self.odd(lambda request: DATA)
        self.url = "http://127.0.0.1:1/pieces"
        with capturedLogs() as events:
            failed = await self.assertFailure(
                ensureDeferred(self.fetch()), StoreUnavailable
            )
        self.assertNotIn("127.0.0.1", str(failed))
        told = [event for event in events if "reason" in event]
        self.assertEqual(told[0]["url"], f"{self.url}/01/{KEY}")
        self.assertEqual(told[0]["reason"], "it refuses connections")

    async def test_silent(self) -> None:
        """
        So is one that says nothing.
        """
        self.odd(lambda request: NOT_DONE_YET)
        backend = HttpStore(self.url, 0.01, self.tools)
        with capturedLogs() as events:
            with self.assertRaises(StoreUnavailable):
                await backend.remove(KEY)
        told = [event["reason"] for event in events if "reason" in event]
        self.assertEqual(told, ["no answer in 0.01 seconds"])


class OptionTests(SynchronousTestCase):
    """``[stores.NAME]``"""

    def test_url(self) -> None:
        """
        What is no folder of a web server is refused at the start.
        """
        for url in ("", "pieces", "ftp://host/pieces", "http:///x", "http://h/?x=1"):
            error = self.assertRaises(
                ConfigError, httpstore.make, {"url": url, "seconds": 1}, inline_tools()
            )
            self.assertEqual(error.key, "url")
