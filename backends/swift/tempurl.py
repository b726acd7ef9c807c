# Copyright glancetx contributors. See LICENSE for details.

"""
URLs at which one object can be read for a while without a token (Object Storage API,
"Temporary URL middleware").
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from twisted.internet.defer import Deferred
from zope.interface import implementer

from glancetx.errors import StoreUnavailable
from glancetx.interfaces import ILocatedPiece
from glancetx.times import utcnow

from .reading import Piece

__all__ = ["BUCKET", "LocatedPiece", "sign"]

#: Seconds in which all are given the same URL, so that it can be cached.
BUCKET = 300


def sign(account: str, path: str, key: str, seconds: int, now: float) -> str:
    """
    The URL by which an object can be read.

    :param account: the account's URL.
    :param path: container and object, not quoted.
    :param key: the account's own: that of a container is good for no other, in which
        segments may be.
    :param seconds: how long it is good at least; five minutes more at most.
    :param now: the time of day, in seconds.
    """
    ends = (int(now) // BUCKET + 1) * BUCKET + seconds
    signed = f"GET\n{ends}\n{urlsplit(account).path}/{path}"
    found = hmac.new(key.encode("utf-8"), signed.encode("utf-8"), sha256).hexdigest()
    query = f"temp_url_sig={found}&temp_url_expires={ends}"
    return f"{account}/{quote(path)}?{query}"


@implementer(ILocatedPiece)
class LocatedPiece(Piece):
    """A piece that readers are sent to."""

    def __init__(self, *piece: Any, secret: str, seconds: int) -> None:
        """:param secret: what URLs are signed with that are good for these seconds."""
        super().__init__(*piece)
        self._secret = secret
        self._seconds = seconds

    def location(self) -> Deferred[str | None]:
        return Deferred.fromCoroutine(self._find())

    async def _find(self) -> str | None:
        try:
            account = await self.calls.account_url()
        except StoreUnavailable:
            return None  # to read it here will say why
        now = utcnow().timestamp()
        return sign(account, self.path, self._secret, self._seconds, now)
