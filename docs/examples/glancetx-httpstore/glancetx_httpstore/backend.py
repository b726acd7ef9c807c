# Copyright glancetx contributors. See LICENSE for details.

"""
Reads pieces from the folder of a web server, by ranges.

``URL/ab/KEY`` is the piece whose key begins with ``ab``: so the backend ``filesystem``
lays them out. Nothing is written or removed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from glancetx.errors import (
    ConfigError,
    NoSuchPiece,
    OriginUnavailable,
    PieceTruncated,
    StoreUnavailable,
)
from glancetx.interfaces import (
    IBackend,
    IBackendFactory,
    IPiece,
    Option,
    Tools,
)
from glancetx.streaming.pump import pump

from .body import Body

__all__ = ["HttpStore", "HttpStoreFactory", "httpstore"]

TRIES = 3
"""How often in a row an answer may break without a new byte."""

PAUSE = 0.2
"""Seconds before it is asked for again."""


class _Server:
    """Asks the web server, and says in glancetx's words what it answers."""

    def __init__(self, url: str, agent: IAgent, seconds: float, tools: Tools) -> None:
        self._url = url.rstrip("/")
        self._agent = agent
        self._seconds = seconds
        self._tools = tools

    async def has(self, key: str) -> int | None:
        """How many bytes a piece has there; ``None`` if there is no such file."""
        response = await self._ask(b"HEAD", key)
        self._body(response).close()
        if response.code in (404, 410):
            return None
        if response.code != 200:
            self._refuse(key, response)
        return int(_header(response, b"Content-Length") or 0)

    async def read(self, key: str, size: int, start: int, stop: int) -> Body:
        """
        The bytes ``[start, stop)``, of which there is one at least; close it.

        :raises NoSuchPiece: if there is no such file.
        :raises PieceTruncated: if it has less than ``size`` bytes.
        """
        wanted = {b"Range": [b"bytes=%d-%d" % (start, stop - 1)]}
        response = await self._ask(b"GET", key, wanted)
        body = self._body(response)
        try:
            self._check(response, key, size, start)
        except Exception:
            body.close()
            raise
        return body

    async def pause(self) -> None:
        """Give a server time that cannot answer now."""
        await deferLater(self._tools.clock, PAUSE)

    async def _ask(
        self, method: bytes, key: str, more: Mapping[bytes, list[bytes]] | None = None
    ) -> IResponse:
        url = f"{self._url}/{key[:2]}/{key}"
        headers = Headers({b"Accept-Encoding": [b"identity"], **(more or {})})
        answer = self._agent.request(method, url.encode("ascii"), headers, None)
        try:
            return await answer.addTimeout(self._seconds, self._tools.clock)
        except OriginUnavailable as error:
            reason = error.reason
        except TimeoutError:
            reason = f"no answer in {self._seconds:g} seconds"
        self._tools.log.error(
            "store {store}: {url}: {reason}",
            store=self._tools.store,
            url=url,
            reason=reason,
        )
        problem = "its web server cannot be reached"
        raise StoreUnavailable(self._tools.store, problem)

    def _body(self, response: IResponse) -> Body:
        body = Body(self._tools.clock, self._seconds)
        response.deliverBody(body)
        return body

    def _check(self, response: IResponse, key: str, size: int, start: int) -> None:
        if response.code in (404, 410):
            raise NoSuchPiece(key)
        if response.code not in (200, 206, 416):
            self._refuse(key, response)
        found, begins = _content_range(response)
        if response.code == 200:
            found, begins = response.length, 0  # or "unknown"
        if isinstance(found, int) and found < size:
            raise PieceTruncated(key, found, size)
        if begins != start:
            self._refuse(key, response)

    def _refuse(self, key: str, response: IResponse) -> NoReturn:
        self._tools.log.error(
            "store {store}: piece {key}: the web server answered {code}",
            store=self._tools.store,
            key=key,
            code=response.code,
        )
        problem = "its web server does not answer as it should"
        raise StoreUnavailable(self._tools.store, problem)


def _header(response: IResponse, name: bytes) -> bytes | None:
    values = response.headers.getRawHeaders(name)
    return values[0] if values else None


def _content_range(response: IResponse) -> tuple[int | None, int | None]:
    """How many bytes the whole has, and where the part begins (RFC 9110, 14.4)."""
    text = _header(response, b"Content-Range") or b""
    match = re.fullmatch(rb"bytes (?:(\d+)-\d+|\*)/(\d+)", text)
    if match is None:
        return None, None
    return int(match[2]), None if match[1] is None else int(match[1])


@implementer(IPiece)
class _Piece:
    """One file of a web server."""

    def __init__(self, server: _Server, key: str, size: int) -> None:
        self.size = size
        self._server = server
        self._key = key

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return ensureDeferred(pump(self._chunks(start, stop), consumer))

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if start == stop:
            await self._require()
        tries = TRIES
        while start < stop:
            body = await self._server.read(self._key, self.size, start, stop)
            try:
                # to the end, though all came before: then the connection is free
                while chunk := await body.next():
                    more = len(chunk) > stop - start
                    chunk = chunk[: stop - start]
                    start += len(chunk)
                    tries = TRIES
                    yield chunk
                    if more:
                        break
            finally:
                body.close()
            if start < stop:
                tries -= 1
                if not tries:
                    raise PieceTruncated(self._key, start, self.size)
                await self._server.pause()

    async def _require(self) -> None:
        found = await self._server.has(self._key)
        if found is None:
            raise NoSuchPiece(self._key)
        if found < self.size:
            raise PieceTruncated(self._key, found, self.size)


@implementer(IBackend)
class HttpStore:
    """Reads what somebody else put into the folder of a web server."""

    def __init__(self, url: str, seconds: float, tools: Tools) -> None:
        """
        :param url: of the folder.
        :param seconds: how long its server may be silent.
        """
        assert tools.agent is not None
        self._store = tools.store
        self._server = _Server(url, tools.agent, seconds, tools)

    def piece(self, key: str, size: int) -> IPiece:
        return _Piece(self._server, key, size)

    def create(self, key: str, size: int | None) -> NoReturn:
        """:raises StoreUnavailable: always."""
        problem = "it takes no uploads, it is read-only; make another one the default"
        raise StoreUnavailable(self._store, problem)

    async def remove(self, key: str) -> None:
        """
        See that the piece was removed.

        :raises StoreUnavailable: while it is there. Whoever asked tries again later
            (``glancetx scrub``), so that it stays known what should go.
        """
        if await self._server.has(key) is not None:
            problem = f"it is read-only; remove {key[:2]}/{key} from its web server"
            raise StoreUnavailable(self._store, problem)


@implementer(IBackendFactory)
class HttpStoreFactory:
    """Makes stores that are folders of web servers."""

    name = "httpstore"
    interface_version = 1
    options = (
        Option("url", str, "the URL of the folder that has the pieces"),
        Option("seconds", int, "how long its server may be silent", False, 30),
    )

    def make(self, options: Mapping[str, Any], tools: Tools) -> HttpStore:
        url, seconds = options["url"], options["seconds"]
        if not _is_folder(url):
            problem = "must be http:// or https://, a host and a path"
            raise ConfigError(tools.store, "url", problem)
        if seconds < 1:
            raise ConfigError(tools.store, "seconds", "must be 1 or more")
        return HttpStore(url, seconds, tools)


def _is_folder(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    rest = parts.query or parts.fragment or "@" in parts.netloc
    return (
        url.isascii()
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and not rest
    )


httpstore = HttpStoreFactory()
