# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay`: servers that send the wrong bytes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IResponse

from glancetx.errors import (
    NoSuchPiece,
    OriginUnavailable,
    PieceCorrupt,
)
from glancetx.streaming.verify import Check

from .relays import DATA, RelayTestCase, sha256
from .responses import FakeResponse


class LieTests(RelayTestCase):
    """``RemotePiece``: answers with the wrong bytes"""

    def refused(
        self, d: Deferred[None], response: FakeResponse, kind: type[Exception]
    ) -> Any:
        error = self.failureResultOf(d, kind).value
        self.assertTrue(response.closed)
        response.break_off()
        self.later()
        self.assertEqual(len(self.pending), len(self.responses))
        return error

    def wrong(self, place: int) -> None:
        wrong = bytearray(DATA)
        wrong[place] ^= 1
        d = self.start(self.piece())
        self.answer(*(bytes(wrong[i : i + 10]) for i in range(0, 100, 10))).end()
        self.failureResultOf(d, PieceCorrupt)
        self.assertEqual(self.consumer.received, wrong[:90])

    def test_wrong_first_byte(self) -> None:
        """
        One wrong bit at the beginning: the last chunk is never given away.
        """
        self.wrong(0)

    def test_wrong_byte(self) -> None:
        """
        It is the same in the middle.
        """
        self.wrong(50)

    def test_wrong_last_byte(self) -> None:
        """
        It is the same at the end.
        """
        self.wrong(99)

    def test_wrong_and_paused(self) -> None:
        """
        A reader that pauses is told, too.
        """
        d = self.start(self.piece(checks=[Check(0, 50, sha256(b"other"))]))
        self.threads.eager = False
        response = self.answer(DATA[:50])
        self.consumer.pause()
        self.threads.run_all()
        self.refused(d, response, PieceCorrupt)
        self.assertEqual(self.consumer.received, b"")

    def test_wrong_in_the_middle(self) -> None:
        """
        A wrong span ends the reading where it ends.
        """
        d = self.start(self.piece(checks=[Check(0, 50, sha256(b"other"))]))
        response = self.answer(DATA[:40], DATA[40:70])
        self.refused(d, response, PieceCorrupt)
        self.assertEqual(self.consumer.received, DATA[:40])

    def test_too_many(self) -> None:
        """
        More bytes than were asked for never pass, and the chunk that has them neither.
        """
        d = self.start(self.piece(checks=[]))
        response = self.answer(DATA[:60], DATA[60:] + b"x", length=None)
        error = self.refused(d, response, PieceCorrupt)
        self.assertEqual(error.problem, "more came than was asked for")
        self.assertEqual(self.consumer.received, DATA[:60])

    def test_too_many_later(self) -> None:
        """
        It is noticed, too, if they come by themselves.
        """
        d = self.start(self.piece())
        response = self.answer(DATA, length=None)
        response.feed(b"x")
        self.refused(d, response, PieceCorrupt)
        self.assertEqual(self.consumer.received, DATA)

    def other_length(self, length: int) -> None:
        d = self.start(self.piece())
        self.refused(d, self.answer(DATA, length=length), PieceCorrupt)
        self.assertEqual(self.consumer.received, b"")

    def test_too_short(self) -> None:
        """
        A smaller length is refused before the first byte.
        """
        self.other_length(99)

    def test_too_long(self) -> None:
        """
        So is a larger one.
        """
        self.other_length(101)

    def test_changed(self) -> None:
        """
        Another ETag is another piece.
        """
        d = self.start(self.piece())
        self.refused(d, self.answer(DATA, ETag='"other"'), PieceCorrupt)
        self.assertEqual(self.consumer.received, b"")

    def test_changed_between(self) -> None:
        """
        The ETag that came first must come again, also if none was known before.
        """
        d = self.start(self.piece(etag=None, checks=[]))
        self.answer(DATA[:10], ETag='"one"').break_off()
        self.later()
        self.refused(d, self.answer(DATA[10:], ETag='"two"'), PieceCorrupt)
        self.assertEqual(self.consumer.received, DATA[:10])

    def test_whole_for_rest(self) -> None:
        """
        If the rest is asked for and the whole comes, none of it passes.
        """
        d = self.start(self.piece())
        self.answer(DATA[:10]).break_off()
        self.later()
        self.refused(d, self.answer(DATA, code=200, length=100), PieceCorrupt)
        self.assertEqual(self.consumer.received, DATA[:10])

    def test_encoded(self) -> None:
        """
        Encoded bytes do not pass.
        """
        d = self.start(self.piece())
        response = self.answer(b"\x1f\x8b", Content_Encoding="gzip")
        self.refused(d, response, PieceCorrupt)

    def test_gone(self) -> None:
        """
        A piece that is gone is gone; the server is not asked again.
        """
        d = self.start(self.piece())
        error = self.refused(d, self.answer(b"<html>", code=404), NoSuchPiece)
        self.assertEqual(str(error), "no piece piece")

    def test_redirect(self) -> None:
        """
        A redirect is not followed.
        """
        d = self.start(self.piece())
        response = self.answer(code=302, Location="http://elsewhere/")
        self.refused(d, response, OriginUnavailable)

    def test_ask_raises(self) -> None:
        """
        If the request cannot even be made, that is the result.
        """

        def ask(start: int, stop: int) -> Deferred[IResponse]:
            raise RuntimeError("no")

        piece = self.piece()
        piece.ask = ask
        self.failureResultOf(self.start(piece), RuntimeError)
