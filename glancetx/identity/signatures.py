# Copyright glancetx contributors. See LICENSE for details.

"""
Signed URLs: for clients that have no token, one image, one address and some hours.

The signature covers everything that changes what a request does, each part with its
length before it, so that no two requests have the same text to be signed. Nothing else
may stand in the query of a signed URL.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from glancetx.caller import Grant
from glancetx.errors import BadValue, NotAuthenticated
from glancetx.times import utcnow
from glancetx.uris import is_image_id

from .keyfile import SigningKey, read_keys

__all__ = ["LONGEST", "Signatures", "is_signature", "is_signed"]

LONGEST = timedelta(hours=24)
"""How long a signed URL may be good."""

SKEW = timedelta(seconds=60)
"""By how much the clocks of two servers may differ."""

Arguments = Mapping[bytes, Sequence[bytes]]

_VERSION = "gtx1"
_SIGNATURE = "gtx_sig"
_GET = ("gtx_key", "gtx_method", "gtx_expires", "gtx_digest")
_PUT = (*_GET, "gtx_size")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_WHOLE = re.compile(r"(?:/v1)?/images/([^/]+)|/v2/images/([^/]+)/file")
_JOINED = re.compile(r"(?:/v1)?/images/([^/]+)/(?:chain|stream|chain\.tar)")
_QUERY = re.compile(r"[A-Za-z0-9_.~:%+=&-]{1,1024}")
_SHOWN = 64

_NO_KEY = SigningKey("", bytes(32))
"""Signs where a key is unknown, so that this takes no less time."""


def is_signed(arguments: Arguments) -> bool:
    """Whether the query of a request has a signature, good or not."""
    return _SIGNATURE.encode("ascii") in arguments


def is_signature(query: str) -> bool:
    """Whether a query is that of a signed URL to read from, and nothing more."""
    if _QUERY.fullmatch(query) is None:  # it becomes a part of another request
        return False
    try:
        found = parse_qsl(query, strict_parsing=True, max_num_fields=len(_GET) + 1)
    except ValueError:
        return False
    return sorted(name for name, _ in found) == sorted((*_GET, _SIGNATURE))


class Signatures:
    """Makes signed URLs and checks them: the first key signs, each may have signed."""

    def __init__(self, path: str | None, now: Callable[[], datetime] = utcnow) -> None:
        """
        :param path: of the file of keys; without one, no signature is good.
        :raises ConfigError: if the file cannot be used, or has no key.
        """
        self._path = path
        self._now = now
        self._keys: Mapping[str, SigningKey] = {}
        self.reload()

    def reload(self) -> None:
        """
        Read the keys again.

        :raises ConfigError: if the file cannot be used; the old keys stay then.
        """
        if self._path is not None:
            self._keys = {key.id: key for key in read_keys(self._path)}

    def sign(self, grant: Grant, path: str, lifetime: timedelta) -> str:
        """
        The query that makes a path a signed URL.

        :param path: of the image's bytes at this server, without its query.
        :raises BadValue: if there is no key, or this cannot be signed.
        """
        if not self._keys:
            raise BadValue("signing_keys_file", "is needed to sign with")
        if not timedelta() < lifetime <= LONGEST:
            raise BadValue("expires", "must be more than nothing, and at most 24 hours")
        problem = _problem(grant, path)
        if problem is not None:
            raise BadValue(*problem)
        key = next(iter(self._keys.values()))
        facts = {
            "gtx_key": key.id,
            "gtx_method": grant.method,
            "gtx_expires": str(int((self._now() + lifetime).timestamp())),
            "gtx_digest": grant.digest,
        }
        if grant.size is not None:
            facts["gtx_size"] = str(grant.size)
        return urlencode({**facts, _SIGNATURE: _mac(key, path, facts)}, safe=":")

    def verify(self, method: str, path: str, arguments: Arguments) -> Grant:
        """
        What a signed request may do.

        :param path: of the request, without its query.
        :param arguments: its query.
        :raises NotAuthenticated: if its signature is not good, not for this request,
            or no longer good.
        """
        if not self._keys:
            raise NotAuthenticated("this server takes no signed URLs")
        facts = _facts(arguments)
        key = self._keys.get(facts["gtx_key"])
        expected = _mac(key or _NO_KEY, path, facts)
        same = hmac.compare_digest(expected, facts[_SIGNATURE])
        if key is None or not same:
            raise NotAuthenticated(
                "the signature of this URL is not good: the URL was changed, or signed "
                "with a key that this server does not have"
            )
        self._check_time(int(facts["gtx_expires"]))
        signed = facts["gtx_method"]
        if {"HEAD": "GET"}.get(method, method) != signed:
            raise NotAuthenticated(f"this URL is signed for {signed}, not for {method}")
        size = facts.get("gtx_size")
        grant = Grant(
            method=signed,
            image_id=_image_of(path) or "",
            digest=facts["gtx_digest"],
            size=None if size is None else int(size),
        )
        problem = _problem(grant, path)
        if problem is not None:  # another program signed it, with our key
            raise NotAuthenticated(f"this URL cannot be used: {': '.join(problem)}")
        return grant

    def _check_time(self, expires: int) -> None:
        now = self._now()
        if expires < (now - SKEW).timestamp():
            when = datetime.fromtimestamp(expires, UTC)
            raise NotAuthenticated(f"this signed URL expired at {when}")
        if expires > (now + LONGEST + SKEW).timestamp():
            raise NotAuthenticated("this signed URL is good for more than 24 hours")


def _image_of(path: str) -> str | None:
    """The image whose bytes are at a path."""
    found = _WHOLE.fullmatch(path) or _JOINED.fullmatch(path)
    image_id = None if found is None else next(filter(None, found.groups()))
    return image_id if image_id is not None and is_image_id(image_id) else None


def _problem(grant: Grant, path: str) -> tuple[str, str] | None:
    """What of a grant cannot be signed, and why."""
    needs_size = grant.method == "PUT"
    checks = (
        (
            _image_of(path) == grant.image_id,
            ("path", f"{path} is no address of the bytes of image {grant.image_id}"),
        ),
        (
            grant.method in ("GET", "PUT"),
            ("method", "must be GET, which is for HEAD as well, or PUT"),
        ),
        (
            not needs_size or _WHOLE.fullmatch(path) is not None,
            ("path", f"{path} is not where an image's bytes are put"),
        ),
        (
            _DIGEST.fullmatch(grant.digest) is not None,
            ("digest", "must be sha256: or sha512: and hexadecimal digits"),
        ),
        (
            needs_size == (grant.size is not None),
            ("size", "is needed to PUT, and for nothing else"),
        ),
    )
    return next((problem for right, problem in checks if not right), None)


def _facts(arguments: Arguments) -> dict[str, str]:
    """
    What the query of a signed URL says.

    :raises NotAuthenticated: if something is missing, given twice, or one too many.
    """
    put = list(arguments.get(b"gtx_method", ())) == [b"PUT"]
    needed = (*(_PUT if put else _GET), _SIGNATURE)
    facts = {
        name: _single(name, arguments.get(name.encode("ascii"), ())) for name in needed
    }
    for given in arguments:
        name = given.decode("ascii", "backslashreplace")
        if name not in facts:
            raise NotAuthenticated(
                f"{name[:_SHOWN]} cannot be in the query of a signed URL, which has "
                "what was signed and nothing else"
            )
    for name in ("gtx_expires", "gtx_size"):
        if name in facts and _NUMBER.fullmatch(facts[name]) is None:
            raise NotAuthenticated(f"{name} must be a whole number")
    return facts


def _single(name: str, values: Sequence[bytes]) -> str:
    if len(values) != 1:
        how = "more than once" if values else "not at all"
        raise NotAuthenticated(f"{name} is given {how} in this signed URL")
    if not values[0].isascii():
        raise NotAuthenticated(f"{name} must be ASCII")
    return values[0].decode("ascii")


def _mac(key: SigningKey, path: str, facts: Mapping[str, str]) -> str:
    parts = [_VERSION, path, *(facts.get(name, "") for name in _PUT)]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.new(key.secret, text.encode("utf-8"), sha256).hexdigest()
