# Copyright glancetx contributors. See LICENSE for details.

"""
Whether an HTTP answer is the one that was asked for (RFC 9110, 14.4 and 15.3).
"""

from __future__ import annotations

from attrs import frozen
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from glancetx.errors import NoSuchPiece, OriginUnavailable, PieceCorrupt

__all__ = ["Answer", "Unready", "check_answer"]

OK, PARTIAL = 200, 206
GONE = {404, 410}
BUSY = {408, 425, 429, 500, 502, 503, 504}


class Unready(Exception):
    """The server cannot answer now, but may when it is asked again."""


@frozen
class Answer:
    """
    What was asked for.

    :ivar name: of the piece, for errors.
    :ivar size: bytes of the whole piece.
    :ivar etag: what the server must say it is, ``None`` if that is not known.
    """

    name: str
    start: int
    stop: int
    size: int
    etag: bytes | None

    @property
    def whole(self) -> bool:
        return self.start == 0 and self.stop == self.size


def check_answer(response: IResponse, asked: Answer) -> bytes | None:
    """
    Let only the right answer pass.

    :returns: its ETag, if it has one.
    :raises Unready: if it is worth asking again.
    :raises NoSuchPiece: if the server does not have the piece.
    :raises OriginUnavailable: if the server refuses.
    :raises PieceCorrupt: if these are not the bytes that were asked for.
    """
    _check_code(response.code, asked)
    coding = _header(response, b"Content-Encoding")
    if coding is not None and coding.lower() != b"identity":
        raise PieceCorrupt(asked.name, f"it came encoded as {coding!r}")
    etag = _header(response, b"ETag")
    if asked.etag is not None and etag != asked.etag:
        raise PieceCorrupt(
            asked.name, f"its ETag is {etag!r}, not {asked.etag!r}: it changed"
        )
    if response.code == PARTIAL:
        _check_range(response, asked)
    elif not asked.whole:
        raise PieceCorrupt(asked.name, "the whole came where a range was asked for")
    length = asked.stop - asked.start
    if response.length not in (UNKNOWN_LENGTH, length):
        raise PieceCorrupt(
            asked.name, f"{response.length} bytes are offered, not {length}"
        )
    return etag


def _check_code(code: int, asked: Answer) -> None:
    if code in (OK, PARTIAL):
        return
    if code in GONE:
        raise NoSuchPiece(asked.name)
    if code in BUSY:
        raise Unready(f"it answered {code}")
    raise OriginUnavailable(asked.name, f"it answered {code}")


def _check_range(response: IResponse, asked: Answer) -> None:
    found = _header(response, b"Content-Range")
    wanted = b"bytes %d-%d/%d" % (asked.start, asked.stop - 1, asked.size)
    if found != wanted:
        raise PieceCorrupt(asked.name, f"the range is {found!r}, not {wanted!r}")


def _header(response: IResponse, name: bytes) -> bytes | None:
    values = response.headers.getRawHeaders(name)
    return b", ".join(values) if values else None  # as one: RFC 9110, 5.2
