# Copyright glancetx contributors. See LICENSE for details.

"""
Images on other servers: looked up, pinned, and read through the zone's cache.

Only servers of the configuration are ever asked, and a server's images are looked up
at its own address; only their bytes, which a digest proves, come by its ``via``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol

from attrs import evolve
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse

from . import __version__
from .answers import drop, read_json
from .caller import NOBODY, Caller
from .claims import Found, Nonsense, believe, said_in_headers, said_in_json
from .errors import (
    BadValue,
    IdentityUnavailable,
    OriginUnavailable,
    UnknownOrigin,
)
from .image import Pin, Visibility
from .interfaces import IPiece
from .layouts import own_etag
from .limits import Limits
from .outbound import Outbound, Peer, Settings, Unreachable
from .private import read_secret
from .streaming.digest import Digests
from .streaming.relay import RemotePiece
from .streaming.verify import Check
from .uris import Names, parse_base

__all__ = ["Origin", "OriginSettings", "Origins", "Seen"]

#: Bytes of a Glance's description of one image, at most.
DESCRIPTION = 1024 * 1024

Seen = Callable[[str, int], None]
"""Told an origin's name and how many bytes of a piece came from it."""

_OK = 200
_REDIRECTS = range(300, 400)
_HIDDEN = {401, 403, 404, 410}
# An image without bytes has no first one.
_READABLE = {200, 204, 206, 416}
# How a server that is no glancetx answers HEAD /images/ID: a Glance with the list of
# its API versions (300).
_NO_GLANCETX = {200, 300, 404, 405}


