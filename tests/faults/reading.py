# Copyright glancetx contributors. See LICENSE for details.

"""
A reader that says how an answer ended, whatever came of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers

from tests.servers import RunningServer, ServerCase, reactor

__all__ = ["Download", "FaultCase", "parts"]

STILL = 25
"""Looks at a number, 10 ms apart, until it is taken to be at rest."""

OK = 200
PARTIAL = 206


@frozen
class Download:
    """
    What a reader got.

    :ivar code: ``None`` if no status came.
    :ivar clean: the answer ended as it should.
    """

    code: int | None
    headers: Mapping[str, str]
    body: bytes
    clean: bool

    @property
    def whole(self) -> bool:
        """The reader believes to have what it asked for."""
        return self.code in (OK, PARTIAL) and self.clean


class _Collector(Protocol):
    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.done: Deferred[tuple[bytes, bool]] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        clean = reason.check(ResponseDone) is not None
        self.done.callback((b"".join(self._chunks), clean))


class FaultCase(ServerCase):
    """A test whose readers keep no connections and try nothing twice."""

    def setUp(self) -> None:
        super().setUp()
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._reader = Agent(reactor, pool)

    async def read(
        self, server: RunningServer, path: str, ranges: str | None = None
    ) -> Download:
        """Read what is there; with ``ranges``, parts of it."""
        headers = Headers()
        if ranges is not None:
            headers.addRawHeader(b"range", b"bytes=" + ranges.encode("ascii"))
        url = (server.url + path).encode("ascii")
        try:
            response: Any = await self._reader.request(b"GET", url, headers)
        except Exception:
            return Download(None, {}, b"", False)
        said = {
            name.decode("ascii").lower(): values[0].decode("utf-8")
            for name, values in response.headers.getAllRawHeaders()
        }
        collector = _Collector()
        response.deliverBody(collector)
        body, clean = await collector.done
        return Download(response.code, said, body, clean)

    async def until(self, condition: Callable[[], object], rounds: int = 3000) -> None:
        """Turn the reactor until a condition holds."""
        for _ in range(rounds):
            if condition():
                return
            await deferLater(reactor, 0.01)
        self.fail("it never came to that")

    async def at_rest(self, number: Callable[[], int]) -> int:
        """Wait until a number does not change any more."""
        last, seen = number(), 0
        while seen < STILL:
            await deferLater(reactor, 0.01)
            seen = seen + 1 if number() == last else 0
            last = number()
        return last


def parts(download: Download) -> list[bytes]:
    """The parts of a ``multipart/byteranges`` body."""
    boundary = download.headers["content-type"].partition("boundary=")[2]
    mark = re.escape(b"\r\n--" + boundary.encode("ascii"))
    first, *found, last = re.split(mark, download.body)
    assert first == b"" and last == b"--\r\n"
    return [part.partition(b"\r\n\r\n")[2] for part in found]
