# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.relay`: how often a server is asked.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed

from glancetx.errors import (
    OriginUnavailable,
    PieceTruncated,
)
from glancetx.outbound import Unreachable

from .relays import DATA, IDLE, RelayTestCase
from .responses import FakeResponse


class TriesTests(RelayTestCase):
    """``RemotePiece``: how often a server is asked"""

    def refuse_often(self, times: int) -> None:
        for _ in range(times):
            self.refuse()
            self.later()

    def test_never(self) -> None:
        """
        A server that never gives a byte is asked three times.
        """
        d = self.start(self.piece())
        self.refuse_often(2)
        self.assertNoResult(d)
        self.refuse()
        error = self.failureResultOf(d, OriginUnavailable).value
        self.assertEqual(error.origin, "piece")
        self.assertIn("refused", error.reason)
        self.assertEqual(len(self.asked), 3)

    def test_in_words(self) -> None:
        """
        If the door out said which server failed and how, so does the result.
        """
        d = self.start(self.piece(tries=1))
        self.pending[-1].errback(Unreachable("global", "it refuses connections"))
        error = self.failureResultOf(d, OriginUnavailable).value
        expected = "origin global is not available: it refuses connections"
        self.assertEqual(str(error), expected)

    def test_in_the_middle(self) -> None:
        """
        After a break it is asked three times, too; then the piece ended where it did.
        """
        d = self.start(self.piece())
        self.answer(DATA[:60]).break_off()
        self.later()
        self.refuse_often(2)
        self.assertNoResult(d)
        self.refuse()
        error = self.failureResultOf(d, PieceTruncated).value
        self.assertEqual(str(error), "piece piece ended at 60 of 100 bytes")
        self.assertEqual(len(self.asked), 4)

    def test_progress(self) -> None:
        """
        Every byte gives it three new tries.
        """
        d = self.start(self.piece())
        for number in range(99):
            self.refuse_often(2)
            self.answer(DATA[number : number + 1]).break_off()
            self.later()
        self.answer(DATA[99:]).end()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA)

    def test_one_try(self) -> None:
        """
        If one try is allowed, a break with new bytes is still followed by another.
        """
        d = self.start(self.piece(tries=1))
        self.answer(DATA[:60]).break_off()
        self.later()
        self.refuse()
        self.failureResultOf(d, PieceTruncated)

    def test_waits(self) -> None:
        """
        Between two tries there is a pause, longer each time.
        """
        d = self.start(self.piece())
        self.refuse()
        self.clock.advance(0.19)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(0.02)
        self.refuse()
        self.clock.advance(0.39)
        self.assertEqual(len(self.asked), 2)
        self.clock.advance(0.02)
        self.assertEqual(len(self.asked), 3)
        self.answer(DATA).end()
        self.successResultOf(d)

    def test_no_answer(self) -> None:
        """
        A request without an answer is given up and sent again.
        """
        d = self.start(self.piece())
        self.clock.advance(IDLE)
        self.assertEqual(self.abandoned, 1)
        self.later()
        self.answer(DATA).end()
        self.successResultOf(d)

    def test_not_ready(self) -> None:
        """
        A server that says 503 is asked again; its answer is not read.
        """
        d = self.start(self.piece())
        response = self.answer(b"come back later", code=503)
        self.assertTrue(response.closed)
        self.later()
        self.answer(DATA).end()
        self.successResultOf(d)

    def test_network(self) -> None:
        """
        Whatever a network does is tried again.
        """
        d = self.start(self.piece(tries=4))
        for error in (
            ConnectionRefusedError(),
            DNSLookupError(),
            ResponseFailed([Failure(ConnectionLost())]),
        ):
            self.pending[-1].errback(error)
            self.later()
        self.answer(DATA).end()
        self.successResultOf(d)

    def test_refused_address(self) -> None:
        """
        What will not be better the next time is not tried again.
        """
        d = self.start(self.piece())
        self.pending[-1].errback(OriginUnavailable("global", "its address is bad"))
        self.failureResultOf(d, OriginUnavailable)
        self.assertEqual(len(self.asked), 1)

    def logged(self, end: Callable[[FakeResponse], None]) -> str:
        with capturedLogs() as events:
            d = self.start(self.piece())
            end(self.answer(DATA[:60]))
        namespace = "glancetx.streaming.relay.RemotePiece"
        (event,) = (one for one in events if one["log_namespace"] == namespace)
        self.assertEqual((event["name"], event["offset"]), ("piece", 60))
        self.later()
        self.answer(DATA[60:]).end()
        self.successResultOf(d)
        return str(event["reason"])

    def test_log(self) -> None:
        """
        The log tells which piece broke where, and why.
        """
        self.assertEqual(self.logged(FakeResponse.end), "the answer ended early")
        lost = "Connection was closed cleanly."
        self.assertEqual(self.logged(FakeResponse.break_off), lost)
        self.assertEqual(self.logged(self.stall), f"not a byte for {IDLE} seconds")

    def test_given_up(self) -> None:
        """
        What the caller is told of a server that never answers is a sentence, too.
        """
        d = self.start(self.piece(tries=2))
        self.clock.advance(IDLE)
        self.later()
        self.clock.advance(IDLE)
        problem = self.failureResultOf(d, OriginUnavailable).value
        self.assertEqual(problem.reason, f"no answer in {IDLE} seconds")

    def stall(self, response: FakeResponse) -> None:
        self.clock.advance(IDLE)
