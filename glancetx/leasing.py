# Copyright glancetx contributors. See LICENSE for details.

"""
Leases of images on other servers: taken, renewed, ended.

A lease says to another glancetx that one of its images is needed here, so that it is
not deleted there. A Glance knows no such thing.
"""

from __future__ import annotations

from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IBodyProducer, IResponse

from .answers import drop, read_json
from .errors import OriginUnavailable
from .image import Digest
from .json_body import JsonBody
from .limits import Limits
from .origins import Origin

__all__ = ["Leasing", "Outcome", "Standing"]

#: Bytes of what a server says of a lease, at most.
ANSWER = 64 * 1024

_GIVEN = {200, 201}
_ENDED = {204, 404}
_HIDDEN = {401, 403}
_BUSY = {408, 413, 425, 429, 500, 502, 503, 504}
_CONFLICT = 409
_MISSING = 404

T = TypeVar("T")


class Standing(StrEnum):
    """How it stands with the lease of an image elsewhere."""

    HELD = "held"
    EXPIRED = "expired"
    WANTED = "wanted"
    IMPOSSIBLE = "impossible"
    LOST = "lost"

    @property
    def guards(self) -> bool:
        """Whether the image is safe: an expired lease guards, too."""
        return self in (Standing.HELD, Standing.EXPIRED)


@frozen
class Outcome:
    """
    What a server made of the wish for a lease.

    :ivar standing: held, impossible or lost.
    :ivar reason: a sentence about why it was not given.
    :ivar seconds: for which it was given.
    :ivar hidden: it may be lost, or not to be seen by this server.
    """

    standing: Standing
    reason: str | None = None
    seconds: int = 0
    hidden: bool = False


class Leasing:
    """Asks origins for leases, each within ``limits.origin_seconds``."""

    def __init__(self, url: str, clock: IReactorTime, limits: Limits) -> None:
        """:param url: where this server is, for those who look at its leases."""
        self._url = url
        self._clock = clock
        self._seconds = limits.origin_seconds
        self._life = limits.lease_seconds

    async def take(
        self, origin: Origin, image_id: str, holder: str, digest: Digest
    ) -> Outcome:
        """
        Take a lease, or renew it.

        :param holder: the id of this server.
        :param digest: of the bytes that are needed here.
        :raises OriginUnavailable: if there is no answer now.
        """
        return await self._timed(origin, self._take(origin, image_id, holder, digest))

    async def end(self, origin: Origin, image_id: str, holder: str) -> str | None:
        """
        End a lease; one that is not there is no error.

        :returns: why it was not ended, ``None`` if there is none any more.
        :raises OriginUnavailable: if there is no answer now.
        """
        return await self._timed(origin, self._end(origin, image_id, holder))

    async def _take(
        self, origin: Origin, image_id: str, holder: str, digest: Digest
    ) -> Outcome:
        wish = {
            "digest": {"algorithm": digest.algorithm, "value": digest.value},
            "seconds": self._life,
            "url": self._url,
        }
        path = _path(image_id, holder)
        response = await self._ask(origin, b"PUT", path, JsonBody(wish))
        if response.code in _GIVEN:
            said = await read_json(response, ANSWER, origin.name)
            return Outcome(Standing.HELD, seconds=self._granted(said))
        drop(response)
        if response.code in _BUSY:
            raise _unavailable(origin, response)
        if response.code == _CONFLICT:
            return Outcome(Standing.LOST, "it says that the image has not these bytes")
        if response.code == _MISSING:
            return await self._missing(origin, image_id)
        return Outcome(Standing.IMPOSSIBLE, _refusal(response.code))

    async def _missing(self, origin: Origin, image_id: str) -> Outcome:
        """Whether it is the image that is missing, or a server that gives leases."""
        response = await self._ask(origin, b"HEAD", f"/images/{image_id}")
        if response.code in _BUSY:
            raise _unavailable(origin, response)
        if response.headers.hasHeader(b"x-image-meta-id"):
            return Outcome(Standing.IMPOSSIBLE, "it gives no leases")
        reason = "it has no such image, or does not show it to this server"
        return Outcome(Standing.LOST, reason, hidden=True)

    async def _end(self, origin: Origin, image_id: str, holder: str) -> str | None:
        response = await self._ask(origin, b"DELETE", _path(image_id, holder))
        drop(response)
        if response.code in _BUSY:
            raise _unavailable(origin, response)
        return None if response.code in _ENDED else _refusal(response.code)

    async def _ask(
        self,
        origin: Origin,
        method: bytes,
        path: str,
        body: IBodyProducer | None = None,
    ) -> IResponse:
        token = await origin.credential()
        return await origin.request(method, path, token, body)

    def _granted(self, said: dict[str, Any]) -> int:
        """
        For how long a lease was given, by the server's clock as little as by ours.
        """
        lease = said.get("lease")
        seconds = lease.get("seconds") if isinstance(lease, dict) else None
        if type(seconds) is not int or not 0 < seconds < self._life:
            return self._life
        return seconds

    async def _timed(self, origin: Origin, asking: Coroutine[Any, Any, T]) -> T:
        asked = Deferred.fromCoroutine(asking)
        try:
            return await asked.addTimeout(self._seconds, self._clock)
        except TimeoutError:
            reason = f"no whole answer in {self._seconds} seconds"
            raise OriginUnavailable(origin.name, reason) from None


def _path(image_id: str, holder: str) -> str:
    return f"/images/{image_id}/leases/{holder}"


def _refusal(code: int) -> str:
    if code in _HIDDEN:
        return (
            f"it answered {code}; it wants a token of this server that may lease the "
            "image: credential_file of the origin"
        )
    return f"it answered {code}"


def _unavailable(origin: Origin, response: IResponse) -> OriginUnavailable:
    return OriginUnavailable(origin.name, f"it answered {response.code}")
