# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for pieces that readers are sent to: :class:`glancetx.interfaces.ILocatedPiece`.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.interfaces import ILocatedPiece, IPiece
from glancetx.layouts import Layout
from glancetx.stores import Store
from glancetx.streaming.segments import Segments, Slice
from glancetx.testing.memory import MemoryBackend, MemoryPiece, Shelf

from .test_entity import fetch, make_layout

URL = "http://swift.example/v1/AUTH_t/c/o?temp_url_sig=abc&temp_url_expires=1"
DATA = b"0123456789" * 10


@implementer(ILocatedPiece)
class Located(MemoryPiece):
    """A piece that is elsewhere, too."""

    url: str | None = URL

    def location(self) -> Deferred[str | None]:
        return succeed(self.url)


class LocatedTests(SynchronousTestCase):
    """Who is sent to where a piece lies"""

    def setUp(self) -> None:
        shelf = Shelf()
        shelf.pieces["0" * 32] = DATA
        self.piece = Located(shelf, "0" * 32, len(DATA))

    def layout(self, kind: str = "own", *pieces: IPiece) -> Layout:
        found = pieces or (self.piece,)
        segments = Segments(Slice(piece, 0, piece.size) for piece in found)
        return evolve(make_layout(kind, [DATA]), segments=segments)

    def check_sent(self, *headers: bytes, layout: Layout | None = None) -> None:
        """The answer is the bytes."""
        code, _, body = fetch(layout or self.layout(), *headers)
        self.assertIn((code, body), [(200, DATA), (206, DATA[:10]), (200, DATA * 2)])

    def test_moved(self) -> None:
        """
        A reader of the whole is sent there, and no cache keeps that.
        """
        code, headers, body = fetch(self.layout())
        self.assertEqual((code, body), (302, b""))
        self.assertEqual(headers[b"Location"], URL.encode())
        self.assertEqual(headers[b"Cache-Control"], b"no-store")
        self.assertNotIn(b"ETag", headers)
        self.assertNotIn(b"Last-Modified", headers)

    def test_range(self) -> None:
        """
        A range is asked for there as it was here; one that cannot be is refused here.
        """
        self.assertEqual(fetch(self.layout(), b"Range: bytes=0-9")[0], 302)
        self.assertEqual(fetch(self.layout(), b"Range: bytes=500-")[0], 416)

    def test_cache(self) -> None:
        """
        A cache gets the bytes.
        """
        self.check_sent(b"Via: 1.1 zone-cache")
        self.check_sent(b"Via: 1.1 zone-cache", b"Range: bytes=0-9")

    def test_own_programs(self) -> None:
        """
        So do servers and clients of this kind, which follow no redirects.
        """
        self.check_sent(b"User-Agent: glancetx/26.1")
        self.assertEqual(fetch(self.layout(), b"User-Agent: curl/8")[0], 302)

    def test_conditions(self) -> None:
        """
        Conditions name what only this server knows.
        """
        etag = self.layout().etag
        self.check_sent(b"If-Match: " + etag)
        self.check_sent(b'If-None-Match: "other"')
        self.check_sent(b"If-Range: " + etag, b"Range: bytes=0-9")
        self.check_sent(b"If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT")
        self.assertEqual(fetch(self.layout(), b'If-Match: "other"')[0], 412)

    def test_other_layouts(self) -> None:
        """
        What is joined of several pieces lies nowhere else.
        """
        self.check_sent(layout=self.layout("stream"))
        self.check_sent(layout=self.layout("own", self.piece, self.piece))

    def test_other_pieces(self) -> None:
        """
        What lies here is sent from here.
        """
        self.check_sent(layout=make_layout("own", [DATA]))

    def test_nowhere_now(self) -> None:
        """
        If there is nowhere to send him now, the reader gets the bytes.
        """
        self.piece.url = None
        self.check_sent()

    def test_through_stores(self) -> None:
        """
        A store hands on that a piece is elsewhere, and where.
        """
        shelf, piece = Shelf(), self.piece

        class Backend(MemoryBackend):
            def piece(self, key: str, size: int) -> Located:
                return piece

        store = Store("main", Backend(shelf, "main"))
        found = self.successResultOf(
            Deferred.fromCoroutine(store.piece("0" * 32, len(DATA)))
        )
        self.assertTrue(ILocatedPiece.providedBy(found))
        self.assertEqual(fetch(self.layout("own", found))[0], 302)
