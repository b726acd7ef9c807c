# Copyright glancetx contributors. See LICENSE for details.

"""
Whether a client's conditions on a body hold (RFC 9110, 13).
"""

from __future__ import annotations

import re
from datetime import datetime

from twisted.web.http import stringToDatetime
from twisted.web.http_headers import Headers

__all__ = ["applies_to_range", "has_conditions", "may_change", "precondition"]

TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def precondition(headers: Headers, etag: bytes, modified: datetime) -> int | None:
    """
    The conditions of a GET or HEAD, in the order of RFC 9110, 13.2.2.

    :param etag: the body's, strong.
    :returns: the status that answers the request instead of its body, if any.
    """
    last = int(modified.timestamp())
    if (wanted := _joined(headers, b"If-Match")) is not None:
        if not _matches(wanted, etag, weak=False):
            return 412
    elif (date := _date(headers, b"If-Unmodified-Since")) is not None and last > date:
        return 412
    if (known := _joined(headers, b"If-None-Match")) is not None:
        return 304 if _matches(known, etag, weak=True) else None
    if (date := _date(headers, b"If-Modified-Since")) is not None and last <= date:
        return 304
    return None


def may_change(headers: Headers, etag: bytes | None) -> bool:
    """
    Whether a PUT or DELETE meets the image that its client means (RFC 9110, 13.1.1
    and 13.1.2).

    :param etag: of the image's bytes, ``None`` if it has none.
    """
    wanted = _joined(headers, b"If-Match")
    if wanted is not None and (etag is None or not _matches(wanted, etag, weak=False)):
        return False
    unwanted = _joined(headers, b"If-None-Match")
    if unwanted is None or etag is None:
        return True
    return not _matches(unwanted, etag, weak=True)


def has_conditions(headers: Headers) -> bool:
    """Whether :func:`may_change` must be asked."""
    return headers.hasHeader(b"If-Match") or headers.hasHeader(b"If-None-Match")


def applies_to_range(headers: Headers, etag: bytes) -> bool:
    """
    Whether ``If-Range`` lets a range be sent (RFC 9110, 13.1.5).

    Only an ETag can: a date is no strong validator of bytes that two servers hold.
    """
    value = _joined(headers, b"If-Range")
    return value is None or value == etag


def _matches(value: bytes, etag: bytes, weak: bool) -> bool:
    if value.strip() == b"*":
        return True
    tags = TAG.findall(value)
    return etag in ([tag.removeprefix(b"W/") for tag in tags] if weak else tags)


def _joined(headers: Headers, name: bytes) -> bytes | None:
    values = headers.getRawHeaders(name)
    return b", ".join(values) if values else None


def _date(headers: Headers, name: bytes) -> int | None:
    value = _joined(headers, name)
    if value is None:
        return None
    try:
        seconds: int = stringToDatetime(value)
    except (ValueError, IndexError, OverflowError):
        return None  # "MUST ignore": RFC 9110, 13.1.3
    return seconds
