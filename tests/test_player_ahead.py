# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.player`: pieces that are asked for ahead.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred

from glancetx.errors import NoSuchPiece, ReaderGone
from glancetx.streaming import player
from glancetx.streaming.segments import Literal, Slice, Zeros
from glancetx.testing.consumers import RecordingConsumer

from .playing import FileConsumer, PlayerTestCase, SlowPiece

DATA = Random(1).randbytes(200_000)


class AheadTests(PlayerTestCase):
    """The next piece is asked for before its turn"""

    def setUp(self) -> None:
        super().setUp()
        self.patch(player, "AHEAD", 100)
        self.first, self.second, self.third = (SlowPiece(DATA) for _ in range(3))

    def segments(self) -> list[Slice]:
        pieces = (self.first, self.second, self.third)
        return [Slice(piece, 0, 1000) for piece in pieces]

    def finish(self, d: Deferred[None]) -> None:
        while any([self.first.come(), self.second.come(), self.third.come()]):
            pass
        self.successResultOf(d)

    def test_in_time(self) -> None:
        """
        When little is left of a piece the next one is asked for, and no other.
        """
        d = self.play(*self.segments())
        for _ in range(89):
            self.first.come()
        self.assertEqual(self.second.asked, [])
        self.first.come()
        self.assertEqual(self.second.asked, [(0, 1000)])
        self.finish(d)
        self.assertEqual(self.consumer.received, DATA[:1000] * 3)
        self.assertEqual(self.consumer.surplus, 0)
        for piece in (self.first, self.second, self.third):
            self.assertEqual((len(piece.asked), piece.closed), (1, 1))

    def test_waits_for_its_turn(self) -> None:
        """
        What a piece has before its turn waits for it, one chunk of it.
        """
        d = self.play(*self.segments())
        for _ in range(95):
            self.first.come()
        while self.second.come():
            pass
        self.assertEqual(self.consumer.received, DATA[:950])
        self.finish(d)
        self.assertEqual(self.consumer.received, DATA[:1000] * 3)

    def test_over_small_ones(self) -> None:
        """
        It is asked for over small segments that stand between.
        """
        segments = self.segments()
        d = self.play(segments[0], Zeros(20), *segments[1:])
        for _ in range(91):
            self.first.come()
        self.assertEqual(self.second.asked, [])
        self.first.come()
        self.assertEqual(self.second.asked, [(0, 1000)])
        self.finish(d)

    def test_one_at_a_time(self) -> None:
        """
        Small pieces are asked for one after the other, too.
        """
        pieces = (self.first, self.second, self.third)
        d = self.play(*[Slice(piece, 0, 20) for piece in pieces])
        self.first.come()
        self.assertEqual(len(self.second.asked), 1)
        self.assertEqual(self.third.asked, [])
        self.finish(d)
        self.assertEqual(self.consumer.received, DATA[:20] * 3)

    def test_during_a_file(self) -> None:
        """
        It is asked for while the last bytes of a file are sent.
        """
        self.consumer = files = FileConsumer()
        self.patch(player, "SENDFILE", 50)
        d = self.play(Slice(self.file(DATA), 0, 1000), Slice(self.first, 0, 1000))
        self.assertEqual(files.sending and files.sending[1:3], (0, 900))
        self.assertEqual(self.first.asked, [])
        files.send()
        self.assertEqual(files.sending and files.sending[1:3], (900, 1000))
        self.assertEqual(self.first.asked, [(0, 1000)])
        files.send()
        self.finish(d)
        self.assertEqual(self.consumer.received, DATA[:1000] * 2)

    def test_fails_before_its_turn(self) -> None:
        """
        If the next piece fails before its turn, the present one still ends well.
        """
        d = self.play(*self.segments())
        for _ in range(95):
            self.first.come()
        self.second.waiting.pop().errback(NoSuchPiece("k"))
        self.assertNoResult(d)
        while self.first.come():
            pass
        self.failureResultOf(d, NoSuchPiece)
        self.assertEqual(self.consumer.received, DATA[:1000])

    def end_early(self, end: str) -> None:
        d = self.play(*self.segments())
        for _ in range(95):
            self.first.come()
        self.assertEqual((self.first.closed, self.second.closed), (0, 0))
        if end == "leave":
            self.consumer.leave()
            self.failureResultOf(d, ReaderGone)
        else:
            d.cancel()
            self.failureResultOf(d, CancelledError)
        self.assertEqual((self.first.closed, self.second.closed), (1, 1))
        self.assertEqual(self.third.asked, [])

    def test_leaves_with_the_last_byte(self) -> None:
        """
        A consumer that leaves with the last byte before a piece is no reason to ask
        for it, whether that was written here or by another piece.
        """
        self.patch(player, "AHEAD", 0)
        self.consumer.on_write = RecordingConsumer.leave
        d = self.play(Literal(b"head"), Slice(self.second, 0, 5))
        self.failureResultOf(d, ReaderGone)
        self.consumer = RecordingConsumer(on_write=RecordingConsumer.leave)
        d = self.play(Slice(self.first, 0, 5), Slice(self.second, 0, 5))
        self.first.come()
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.second.asked, [])

    def test_leaves(self) -> None:
        """
        When the consumer leaves, both pieces are closed at once.
        """
        self.end_early("leave")

    def test_cancelled(self) -> None:
        """
        So they are when the playing is cancelled.
        """
        self.end_early("cancel")
