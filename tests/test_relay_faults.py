# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay`: servers that break or fall silent.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import (
    ConnectionLost,
)
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http import PotentialDataLoss

from glancetx.errors import (
    PieceCorrupt,
)
from glancetx.streaming.verify import Check

from .properties import untimed
from .relays import DATA, IDLE, RelayTestCase, sha256
from .responses import FakeResponse

Break = Callable[["BreakTests", FakeResponse], None]


def lost(case: BreakTests, response: FakeResponse) -> None:
    response.break_off()


def reset(case: BreakTests, response: FakeResponse) -> None:
    response.end(ResponseFailed([Failure(ConnectionLost())]))


def stall(case: BreakTests, response: FakeResponse) -> None:
    case.clock.advance(IDLE)
    case.assertTrue(response.closed)
    response.break_off()


def short(case: BreakTests, response: FakeResponse) -> None:
    response.end()


def unknown(case: BreakTests, response: FakeResponse) -> None:
    response.end(PotentialDataLoss())


class BreakTests(RelayTestCase):
    """``RemotePiece``: an answer that ends before its time"""

    def resume(self, at: int, break_it: Break, length: int | None = -1) -> None:
        d = self.start(self.piece())
        response = self.answer(DATA[: at // 2], length=length)
        response.feed(DATA[at // 2 : at])
        break_it(self, response)
        self.assertNoResult(d)
        self.assertEqual(len(self.consumer.received), at)
        self.later()
        self.answer(DATA[at:]).end()
        self.successResultOf(d)
        self.assertEqual(self.asked, [(0, 100), (at, 100)])
        self.assertEqual(self.consumer.received, DATA)
        self.assertEqual(self.consumer.registered, [True])

    def test_after_headers(self) -> None:
        """
        If not a byte of the body came, the same is asked for again.
        """
        self.resume(0, lost)

    def test_first_byte(self) -> None:
        """
        After one byte the rest is asked for.
        """
        self.resume(1, lost)

    def test_middle(self) -> None:
        """
        In the middle, what is missing is asked for.
        """
        self.resume(50, lost)

    def test_reset(self) -> None:
        """
        It does not matter that the connection was reset.
        """
        self.resume(50, reset)

    def test_last_byte(self) -> None:
        """
        If only the last byte is missing, it is asked for.
        """
        self.resume(99, lost)

    def test_stall(self) -> None:
        """
        A server that falls silent is left, and asked again.
        """
        self.resume(0, stall)

    def test_stall_later(self) -> None:
        """
        So is one that falls silent at the last byte.
        """
        self.resume(99, stall)

    def test_short(self) -> None:
        """
        A body that ends properly and is too short goes on with the next answer.
        """
        self.resume(50, short, length=None)

    def test_no_end(self) -> None:
        """
        The end of a connection is not the end of a body.
        """
        self.resume(99, unknown, length=None)

    def complete(self, break_it: Break) -> None:
        d = self.start(self.piece())
        response = self.answer(DATA, length=None)
        break_it(self, response)
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)

    def test_complete_unknown(self) -> None:
        """
        When every byte came it does not matter that the server announced no end.
        """
        self.complete(unknown)

    def test_complete_lost(self) -> None:
        """
        Nor that the connection was lost before its end mark.
        """
        self.complete(lost)

    def test_complete_stall(self) -> None:
        """
        Nor that the end mark never came.
        """
        self.complete(stall)

    def test_drip(self) -> None:
        """
        A server that is slow, and never silent for long, is waited for.
        """
        d = self.start(self.piece())
        response = self.answer()
        for number in range(100):
            self.clock.advance(IDLE - 1)
            response.feed(DATA[number : number + 1])
        response.end()
        self.successResultOf(d)

    def test_digest_goes_on(self) -> None:
        """
        The digest is that of the whole, however many answers brought it.
        """
        d = self.start(self.piece(checks=[Check(0, 100, sha256(b"other"))]))
        self.answer(DATA[:40]).break_off()
        self.later()
        self.answer(DATA[40:99], DATA[99:]).end()
        self.failureResultOf(d, PieceCorrupt)
        self.assertEqual(self.consumer.received, DATA[:99])

    def test_part(self) -> None:
        """
        A part goes on where it broke, and not behind its end.
        """
        d = self.start(self.piece(), 10, 30)
        self.answer(DATA[10:15]).break_off()
        self.later()
        self.answer(DATA[15:30]).end()
        self.successResultOf(d)
        self.assertEqual(self.asked, [(10, 30), (15, 30)])

    @untimed
    @given(st.lists(st.integers(0, 20), max_size=30), st.booleans())
    def test_any(self, cuts: list[int], eager: bool) -> None:
        """
        However often answers break after any byte, the bytes are the right ones.
        """
        self.setUp()
        self.threads.eager = eager
        d = self.start(self.piece(tries=len(cuts) + 1))
        for cut in cuts:
            at = self.asked[-1][0]
            if at + cut >= 100:
                break
            self.answer(DATA[at : at + cut]).break_off()
            self.later()
        self.answer(DATA[self.asked[-1][0] :]).end()
        self.threads.run_all()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)
        self.tearDown()


class PausedBreakTests(RelayTestCase):
    """``RemotePiece``: an answer that breaks while the reader pauses"""

    def test_not_asked(self) -> None:
        """
        The next is not asked for before the reader wants it: else a patient reader
        would use up all tries, and every answer would bring more to keep for him.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20])
        response.break_off()
        self.clock.advance(1000 * IDLE)
        self.assertEqual(len(self.asked), 1)
        self.consumer.resume()
        self.assertEqual(self.asked[1:], [(20, 100)])
        self.answer(DATA[20:]).end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)

    def test_paused_within_resume(self) -> None:
        """
        Nor is it if all that the reader wants is there already.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20])
        response.break_off()
        self.later()
        self.consumer.on_write = type(self.consumer).pause
        self.consumer.resume()
        self.assertEqual(self.consumer.received, DATA[:20])
        self.assertEqual(len(self.asked), 1)
        self.consumer.resume()
        self.answer(DATA[20:]).end()
        self.successResultOf(d)

    def test_resumed_before(self) -> None:
        """
        If the reader resumes at once, the next is asked for in time, and once.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.break_off()
        self.consumer.resume()
        self.assertEqual(len(self.asked), 1)
        self.later()
        self.consumer.pause()
        self.consumer.resume()
        self.assertEqual(len(self.asked), 2)
        self.answer(DATA[10:]).end()
        self.successResultOf(d)
