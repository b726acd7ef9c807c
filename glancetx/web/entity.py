# Copyright glancetx contributors. See LICENSE for details.

"""
Sends bodies: validators, conditions, ranges and cache rules, in one place for all.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import cast
from uuid import uuid4

from attrs import frozen
from twisted.web.http import datetimeToString

from glancetx.errors import ReaderGone
from glancetx.image import Digest
from glancetx.interfaces import ILocatedPiece
from glancetx.layouts import Layout
from glancetx.limits import Limits
from glancetx.streaming.player import Player
from glancetx.streaming.segments import Literal, Segment, Slice

from .bodies import cache_rule
from .conditions import applies_to_range, precondition
from .problems import answer_problem
from .ranges import UNSATISFIABLE, parse_ranges
from .request import Request

__all__ = ["READING", "Sender"]

#: Statuses of answers that send the bytes of images, or why they do not.
READING = (200, 204, 206, 302, 304, 409, 412, 416)

NONE: Mapping[bytes, bytes] = {}
PUBLIC = b"public, max-age=60"
REVALIDATED = b"no-cache"
REPRESENTATION_DIGESTS = {"sha256": "sha-256", "sha512": "sha-512"}


@frozen
class _Cut:
    """What is sent of a layout: ``None`` as a range is all of it."""

    status: int
    segments: Sequence[Segment]
    headers: Mapping[bytes, bytes]

    @property
    def length(self) -> int:
        return sum(segment.length for segment in self.segments)


class Sender:
    """Answers GET and HEAD with layouts."""

    def __init__(self, player: Player, limits: Limits, open_door: bool) -> None:
        """:param open_door: public images are for everyone, known or not."""
        self._player = player
        self._limits = limits
        self._open_door = open_door

    async def send(
        self,
        request: Request,
        layout: Layout,
        headers: Mapping[bytes, bytes] = NONE,
        whole: Mapping[bytes, bytes] = NONE,
    ) -> bytes | None:
        """
        Send a layout, or what the request wants of it.

        A failure before the first byte is raised; one after it cuts the connection.

        :param headers: of an answer that has a body, besides those of the layout.
        :param whole: those of an answer with all of the layout, besides.
        :returns: the body of an answer that is not streamed.
        """
        status = precondition(request.requestHeaders, layout.etag, layout.modified)
        if status == 412:
            message = "the body is not the one that the condition names"
            return answer_problem(request, 412, message)
        self._set(request, self._validators(request, layout))
        if status == 304:
            request.setResponseCode(304)
            return b""
        cut = self._cut(request, layout)
        if cut is None:
            return _unsatisfiable(request, layout)
        location = await _location(request, layout)
        if location is not None:
            return _moved(request, location)
        self._set(request, headers)
        self._set(request, whole if cut.status == 200 else NONE)
        self._set(request, _representation(layout))
        self._set(request, cut.headers)
        request.setResponseCode(cut.status)
        request.setHeader(b"Content-Length", b"%d" % cut.length)
        if request.method == b"HEAD":
            return b""
        await self._play(request, layout, cut)
        return None

    async def _play(self, request: Request, layout: Layout, cut: _Cut) -> None:
        playback = await self._player.open(cut.segments)
        request.layout = layout.kind
        try:
            await playback.play(request)
        except ReaderGone:
            return
        finally:
            playback.close()

    def _cut(self, request: Request, layout: Layout) -> _Cut | None:
        size = layout.segments.length
        ranges = self._ranges(request, layout)
        if ranges is None:
            headers = {b"Content-Type": layout.media_type}
            return _Cut(200, layout.segments.cut(0, size), headers)
        if ranges == UNSATISFIABLE:
            return None
        if len(ranges) > 1:
            return _multipart(layout, ranges)
        start, stop = ranges[0]
        headers = {
            b"Content-Type": layout.media_type,
            b"Content-Range": _content_range(start, stop, size),
        }
        return _Cut(206, layout.segments.cut(start, stop), headers)

    def _ranges(
        self, request: Request, layout: Layout
    ) -> tuple[tuple[int, int], ...] | None:
        values = request.requestHeaders.getRawHeaders(b"Range")
        if not values or request.method != b"GET":
            return None
        if len(values) > 1 or not applies_to_range(request.requestHeaders, layout.etag):
            return None
        return parse_ranges(values[0], layout.segments.length, self._limits.ranges)

    def _validators(self, request: Request, layout: Layout) -> dict[bytes, bytes]:
        control = cache_rule(request)
        if layout.public and self._open_door:
            control = PUBLIC if layout.kind == "own" else REVALIDATED
        return {
            b"ETag": layout.etag,
            b"Last-Modified": datetimeToString(int(layout.modified.timestamp())),
            b"Cache-Control": control,
        }

    @staticmethod
    def _set(request: Request, headers: Mapping[bytes, bytes]) -> None:
        for name, value in headers.items():
            request.setHeader(name, value)


async def _location(request: Request, layout: Layout) -> str | None:
    """
    Where a client may be sent for the same bytes: one who asks for one whole piece
    that lies elsewhere, and whose request means there what it means here.

    A cache is never sent away, since it would keep the answer for others. Our own
    programs follow no redirects; and nobody else has our ETags.
    """
    headers = request.requestHeaders
    agent = request.getHeader(b"User-Agent") or b""
    if request.method != b"GET" or layout.kind != "own":
        return None
    if agent.startswith(b"glancetx/") or any(map(headers.hasHeader, _STAYING)):
        return None
    segments = layout.segments.cut(0, layout.segments.length)
    if len(segments) != 1 or not isinstance(segments[0], Slice):
        return None
    piece = segments[0].piece
    located = ILocatedPiece.providedBy(piece) and segments[0].length == piece.size
    return await cast(ILocatedPiece, piece).location() if located else None


_STAYING = (
    b"Via",
    b"If-Match",
    b"If-None-Match",
    b"If-Modified-Since",
    b"If-Unmodified-Since",
    b"If-Range",
    b"Content-Range",  # an old spelling of Range, which only we understand
)


def _moved(request: Request, location: str) -> bytes:
    """Send a client elsewhere, this once (RFC 9110, 15.4.3)."""
    request.setResponseCode(302)
    request.setHeader(b"Location", location.encode("ascii"))
    request.setHeader(b"Content-Length", b"0")
    request.setHeader(b"Cache-Control", b"no-store")
    for name in (b"ETag", b"Last-Modified"):
        request.responseHeaders.removeHeader(name)
    return b""


def _representation(layout: Layout) -> dict[bytes, bytes]:
    headers = {b"Accept-Ranges": b"bytes"}
    if layout.digest is not None:
        headers[b"Repr-Digest"] = _repr_digest(layout.digest)
    return headers


def _repr_digest(digest: Digest) -> bytes:
    """The digest as a dictionary member of bytes (RFC 9530, 3)."""
    name = REPRESENTATION_DIGESTS[digest.algorithm].encode("ascii")
    return name + b"=:" + b64encode(bytes.fromhex(digest.value)) + b":"


def _content_range(start: int, stop: int, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (start, stop - 1, size)


def _multipart(layout: Layout, ranges: Sequence[tuple[int, int]]) -> _Cut:
    """Several ranges as ``multipart/byteranges`` (RFC 9110, 14.6)."""
    boundary = uuid4().hex.encode("ascii")
    segments: list[Segment] = []
    for start, stop in ranges:
        head = b"\r\n--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n" % (
            boundary,
            layout.media_type,
            _content_range(start, stop, layout.segments.length),
        )
        segments.append(Literal(head))
        segments += layout.segments.cut(start, stop)
    segments.append(Literal(b"\r\n--%s--\r\n" % boundary))
    media_type = b"multipart/byteranges; boundary=" + boundary
    return _Cut(206, segments, {b"Content-Type": media_type})


def _unsatisfiable(request: Request, layout: Layout) -> bytes:
    size = layout.segments.length
    body = answer_problem(request, 416, f"no range is within the {size} bytes")
    request.setHeader(b"Content-Range", b"bytes */%d" % size)
    return body
