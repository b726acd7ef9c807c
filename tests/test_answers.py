# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.answers`.
"""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from glancetx.answers import read_body, read_json

from .agents import TcpTestCase
from .loopback import Asked

HEAD = b"HTTP/1.1 200 OK\r\n"


class BodyTests(TcpTestCase):
    """:func:`read_body` and :func:`read_json`"""

    async def body(self, answer: bytes, end: bool = False) -> bytes:
        def answering(_: Asked, transport: Any) -> bytes:
            if end:
                reactor.callLater(0, transport.loseConnection)
            return answer

        self.raw.answer = answering
        return await read_body(await self.get(), 10, "global")

    async def fails(self, answer: bytes, text: str, end: bool = False) -> None:
        d = Deferred.fromCoroutine(self.body(answer, end))
        error = await self.unavailable(d)
        self.assertEqual(error.origin, "global")
        self.assertIn(text, error.reason)
        await self.server.emptied()

    async def test_complete(self) -> None:
        """
        A body with a length, or in chunks, or said to be encoded as nothing, is read.
        """
        for answer in (
            b"Content-Length: 10\r\n\r\n0123456789",
            b"Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
            b"Content-Encoding: Identity\r\nContent-Length: 10\r\n\r\n0123456789",
        ):
            self.assertEqual(await self.body(HEAD + answer), b"0123456789")

    async def test_too_large(self) -> None:
        """
        A body beyond its bound is not read on, and its connection is closed.
        """
        await self.fails(
            HEAD + b"Content-Length: 99999999\r\n\r\n" + b"x" * 11, "larger than 10"
        )
        await self.fails(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
            "larger than 10",
        )

    async def test_cut(self) -> None:
        """
        A body that ends early is an error, with a length or in chunks.
        """
        await self.fails(
            HEAD + b"Content-Length: 10\r\n\r\n01234", "broke off", end=True
        )
        await self.fails(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n",
            "broke off",
            end=True,
        )

    async def test_no_length(self) -> None:
        """
        A body that ends by closing may have been cut: it is an error.
        """
        await self.fails(HEAD + b"\r\n0123", "no length", end=True)

    async def test_encoded(self) -> None:
        """
        A compressed body was not asked for, and is not unpacked.
        """
        data = gzip.compress(b"0123")
        await self.fails(
            HEAD
            + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
            + data,
            "encoded",
        )

    async def test_cancelled(self) -> None:
        """
        To cancel the reading of a body ends its connection.
        """
        response = await self.get(HEAD + b"Content-Length: 9\r\n\r\n01")
        d = Deferred.fromCoroutine(read_body(response, 10, "global"))
        d.cancel()
        await self.assertFailure(d, CancelledError)
        await self.server.emptied()

    async def json(self, text: bytes) -> dict[str, Any]:
        head = HEAD + b"Content-Length: %d\r\n\r\n" % len(text)
        return await read_json(await self.get(head + text), 300_000, "global")

    async def test_json(self) -> None:
        """
        A JSON object is read.
        """
        self.assertEqual(await self.json(b'{"a": [1, null]}'), {"a": [1, None]})

    async def test_no_json(self) -> None:
        """
        What is no JSON object, or one that two readers could read differently, is an
        answer that cannot be used.
        """
        for text in (
            b"",
            b"<html>",
            b"[]",
            b"null",
            b'{"a": 1',
            b'{"a": 1, "a": 2}',
            b'{"a": {"b": 1, "b": 2}}',
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": "\xff"}',
            b'{"a": ' + b"9" * 5000 + b"}",
            b"[" * 200_000,
            b'{"a":' * 20_000,
        ):
            d = Deferred.fromCoroutine(self.json(text))
            error = await self.unavailable(d)
            self.assertIn("no JSON", error.reason)
