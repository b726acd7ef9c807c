# Copyright glancetx contributors. See LICENSE for details.

"""
What a request is aimed at: one strict reading of its target and its host.

A path that a proxy in front and this server could understand differently is
refused, so that both always speak of the same resource.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from .refusal import Refusal

__all__ = ["check_host", "check_path", "origin_form"]

ABSOLUTE = re.compile(rb"https?://([^/?]+)(.*)", re.IGNORECASE | re.DOTALL)
HOST = re.compile(
    rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?", re.DOTALL
)
VISIBLE = re.compile(rb"[\x21-\x7e]+")
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """
    Take scheme and authority off a target (RFC 9112, 3.2.2).

    :returns: the target as it would stand behind a ``Host`` header; the authority if
        the target named one.
    :raises Refusal: if it is neither a path nor an http URI.
    """
    if target.startswith(b"/") or target == b"*":
        return target, None
    matched = ABSOLUTE.fullmatch(target)
    if matched is None:
        raise Refusal(400, "the request target must be a path, or an http URI")
    authority, rest = matched.groups()
    return (rest if rest.startswith(b"/") else b"/" + rest), authority


def check_path(target: bytes) -> None:
    """
    Refuse a path that can be read in two ways.

    :param target: as :func:`origin_form` gives it; its query is left alone.
    :raises Refusal: with the reason.
    """
    if VISIBLE.fullmatch(target) is None or b"#" in target:
        raise Refusal(400, "the request target has a character that is not allowed")
    path = target.split(b"?", 1)[0]
    if path == b"*":
        return
    if BAD_ESCAPE.search(path):
        raise Refusal(400, "a percent sign in the path must begin an escape")
    segments = [unquote_to_bytes(segment) for segment in path.split(b"/")[1:]]
    if b"" in segments[:-1]:
        raise Refusal(400, "the path must not have empty segments")
    for segment in segments:
        _check_segment(segment)


def _check_segment(segment: bytes) -> None:
    if segment in (b".", b".."):
        raise Refusal(400, "the path must not have dot segments")
    if b"/" in segment or b"\\" in segment:
        raise Refusal(400, "the path must not have escaped slashes or backslashes")
    if CONTROL.search(segment):
        raise Refusal(400, "the path must not have control characters")
    try:
        segment.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "the path must be UTF-8") from None


def check_host(version: bytes, hosts: Sequence[bytes], authority: bytes | None) -> None:
    """
    Want exactly one host (RFC 9112, 3.2); only HTTP/1.0 may leave it out.

    :param hosts: the values of all ``Host`` headers.
    :param authority: what an absolute target named, which must be the same.
    :raises Refusal: with the reason.
    """
    if len(hosts) > 1 or (not hosts and version != b"HTTP/1.0"):
        raise Refusal(400, "there must be exactly one Host header")
    for host in hosts:
        if HOST.fullmatch(host) is None:
            raise Refusal(400, "the Host header is not a host name or address")
        if authority is not None and host.lower() != authority.lower():
            raise Refusal(400, "the request target names another host than Host does")
    if authority is not None and HOST.fullmatch(authority) is None:
        raise Refusal(400, "the request target's host is not a name or address")
