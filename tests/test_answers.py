# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import NoSuchPiece, OriginUnavailable, PieceCorrupt
from glancetx.streaming.answers import Answer, Unready, check_answer

from .responses import FakeResponse

ETAG = '"sha256-11"'
WHOLE = Answer("piece", 0, 100, 100, ETAG.encode())
PART = Answer("piece", 10, 30, 100, ETAG.encode())
UNKNOWN = Answer("piece", 0, 100, 100, None)


def check(
    asked: Answer, code: int, length: int | None = None, **headers: str
) -> bytes | None:
    """Check an answer; ``_`` in the name of a header is ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return check_answer(FakeResponse(code, named, length), asked)


class GoodTests(SynchronousTestCase):
    """``check_answer``: what passes"""

    def test_whole(self) -> None:
        """
        The whole is a 200 of its length, or of no length.
        """
        for length in (100, None):
            self.assertEqual(check(WHOLE, 200, length, etag=ETAG), ETAG.encode())

    def test_part(self) -> None:
        """
        A part is a 206 that names the range.
        """
        self.assertEqual(
            check(PART, 206, 20, etag=ETAG, content_range="bytes 10-29/100"),
            ETAG.encode(),
        )

    def test_whole_as_part(self) -> None:
        """
        The whole may come as the range that is all of it.
        """
        check(WHOLE, 206, 100, etag=ETAG, content_range="bytes 0-99/100")

    def test_unknown_etag(self) -> None:
        """
        An ETag that nobody knew before is handed on, and so is that there is none.
        """
        self.assertEqual(check(UNKNOWN, 200, etag='W/"7"'), b'W/"7"')
        self.assertIsNone(check(UNKNOWN, 200))

    def test_identity(self) -> None:
        """
        A server may say that it encoded nothing.
        """
        check(UNKNOWN, 200, content_encoding="Identity")


class CorruptTests(SynchronousTestCase):
    """``check_answer``: answers with other bytes than those that were asked for"""

    def corrupt(
        self,
        problem: str,
        asked: Answer,
        code: int,
        length: int | None,
        headers: Mapping[str, str],
    ) -> None:
        with self.assertRaises(PieceCorrupt) as caught:
            check_answer(FakeResponse(code, headers, length), asked)
        self.assertEqual(caught.exception.problem, problem)

    def test_etag(self) -> None:
        """
        Another ETag, a weak one or none is another piece.
        """
        for found in ('"sha256-22"', f"W/{ETAG}", ETAG.strip('"'), f"{ETAG}, {ETAG}"):
            problem = f"its ETag is {found.encode()!r}, not {ETAG.encode()!r}"
            self.corrupt(f"{problem}: it changed", WHOLE, 200, 100, {"ETag": found})
        problem = f"its ETag is None, not {ETAG.encode()!r}: it changed"
        self.corrupt(problem, WHOLE, 200, 100, {})

    def test_whole_for_part(self) -> None:
        """
        A 200 is no answer to a request for a part, even if its length fits.
        """
        for length in (100, 20, None):
            problem = "the whole came where a range was asked for"
            self.corrupt(problem, PART, 200, length, {"ETag": ETAG})

    def test_range(self) -> None:
        """
        A 206 must be of exactly the range that was asked for.
        """
        for found in (
            "bytes 10-30/100",
            "bytes 9-29/100",
            "bytes 10-29/101",
            "bytes 10-29/*",
            "bytes 10-29/100, bytes 10-29/100",
            "items 10-29/100",
            "",
        ):
            problem = f"the range is {found.encode()!r}, not b'bytes 10-29/100'"
            headers = {"ETag": ETAG, "Content-Range": found}
            self.corrupt(problem, PART, 206, 20, headers)

    def test_multipart(self) -> None:
        """
        A 206 without a range, as one of several parts has none, is refused.
        """
        headers = {"ETag": ETAG, "Content-Type": "multipart/byteranges; boundary=x"}
        problem = "the range is None, not b'bytes 10-29/100'"
        self.corrupt(problem, PART, 206, 20, headers)

    def test_length(self) -> None:
        """
        A length that does not fit is refused before the first byte.
        """
        for length in (0, 19, 21, 100):
            problem = f"{length} bytes are offered, not 20"
            headers = {"ETag": ETAG, "Content-Range": "bytes 10-29/100"}
            self.corrupt(problem, PART, 206, length, headers)

    def test_encoded(self) -> None:
        """
        Encoded bytes are other bytes, and it does not help to say identity as well.
        """
        for coding in ("gzip", "br", "gzip, identity", ""):
            problem = f"it came encoded as {coding.encode()!r}"
            headers = {"Content-Encoding": coding}
            self.corrupt(problem, UNKNOWN, 200, 100, headers)

    def test_encoded_twice(self) -> None:
        """
        A header that is there twice counts twice.
        """
        response = FakeResponse(200, {"Content-Encoding": "gzip"}, 100)
        response.headers.addRawHeader(b"Content-Encoding", b"identity")
        self.assertRaises(PieceCorrupt, check_answer, response, UNKNOWN)


class StatusTests(SynchronousTestCase):
    """``check_answer``: other statuses"""

    def test_unready(self) -> None:
        """
        A server that cannot answer now may be asked again.
        """
        for code in (408, 425, 429, 500, 502, 503, 504):
            with self.assertRaises(Unready) as caught:
                check(WHOLE, code, etag=ETAG)
            self.assertEqual(str(caught.exception), f"it answered {code}")

    def test_gone(self) -> None:
        """
        A server that does not have the piece says so.
        """
        for code in (404, 410):
            self.assertRaises(NoSuchPiece, check, WHOLE, code)

    def test_refused(self) -> None:
        """
        Everything else is a refusal; a redirect is not followed.
        """
        for code in (201, 204, 301, 302, 304, 307, 401, 403, 407, 412, 416, 501):
            with self.assertRaises(OriginUnavailable) as caught:
                check(WHOLE, code, etag=ETAG, location="http://elsewhere/")
            self.assertEqual(caught.exception.reason, f"it answered {code}")
