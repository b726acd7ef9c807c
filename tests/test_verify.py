# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import PieceCorrupt
from glancetx.image import Digest
from glancetx.streaming import digest
from glancetx.streaming.digest import Digests
from glancetx.streaming.verify import Check, Verifier

from .properties import untimed
from .threads import ManualThreads, ThreadClock

WRONG = Digest("sha256", "0" * 64)


def check(data: bytes, start: int, stop: int, algorithm: str = "sha256") -> Check:
    """A check that is true of ``data``."""
    value = hashlib.new(algorithm, data[start:stop]).hexdigest()
    return Check(start, stop, Digest(algorithm, value))


class Bench:
    """A verifier between a source and a reader."""

    def __init__(
        self, checks: Iterable[Check], start: int = 0, eager: bool = False
    ) -> None:
        self.threads = ManualThreads(eager)
        self.received = b""
        self.taken = 0
        self.changes = 0
        digests = Digests(ThreadClock(), self.threads)
        self.verifier = Verifier(
            "piece", self.write, start, checks, digests, self.changed
        )

    def write(self, data: bytes) -> None:
        assert not self.verifier.held, "written while the reader had enough"
        self.received += data

    def changed(self) -> None:
        self.changes += 1

    def take(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.taken += len(chunk)
            self.verifier.take(chunk)

    def release(self) -> None:
        self.verifier.held = False
        self.verifier.pass_on()

    def do(self, action: str, chunk: bytes = b"") -> None:
        if action == "take":
            self.take(chunk)
        elif action == "hold":
            self.verifier.held = True
        elif action == "release":
            self.release()
        elif self.threads.jobs:
            self.threads.run()


DATA = b"0123456789"


class VerifierTests(SynchronousTestCase):
    """``Verifier``"""

    def test_unchecked(self) -> None:
        """
        Without a check all passes at once, and no thread is used.
        """
        bench = Bench([])
        bench.take(b"01", b"23")
        self.assertEqual(bench.received, b"0123")
        self.assertFalse(bench.verifier.busy)
        self.assertEqual(bench.threads.jobs, [])
        self.successResultOf(bench.verifier.drained())

    def test_last_chunk_waits(self) -> None:
        """
        All but the last chunk passes; the last one, when the digest is right.
        """
        bench = Bench([check(DATA, 0, 10)])
        bench.take(DATA[:4], DATA[4:8])
        self.assertEqual(bench.received, DATA[:8])
        self.assertFalse(bench.verifier.busy)
        bench.take(DATA[8:])
        self.assertEqual(bench.received, DATA[:8])
        self.assertTrue(bench.verifier.busy)
        d = bench.verifier.drained()
        self.assertNoResult(d)
        bench.threads.run_all()
        self.successResultOf(d)
        self.assertEqual(bench.received, DATA)
        self.assertFalse(bench.verifier.busy)
        self.assertEqual(bench.changes, 1)

    def test_wrong(self) -> None:
        """
        If the digest is wrong, the last chunk never passes, and the error tells both
        digests.
        """
        bench = Bench([Check(0, 10, WRONG)])
        bench.take(DATA[:9], DATA[9:])
        d = bench.verifier.drained()
        bench.threads.run_all()
        error = self.failureResultOf(d, PieceCorrupt).value
        found = hashlib.sha256(DATA).hexdigest()
        self.assertEqual(
            str(error),
            "piece piece is not what was stored: the sha256 of bytes 0 to 10 is "
            f"{found}, not {'0' * 64}",
        )
        bench.release()
        bench.take(b"more")
        self.assertEqual(bench.received, DATA[:9])
        self.failureResultOf(bench.verifier.drained(), PieceCorrupt)

    def test_one_chunk(self) -> None:
        """
        If all comes as one chunk, nothing passes before it is proved.
        """
        bench = Bench([Check(0, 10, WRONG)])
        bench.take(DATA)
        bench.threads.run_all()
        self.assertEqual(bench.received, b"")
        self.assertIsNotNone(bench.verifier.failure)

    def test_border_in_chunk(self) -> None:
        """
        What stands behind a check's end in the same chunk waits with it.
        """
        bench = Bench([check(DATA, 2, 5)])
        bench.take(DATA[:3], DATA[3:])
        self.assertEqual(bench.received, DATA[:3])
        bench.threads.run_all()
        self.assertEqual(bench.received, DATA)

    def test_border_in_held_chunk(self) -> None:
        """
        What came while the reader had enough passes in order, cut at borders or not.
        """
        bench = Bench([check(DATA, 0, 2), check(DATA, 4, 9)])
        bench.verifier.held = True
        bench.take(DATA[:3], DATA[3:5], DATA[5:])
        bench.release()
        bench.threads.run_all()
        self.assertEqual(bench.received, DATA)

    def test_neighbours(self) -> None:
        """
        Checks that follow each other are proved one after the other.
        """
        checks = [check(DATA, 0, 3), check(DATA, 3, 7, "sha512"), check(DATA, 9, 10)]
        bench = Bench(checks)
        bench.take(DATA)
        for expected in (DATA[:3], DATA[:9], DATA):
            bench.threads.run()
            self.assertEqual(bench.received, expected)

    def test_offset(self) -> None:
        """
        Offsets are those of the piece, wherever the reading began.
        """
        bench = Bench([check(DATA, 6, 8)], start=4)
        bench.take(DATA[4:])
        bench.threads.run_all()
        self.assertEqual(bench.received, DATA[4:])

    def test_held_after_proof(self) -> None:
        """
        A reader that has enough when the proof comes gets the last chunk later.
        """
        bench = Bench([check(DATA, 0, 10)])
        bench.take(DATA)
        bench.verifier.held = True
        bench.threads.run_all()
        d = bench.verifier.drained()
        self.assertEqual(bench.received, b"")
        self.assertNoResult(d)
        bench.release()
        self.assertEqual(bench.received, DATA)
        self.successResultOf(d)

    def test_lagging(self) -> None:
        """
        The source waits while the digest is far behind, and is told when it is not.
        """
        data = bytes(digest.BACKLOG + 1) + b"end"
        bench = Bench([check(data, 0, len(data))])
        bench.take(data[:-3])
        self.assertEqual(bench.received, data[:-3])
        self.assertTrue(bench.verifier.busy)
        bench.threads.run()
        self.assertFalse(bench.verifier.busy)
        self.assertEqual(bench.changes, 1)
        bench.take(data[-3:])
        bench.threads.run_all()
        self.assertEqual(bench.received, data)

    def test_writer_fails(self) -> None:
        """
        An error of the reader after the proof is the result.
        """
        bench = Bench([check(DATA, 0, 10)])
        bench.take(DATA)
        d = bench.verifier.drained()
        bench.received = None  # type: ignore[assignment]
        bench.threads.run_all()
        self.failureResultOf(d, TypeError)

    def test_gave_up(self) -> None:
        """
        Nobody minds a proof that comes after its reader gave up.
        """
        for one in (check(DATA, 0, 10), Check(0, 10, WRONG)):
            bench = Bench([one])
            bench.take(DATA)
            d = bench.verifier.drained()
            bench.verifier.held = True
            d.cancel()
            self.failureResultOf(d)
            bench.threads.run_all()
            self.assertEqual(bench.received, b"")

    @untimed
    @given(st.data(), st.booleans(), st.integers(0, 2**32))
    def test_any(self, data: st.DataObject, eager: bool, seed: int) -> None:
        """
        However chunks, proofs and pauses fall: what passes is what came, in order,
        and nothing of the last chunk of a wrong span.
        """
        whole = data.draw(st.binary(min_size=1, max_size=60))
        marks = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
        spans = list(zip(marks[::2], marks[1::2], strict=False))
        wrong = data.draw(st.sampled_from([None, *spans]))
        checks = [
            Check(*span, WRONG) if span == wrong else check(whole, *span)
            for span in spans
        ]
        bench = Bench(checks, eager=eager)
        random = Random(seed)
        steps = ["take", "take", "run", "hold", "release"]
        while bench.taken < len(whole):
            stop = bench.taken + random.randint(1, 9)
            bench.do(random.choice(steps), whole[bench.taken : stop])
        drained = bench.verifier.drained()
        while bench.threads.jobs or bench.verifier.held:
            bench.do(random.choice(steps))
        if wrong is None:
            self.successResultOf(drained)
            self.assertEqual(bench.received, whole)
        else:
            self.failureResultOf(drained, PieceCorrupt)
            self.assertTrue(whole.startswith(bench.received))
            self.assertLess(len(bench.received), wrong[1])
