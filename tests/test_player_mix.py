# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.player`: any segments, any consumer, any order.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from glancetx.errors import ReaderGone
from glancetx.streaming import gather, player
from glancetx.streaming.segments import Literal, Segment, Segments, Slice, Zeros
from glancetx.testing.consumers import RecordingConsumer

from .playing import FileConsumer, PlayerTestCase, SlowPiece
from .properties import untimed

DATA = Random(1).randbytes(300)


class AnyTests(PlayerTestCase):
    """Random mixes of segments, with sizes that make every border near"""

    def setUp(self) -> None:
        super().setUp()
        self.patch(player, "AHEAD", 40)
        self.patch(player, "SENDFILE", 24)
        self.patch(player, "WRITE", 16)
        self.patch(gather, "JOB", 32)
        self.local = self.file(DATA)

    def segments(self) -> st.SearchStrategy[list[Segment]]:
        span = st.lists(st.integers(0, 300), min_size=2, max_size=2).map(sorted)
        literals = st.binary(max_size=40).map(Literal)
        zeros = st.integers(0, 40).map(Zeros)
        files = span.map(lambda mark: Slice(self.local, *mark))
        slow = span.map(lambda mark: Slice(self.slow, *mark))
        return st.lists(st.one_of(literals, zeros, files, slow), max_size=8)

    def plain(self, segments: list[Segment]) -> bytes:
        def one(segment: Segment) -> bytes:
            if isinstance(segment, Literal):
                return segment.data
            if isinstance(segment, Zeros):
                return bytes(segment.length)
            return DATA[segment.start : segment.stop]

        return b"".join(map(one, segments))

    def begin(self, data: st.DataObject) -> tuple[Deferred[None], bytes]:
        """Play a cut of some segments; gives what is expected of it."""
        self.slow = SlowPiece(DATA)
        segments = data.draw(self.segments())
        whole = Segments(segments)
        start = data.draw(st.integers(0, whole.length))
        stop = data.draw(st.integers(start, whole.length))
        sends_files = data.draw(st.booleans())
        # Examples must not be drawn from within the code under test.
        self.random = Random(data.draw(st.integers(0, 2**32)))
        kind = FileConsumer if sends_files else RecordingConsumer
        self.consumer = kind(on_write=self.maybe_pause)
        self.threads.eager = data.draw(st.booleans())
        d = self.play(*whole.cut(start, stop))
        return d, self.plain(segments)[start:stop]

    def maybe_pause(self, consumer: RecordingConsumer) -> None:
        if self.random.random() < 0.5:
            consumer.pause()
            if self.random.random() < 0.3:
                consumer.resume()

    def step(self) -> None:
        """Let one of the things happen that may happen now."""
        can: list[Callable[[], object]] = [self.threads.run] * len(self.threads.jobs)
        if self.slow.waiting:
            can.append(self.slow.come)
        if isinstance(self.consumer, FileConsumer) and self.consumer.sending:
            can.append(self.consumer.send)
        else:
            can.append(self.consumer.resume)
        self.random.choice(can)()

    @untimed
    @given(st.data())
    def test_all(self, data: st.DataObject) -> None:
        """
        What comes is the concatenation; one producer is registered, and nothing is
        written while the consumer pauses.
        """
        d, expected = self.begin(data)
        while not d.called:
            self.step()
        self.successResultOf(d)
        self.assertEqual(bytes(self.consumer.received), expected)
        self.assertEqual(self.consumer.registered, [True])
        self.assertEqual(self.consumer.surplus, 0)
        self.check()

    @untimed
    @given(st.data(), st.integers(0, 30), st.booleans())
    def test_ends_early(self, data: st.DataObject, steps: int, leaves: bool) -> None:
        """
        Whenever the consumer leaves or the playing is cancelled: what came is a prefix
        of it, nothing comes after, and every source is closed.
        """
        d, expected = self.begin(data)
        while steps and not d.called:
            self.step()
            steps -= 1
        if d.called:
            self.successResultOf(d)
        elif leaves:
            self.leave()
            self.failureResultOf(d, ReaderGone)
        else:
            d.cancel()
            self.failureResultOf(d, CancelledError)
        received = bytes(self.consumer.received)
        self.assertTrue(expected.startswith(received))
        self.threads.run_all()
        while self.slow.come():
            pass
        self.assertEqual(bytes(self.consumer.received), received)
        self.check()

    def leave(self) -> None:
        sending = isinstance(self.consumer, FileConsumer) and self.consumer.sending
        self.consumer.leave()
        if isinstance(self.consumer, FileConsumer) and sending:
            self.consumer.fail(ReaderGone())
        self.threads.run_all()  # it is noticed when the job that is awaited is done

    def check(self) -> None:
        """Nothing is left of an example."""
        self.tearDown()
        self.assertEqual(len(self.slow.asked), self.slow.closed)
