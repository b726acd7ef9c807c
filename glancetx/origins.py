# Copyright glancetx contributors. See LICENSE for details.

"""
Images on other servers: looked up, pinned, and read through the zone's cache.

Only servers of the configuration are ever asked, and a server's images are looked up
at its own address; only their bytes, which a digest proves, come by its ``via``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from . import __version__
from .answers import drop, read_json
from .claims import Found, Nonsense, believe, said_in_headers, said_in_json
from .errors import BadValue, GlancetxError, OriginUnavailable, UnknownOrigin
from .image import Pin
from .interfaces import IPiece
from .layouts import own_etag
from .limits import Limits
from .outbound import Outbound, Peer, Settings, Unreachable
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
    def via(self) -> str | None:
        """The URL of the cache by which its bytes are read."""


def _ignore(origin: str, count: int) -> None:
    """Count nothing."""


class Origin:
    """
    Another image server that this one may ask: a glancetx or a Glance.

    :ivar name: what errors and the log call it.
    :ivar names: what its URIs begin with.
    :ivar url: the one of them that pins carry.
    """

    def __init__(
        self,
        config: OriginSettings,
        outbound: Outbound,
        digests: Digests,
        clock: IReactorTime,
        limits: Limits,
        seen: Seen = _ignore,
    ) -> None:
        self.name = config.name
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

    async def look_up(self, image_id: str) -> Found:
        """
        Ask what an image is, now: at the origin itself and not out of a cache.

        :raises BadValue: (of ``parent_id``) if there is no such image that may be
            read, or it cannot be a parent.
        :raises OriginUnavailable: if there is no answer, or none that can be used.
        """
        seconds = self._limits.origin_seconds
        asking = Deferred.fromCoroutine(self._look_up(image_id))
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

    async def _look_up(self, image_id: str) -> Found:
        where = f"origin {self.name}"
        path = f"/images/{image_id}"
        response = await self._send(b"HEAD", path)
        said = said_in_headers(response.headers) if response.code == _OK else None
        if said is not None:
            return believe(said, image_id, where, self.url, path)
        if response.code not in _NO_GLANCETX:
            raise self._refused(response.code, image_id)
        path = f"/v2/images/{image_id}"
        response = await self._send(b"GET", path)
        if response.code != _OK:
            drop(response)
            raise self._refused(response.code, image_id)
        said = said_in_json(await read_json(response, DESCRIPTION, self.name))
        return believe(said, image_id, where, self.url, path + "/file")

    def _send(self, method: bytes, path: str) -> Deferred[IResponse]:
        headers = _headers(self._authority)
        headers.addRawHeader(b"accept", b"application/json")
        headers.addRawHeader(b"cache-control", b"no-cache")
        return self._asked.request(method, (self.url + path).encode("ascii"), headers)

    def _refused(self, code: int, image_id: str) -> GlancetxError:
        if code in _HIDDEN:
            return BadValue(
                "parent_id",
                f"origin {self.name} has no image {image_id} that may be read",
            )
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

        def ask(start: int, stop: int) -> Deferred[IResponse]:
            headers = _headers(self._authority)
            if (start, stop) != (0, pin.size):
                headers.addRawHeader(b"range", b"bytes=%d-%d" % (start, stop - 1))
                if etag is not None:
                    headers.addRawHeader(b"if-range", etag)
            return self._read.request(b"GET", url, headers)

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


def _headers(authority: bytes) -> Headers:
    """
    What every request says.

    The host is the origin's, by its cache too: a cache that serves several origins
    tells them apart by it, it stores one copy for all who ask by this name, and the
    origin behind it is asked by a name that it knows.
    """
    return Headers(
        {
            b"host": [authority],
            b"user-agent": [b"glancetx/" + __version__.encode("ascii")],
            b"accept-encoding": [b"identity"],
        }
    )


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
    ) -> None:
        """
        :raises BadValue: if a URL of one cannot be used.
        :raises ConfigError: if a ``ca_file`` cannot be used.
        """
        self._origins = [
            Origin(config, outbound, digests, clock, limits, seen) for config in configs
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