class OriginSettings(Settings, Protocol):
    """An ``[[origins]]`` entry, as the configuration has it."""

    @property
    def url(self) -> str:
        """What its URIs begin with."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """What else its URIs begin, or began, with."""

    @property
    def same_keystone(self) -> bool:
        """It knows callers by the same Keystone, so their tokens may be shown to it."""

    @property
    def credential_file(self) -> str | None:
        """What holds the token that this server shows to it."""

    @property
    def via(self) -> str | None:
        """The URL of the cache by which its bytes are read."""


OwnToken = Callable[[], Awaitable[str | None]]
"""Gives a token by which this server itself is known; ``None`` if it has none."""


def _ignore(origin: str, count: int) -> None:
    """Count nothing."""


async def _no_token() -> str | None:
    """This server has none."""
    return None


class Origin:
    """
    Another image server that this one may ask: a glancetx or a Glance.

    :ivar name: what errors and the log call it.
    :ivar names: what its URIs begin with.
    :ivar url: the one of them that pins carry.
    """

    log = Logger()

    def __init__(
        self,
        config: OriginSettings,
        outbound: Outbound,
        digests: Digests,
        clock: IReactorTime,
        limits: Limits,
        seen: Seen = _ignore,
        own_token: OwnToken = _no_token,
    ) -> None:
        """:param own_token: shown to origins of the same Keystone."""
        self.name = config.name
        self._same_keystone = config.same_keystone
        self._credential_file = config.credential_file
        self._own_token = own_token
        self.names = Names(config.url, config.aliases)
        base = self.names.bases[0]
        self.url = base.url
        self._authority = base.authority.encode("ascii")
        self._asked: IAgent = outbound.agent(config)
        self._read = self._asked
        self._front = self.url
        if config.via is not None:
            # By the cache alone: a proxy is for what is far away.
            self._read = outbound.agent(Peer(self.name, ca_file=config.ca_file))
            self._front = parse_base(config.via).url + "".join(
                f"/{part}" for part in base.path
            )
        self._digests = digests
        self._clock = clock
        self._limits = limits
        self._seen = seen

    async def look_up(
        self, image_id: str, caller: Caller = NOBODY, signature: str = ""
    ) -> Found:
        """
        Ask what an image is, now: at the origin itself and not out of a cache.

        It may be a parent if the origin shows it to anyone, to the caller (by his own
        token, if both servers have the same Keystone; or by a signed URL that he has),
        or calls it public. What this server itself may read proves nothing else.

        :param signature: the query of a signed URL of the image.
        :raises BadValue: (of ``parent_id``) if there is no such image that may be
            read, or it cannot be a parent.
        :raises OriginUnavailable: if there is no answer, or none that can be used.
        """
        seconds = self._limits.origin_seconds
        asking = Deferred.fromCoroutine(self._look_up(image_id, caller, signature))
        try:
            return await asking.addTimeout(seconds, self._clock)
        except TimeoutError:
            reason = f"no whole answer in {seconds} seconds"
            raise OriginUnavailable(self.name, reason) from None
        except Unreachable as problem:
            raise OriginUnavailable(self.name, problem.reason) from problem
        except Nonsense as problem:
            reason = f"what it says of image {image_id} cannot be used: {problem}"
            raise OriginUnavailable(self.name, reason) from None

    async def _look_up(self, image_id: str, caller: Caller, signature: str) -> Found:
        found = await self._ask(image_id)
        if found is not None:
            pin = evolve(found.pin, visibility=Visibility.PUBLIC, anonymous=True)
            return evolve(found, pin=pin)
        if found is None and self._same_keystone and caller.token is not None:
            found = await self._ask(image_id, caller.token)
            if found is not None and not await self._is_read(found.pin, caller.token):
                found = None
        if found is None and signature:
            found = await self._ask(image_id, query=f"?{signature}")
        if found is None:
            found = await self._ask_as_server(image_id)
        if found is None:
            raise BadValue(
                "parent_id",
                f"origin {self.name} has no image {image_id} that may be read",
            )
        return found

    async def _is_read(self, pin: Pin, token: str) -> bool:
        """Whether who is shown an image may read it, too; asks for its first byte."""
        response = await self.request(b"GET", pin.path, token, first_byte=True)
        drop(response)
        if response.code in _HIDDEN:
            return False
        if response.code not in _READABLE:
            raise self._refused(response.code)
        return True

    async def _ask_as_server(self, image_id: str) -> Found | None:
        """What is public there, but not shown to those without a token."""
        token = await self.credential()
        found = None if token is None else await self._ask(image_id, token)
        if found is None or not found.pin.visibility.is_public:
            return None
        return found

    async def credential(self) -> str | None:
        """
        The token by which this origin knows this server, if there is one.

        :raises OriginUnavailable: if there should be one, but it cannot be had.
        """
        try:
            if self._credential_file is not None:
                return read_secret(self._credential_file)
            return await self._own_token() if self._same_keystone else None
        except IdentityUnavailable as problem:
            reason = f"this server's own token for it cannot be had: {problem}"
            raise OriginUnavailable(self.name, reason) from problem
        except (OSError, ValueError) as problem:
            self.log.error(
                "origin {origin}: this server's own token cannot be had: {problem}",
                origin=self.name,
                problem=problem,
            )
            # Of our files, callers are told nothing.
            reason = "this server's own token for it cannot be had; its log says more"
            raise OriginUnavailable(self.name, reason) from problem

    async def _ask(
        self, image_id: str, token: str | None = None, query: str = ""
    ) -> Found | None:
        """What it says of an image, ``None`` if it does not show it."""
        where = f"origin {self.name}"
        path = f"/images/{image_id}"
        response = await self.request(b"HEAD", path + query, token)
        said = said_in_headers(response.headers) if response.code == _OK else None
        if said is not None:
            return believe(said, image_id, where, self.url, path)
        if response.code in _HIDDEN - _NO_GLANCETX:
            return None
        if response.code not in _NO_GLANCETX:
            raise self._refused(response.code)
        path = f"/v2/images/{image_id}"
        response = await self.request(b"GET", path, token)
        if response.code != _OK:
            drop(response)
            if response.code in _HIDDEN:
                return None
            raise self._refused(response.code)
        said = said_in_json(await read_json(response, DESCRIPTION, self.name))
        return believe(said, image_id, where, self.url, path + "/file")

    def request(
        self,
        method: bytes,
        path: str,
        token: str | None = None,
        body: IBodyProducer | None = None,
        first_byte: bool = False,
    ) -> Deferred[IResponse]:
        """
        Ask the origin itself.

        :param path: below its ``url``, with its query.
        :param token: shown to it, and to no one else.
        :param first_byte: no more of the answer is wanted.
        """
        headers = _headers(self._authority, token)
        headers.addRawHeader(b"accept", b"application/json")
        headers.addRawHeader(b"cache-control", b"no-cache")
        if body is not None:
            headers.addRawHeader(b"content-type", b"application/json")
        if first_byte:
            headers.addRawHeader(b"range", b"bytes=0-0")
        url = (self.url + path).encode("ascii")
        return self._asked.request(method, url, headers, body)

    def _refused(self, code: int) -> OriginUnavailable:
        if code in _REDIRECTS:
            reason = (
                f"it answered {code}, and redirects are not followed; if it moved, "
                "its new address must become the url of this origin"
            )
            return OriginUnavailable(self.name, reason)
        return OriginUnavailable(self.name, f"it answered {code}")

    def piece(self, pin: Pin) -> IPiece:
        """
        The bytes of an image that was looked up here once. Nothing is asked yet.

        A glancetx's ETag is known from the digest; a Glance gives none.
        """
        name = self.url + pin.path
        etag = own_etag(pin.digest) if pin.path == f"/images/{pin.image_id}" else None
        url = (self._front + pin.path).encode("ascii")

        async def request(start: int, stop: int) -> IResponse:
            token = None if pin.anonymous else await self.credential()
            headers = _headers(self._authority, token)
            if (start, stop) != (0, pin.size):
                headers.addRawHeader(b"range", b"bytes=%d-%d" % (start, stop - 1))
                if etag is not None:
                    headers.addRawHeader(b"if-range", etag)
            return await self._read.request(b"GET", url, headers)

        def ask(start: int, stop: int) -> Deferred[IResponse]:
            return Deferred.fromCoroutine(request(start, stop))

        return RemotePiece(
            name,
            pin.size,
            ask,
            self._digests,
            self._clock,
            checks=[Check(0, pin.size, pin.digest)],
            etag=etag,
            idle_seconds=self._limits.origin_seconds,
            tries=self._limits.origin_tries,
            seen=lambda count: self._seen(self.name, count),
        )


def _headers(authority: bytes, token: str | None) -> Headers:
    """
    What every request says.

    The host is the origin's, by its cache too: a cache that serves several origins
    tells them apart by it, it stores one copy for all who ask by this name, and the
    origin behind it is asked by a name that it knows.
    """
    headers = Headers(
        {
            b"host": [authority],
            b"user-agent": [b"glancetx/" + __version__.encode("ascii")],
            b"accept-encoding": [b"identity"],
        }
    )
    if token is not None:
        headers.setRawHeaders(b"x-auth-token", [token.encode("ascii")])
    return headers


class Origins:
    """The image servers of the configuration, and no others."""

    def __init__(
        self,
        configs: Iterable[OriginSettings],
        outbound: Outbound,
        digests: Digests,
        clock: IReactorTime,
        limits: Limits,
        seen: Seen = _ignore,
        own_token: OwnToken = _no_token,
    ) -> None:
        """
        :raises BadValue: if a URL of one cannot be used.
        :raises ConfigError: if a ``ca_file`` cannot be used.
        """
        self._origins = [
            Origin(config, outbound, digests, clock, limits, seen, own_token)
            for config in configs
        ]

    def __iter__(self) -> Iterator[Origin]:
        return iter(self._origins)

    def locate(self, uri: str) -> tuple[Origin, str] | None:
        """The origin whose image a URI names, and the image's id."""
        for origin in self._origins:
            image_id = origin.names.image_id(uri)
            if image_id is not None:
                return origin, image_id
        return None

    def get(self, url: str) -> Origin:
        """
        The origin that a pin names by the ``url`` that it has or had.

        :raises UnknownOrigin: if none has it among its names now.
        """
        for origin in self._origins:
            if origin.names.covers(url):
                return origin
        raise UnknownOrigin(url)
