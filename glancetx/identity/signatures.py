# Copyright glancetx contributors. See LICENSE for details.

"""
Signed URLs: for clients that have no token, one image, one address and some hours.

The signature covers everything that changes what a request does, each part with its
length before it, so that no two requests have the same text to be signed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from glancetx.caller import Grant
from glancetx.errors import NotAuthenticated

__all__ = ["LONGEST", "Signatures", "is_signature", "is_signed"]

#: Seconds that a signed URL may be good for.
LONGEST = 24 * 3600
#: Seconds by which two servers' clocks may differ.
SKEW = 60

_VERSION = "gtx1"
_FIELDS = ("gtx_key", "gtx_method", "gtx_expires", "gtx_digest", "gtx_size")
_SIGNATURE = "gtx_sig"
_NUMBER = re.compile(r"[0-9]{1,19}")
_PATH = re.compile(
    r"(?:/v1)?/images/([0-9a-f-]{36})(?:/chain|/stream|/chain\.tar)?"
    r"|/v2/images/([0-9a-f-]{36})/file"
)

Arguments = Mapping[bytes, Sequence[bytes]]


def is_signed(arguments: Arguments) -> bool:
    """Whether the query of a request has a signature, good or not."""
    return _SIGNATURE.encode("ascii") in arguments


def is_signature(query: str) -> bool:
    """Whether a query is that of a signed URL to read from, and nothing more."""
    try:
        found = parse_qsl(query, strict_parsing=True, max_num_fields=len(_FIELDS) + 1)
    except ValueError:
        return False
    wanted = {_SIGNATURE, *_FIELDS} - {"gtx_size"}
    return query.isascii() and {name for name, _ in found} == wanted


class Signatures:
    """
    Makes signed URLs and checks them.

    :param keys: by id; the first one signs, all are good to check with.
    """

    def __init__(self, keys: Mapping[str, bytes], now: Callable[[], datetime]) -> None:
        self._keys = dict(keys)
        self._now = now

    def sign(self, grant: Grant, path: str, seconds: int) -> str:
        """
        The query that makes a path a signed URL.

        :param path: of the image's bytes at this server, without its query.
        :param seconds: how long it is good.
        :raises ValueError: if there is no key, the path is not the image's, or the
            time too long.
        """
        if not self._keys:
            raise ValueError("there is no key to sign with")
        if _image_of(path) != grant.image_id:
            raise ValueError(f"{path} is no address of the bytes of {grant.image_id}")
        if not 0 < seconds <= LONGEST:
            raise ValueError(f"a signed URL is good for 1 to {LONGEST} seconds")
        key = next(iter(self._keys))
        facts = {
            "gtx_key": key,
            "gtx_method": grant.method,
            "gtx_expires": str(int(self._now().timestamp()) + seconds),
            "gtx_digest": grant.digest,
        }
        if grant.size is not None:
            facts["gtx_size"] = str(grant.size)
        facts[_SIGNATURE] = _mac(self._keys[key], path, facts)
        return urlencode(facts)

    def verify(self, method: str, path: str, arguments: Arguments) -> Grant:
        """
        What a signed request may do.

        :raises NotAuthenticated: if its signature is not good, or not for this.
        """
        facts = _facts(arguments)
        key = self._keys.get(facts.get("gtx_key", ""))
        expected = _mac(key or b"", path, facts)
        given = facts.get(_SIGNATURE, "")
        same = hmac.compare_digest(expected.encode(), given.encode("utf-8"))
        image_id = _image_of(path)
        if key is None or not same or image_id is None:
            raise NotAuthenticated("the signature of this URL is not good")
        self._check_time(facts)
        signed = facts["gtx_method"]
        if {"HEAD": "GET"}.get(method, method) != signed:
            raise NotAuthenticated(f"this URL is signed for {signed}, not for {method}")
        size = facts.get("gtx_size")
        return Grant(
            method=signed,
            image_id=image_id,
            digest=facts["gtx_digest"],
            size=None if size is None else int(size),
        )

    def _check_time(self, facts: Mapping[str, str]) -> None:
        left = int(facts["gtx_expires"]) - self._now().timestamp()
        if left < -SKEW:
            raise NotAuthenticated("the signature of this URL has expired")
        if left > LONGEST + SKEW:
            raise NotAuthenticated("the signature of this URL is good for too long")


def _image_of(path: str) -> str | None:
    found = _PATH.fullmatch(path)
    return None if found is None else found[1] or found[2]


def _facts(arguments: Arguments) -> dict[str, str]:
    """:raises NotAuthenticated: if one is missing, given twice or no text."""
    facts = {}
    for name in (*_FIELDS, _SIGNATURE):
        values = arguments.get(name.encode("ascii"), ())
        if len(values) > 1:
            raise NotAuthenticated(f"{name} is given more than once")
        if values:
            facts[name] = values[0].decode("utf-8", "replace")
        elif name != "gtx_size":
            raise NotAuthenticated(f"{name} is missing from the signed URL")
    for name in ("gtx_expires", "gtx_size"):
        if name in facts and not _NUMBER.fullmatch(facts[name]):
            raise NotAuthenticated(f"{name} must be a number")
    return facts


def _mac(key: bytes, path: str, facts: Mapping[str, str]) -> str:
    parts = [_VERSION, path, *(facts.get(name, "") for name in _FIELDS)]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.new(key, text.encode("utf-8"), sha256).hexdigest()
