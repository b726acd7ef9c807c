# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay`: good servers, and readers of all kinds.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from glancetx.errors import ReaderGone
from glancetx.interfaces import IPiece
from glancetx.streaming.digest import BACKLOG
from glancetx.streaming.verify import Check
from glancetx.testing.consumers import RecordingConsumer

from .relays import DATA, IDLE, RelayTestCase, sha256


class GoodServerTests(RelayTestCase):
    """``RemotePiece``: a server that answers as it should"""

    def test_interface(self) -> None:
        """
        It is a piece.
        """
        verifyObject(IPiece, self.piece())

    def test_whole(self) -> None:
        """
        All bytes pass as they come, by one request.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.assertEqual(self.consumer.received, DATA[:10])
        response.feed(DATA[10:60], DATA[60:])
        response.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)
        self.assertEqual(self.asked, [(0, 100)])
        self.assertEqual(self.consumer.registered, [True])
        self.assertEqual(sum(self.seen), 100)

    def test_at_once(self) -> None:
        """
        An answer may be there as a whole before anybody looks.
        """
        d = self.start(self.piece())
        response = self.answer(DATA)
        response.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)

    def test_no_length(self) -> None:
        """
        A server need not say how much will come.
        """
        d = self.start(self.piece())
        self.answer(DATA, length=None).end()
        self.successResultOf(d)

    def test_part(self) -> None:
        """
        Of a part only its own bytes are asked for.
        """
        d = self.start(self.piece(), 20, 31)
        self.answer(DATA[20:31]).end()
        self.successResultOf(d)
        self.assertEqual(self.asked, [(20, 31)])
        self.assertEqual(self.consumer.received, DATA[20:31])

    def test_nothing(self) -> None:
        """
        Of no bytes nothing is asked.
        """
        self.successResultOf(self.start(self.piece(), 20, 20))
        self.assertEqual(self.asked, [])

    def test_last_chunk_waits(self) -> None:
        """
        Until the digest is right the last chunk is held back, and with it the end.
        """
        self.threads.eager = False
        d = self.start(self.piece())
        response = self.answer(DATA[:60], DATA[60:])
        response.end()
        self.assertNoResult(d)
        self.assertEqual(self.consumer.received, DATA[:60])
        self.threads.run_all()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)

    def test_checks_within(self) -> None:
        """
        Spans that are read from their start to their end are verified, others not.
        """
        wrong = sha256(b"something else")
        checks = [
            Check(0, 30, wrong),
            Check(30, 50, sha256(DATA[30:50])),
            Check(50, 100, wrong),
        ]
        d = self.start(self.piece(checks=checks), 20, 80)
        self.threads.eager = False
        response = self.answer(DATA[20:50], DATA[50:80])
        response.end()
        self.assertEqual(self.consumer.received, DATA[20:30])
        self.threads.run_all()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA[20:80])

    def test_two_readers(self) -> None:
        """
        One piece serves several readers at once.
        """
        piece, other = self.piece(), RecordingConsumer()
        d1 = self.start(piece)
        first = self.answer(DATA[:50])
        d2 = piece.produce(other, 10, 20)
        second = self.answer(DATA[10:20])
        second.end()
        first.feed(DATA[50:])
        first.end()
        self.successResultOf(d1)
        self.successResultOf(d2)
        self.assertEqual(self.consumer.received, DATA)
        self.assertEqual(other.received, DATA[10:20])


class PauseTests(RelayTestCase):
    """``RemotePiece``: a reader that has enough"""

    def test_paused(self) -> None:
        """
        While the reader pauses so does the connection, and nothing is lost.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        self.assertTrue(response.paused)
        response.feed(DATA[10:20])
        self.assertEqual(self.consumer.received, DATA[:10])
        self.consumer.resume()
        self.assertEqual(self.consumer.received, DATA[:20])
        self.assertFalse(response.paused)
        response.feed(DATA[20:])
        response.end()
        self.successResultOf(d)

    def test_no_stall_while_paused(self) -> None:
        """
        A server that is held back may be silent for ever, and afterwards as long as
        before.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        self.clock.advance(1000 * IDLE)
        self.consumer.resume()
        self.clock.advance(IDLE - 1)
        self.assertFalse(response.closed)
        response.feed(DATA[10:])
        response.end()
        self.successResultOf(d)

    def test_pause_within_write(self) -> None:
        """
        A reader may pause within each write.
        """
        self.consumer.on_write = RecordingConsumer.pause
        d = self.start(self.piece())
        response = self.answer()
        for offset in range(0, 100, 10):
            response.feed(DATA[offset : offset + 10])
            self.assertEqual(len(self.consumer.received), offset + 10)
            self.assertTrue(response.paused)
            self.consumer.resume()
        response.end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.surplus, 0)

    def test_paused_at_the_end(self) -> None:
        """
        If the reader pauses when the last chunk is proved, it gets it later.
        """
        self.threads.eager = False
        d = self.start(self.piece())
        self.answer(DATA).end()
        self.consumer.pause()
        self.threads.run_all()
        self.assertEqual(self.consumer.received, b"")
        self.assertNoResult(d)
        self.consumer.resume()
        self.successResultOf(d)

    def test_paused_first(self) -> None:
        """
        For a reader that pauses at once the request is sent, as it takes time; then
        the connection waits.
        """
        self.consumer.on_register = RecordingConsumer.pause
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.assertTrue(response.paused)
        self.assertEqual(self.consumer.received, b"")
        self.consumer.resume()
        self.assertEqual(self.consumer.received, DATA[:10])
        response.feed(DATA[10:])
        response.end()
        self.successResultOf(d)

    def test_digest_behind(self) -> None:
        """
        While the digest is far behind, the connection waits for it.
        """
        data = bytes(2 * BACKLOG)
        self.threads.eager = False
        d = self.start(self.piece(data))
        response = self.answer(data[: BACKLOG + 1], size=len(data))
        self.assertTrue(response.paused)
        self.threads.run_all()
        self.assertFalse(response.paused)
        response.feed(data[BACKLOG + 1 :])
        response.end()
        self.threads.run_all()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, data)


class LeaveTests(RelayTestCase):
    """``RemotePiece``: a reader that leaves"""

    def end(self, d: Deferred[None]) -> None:
        self.consumer.leave()
        self.failureResultOf(d, ReaderGone)

    def test_asking(self) -> None:
        """
        While the server is asked, the request is given up.
        """
        self.end(self.start(self.piece()))
        self.assertEqual(self.abandoned, 1)

    def test_receiving(self) -> None:
        """
        While bytes come, the connection is closed, and what it still brings dropped.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.end(d)
        self.assertTrue(response.closed)
        response.feed(DATA[10:20])
        response.break_off()
        self.assertEqual(self.consumer.received, DATA[:10])
        self.assertEqual(self.seen, [10])

    def test_paused(self) -> None:
        """
        While the reader pauses, the connection is closed too.
        """
        d = self.start(self.piece())
        response = self.answer(DATA[:10])
        self.consumer.pause()
        response.feed(DATA[10:20])
        self.end(d)
        self.assertTrue(response.closed)
        self.assertEqual(self.consumer.received, DATA[:10])

    def prove(self, check: Check) -> None:
        self.threads.eager = False
        d = self.start(self.piece(checks=[check]))
        self.answer(DATA[:10], DATA[10:]).end()
        self.end(d)
        self.threads.run_all()
        self.assertEqual(self.consumer.received, DATA[:10])

    def test_proving(self) -> None:
        """
        While the digest is made, the last chunk is dropped.
        """
        self.prove(Check(0, 100, sha256(DATA)))

    def test_disproving(self) -> None:
        """
        That a digest was wrong does not matter to a reader that is gone.
        """
        self.prove(Check(0, 100, sha256(b"")))

    def test_before_asking_again(self) -> None:
        """
        While an answer that broke waits to be asked for again, it is not.
        """
        d = self.start(self.piece())
        self.answer(DATA[:10]).break_off()
        self.end(d)
        self.later()
        self.assertEqual(len(self.asked), 1)

    def test_unwanted(self) -> None:
        """
        While nothing is asked again since the reader pauses, nothing is left to close.
        """
        d = self.start(self.piece())
        self.answer(DATA[:10]).break_off()
        self.consumer.pause()
        self.later()
        self.end(d)
        self.assertEqual(len(self.asked), 1)


class CancelTests(LeaveTests):
    """``RemotePiece``: a reading that is cancelled, at the same moments"""

    def end(self, d: Deferred[None]) -> None:
        d.cancel()
        self.failureResultOf(d, CancelledError)
