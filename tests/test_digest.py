# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.digest`.
"""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, FirstError, ensureDeferred
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from glancetx.streaming.digest import BACKLOG, JOB, TURN, Digests, Hashing

from .properties import untimed
from .threads import ManualThreads, ThreadClock


class HashingTests(SynchronousTestCase):
    """``Hashing``, with jobs that run when the test says so"""

    def setUp(self) -> None:
        self.threads = ManualThreads()
        self.digests = Digests(ThreadClock(), self.threads)

    def ready(self, hashing: Hashing) -> Deferred[None]:
        return ensureDeferred(hashing.ready())

    def finish(self, hashing: Hashing) -> Deferred[dict[str, str]]:
        return ensureDeferred(hashing.finish())

    @untimed
    @given(st.lists(st.binary(max_size=50)), st.booleans())
    def test_values(self, chunks: list[bytes], eager: bool) -> None:
        """
        The values are those of the concatenation, for each algorithm.
        """
        self.threads.eager = eager
        hashing = self.digests.start("md5", "sha256", "sha512")
        for chunk in chunks:
            hashing.update(chunk)
        d = self.finish(hashing)
        self.threads.run_all()
        whole = b"".join(chunks)
        expected = {
            name: hashlib.new(name, whole).hexdigest()
            for name in ("md5", "sha256", "sha512")
        }
        self.assertEqual(self.successResultOf(d), expected)

    def test_nothing(self) -> None:
        """
        Of no bytes there is a digest too, and it needs no thread.
        """
        d = self.finish(self.digests.start("sha256"))
        expected = hashlib.sha256().hexdigest()
        self.assertEqual(self.successResultOf(d), {"sha256": expected})

    def test_jobs(self) -> None:
        """
        What is too little for a job of its own waits for more, or for the end.
        """
        hashing = self.digests.start("sha256")
        hashing.update(bytes(JOB - 1))
        self.assertEqual(self.threads.jobs, [])
        hashing.update(b"x")
        self.assertEqual(len(self.threads.jobs), 1)

    def test_serial(self) -> None:
        """
        An algorithm has one job at a time, and algorithms do not wait for each other.
        """
        hashing = self.digests.start("md5", "sha256")
        for _ in range(3):
            hashing.update(bytes(JOB))
        self.assertEqual(len(self.threads.jobs), 2)
        self.threads.run(1)
        self.assertEqual(len(self.threads.jobs), 1)
        hashing.update(bytes(JOB))
        self.assertEqual(len(self.threads.jobs), 2)
        d = self.finish(hashing)
        self.threads.run_all()
        expected = hashlib.sha256(bytes(4 * JOB)).hexdigest()
        self.assertEqual(self.successResultOf(d)["sha256"], expected)

    def test_meanwhile(self) -> None:
        """
        A job goes on with what comes while it runs.
        """
        hashing = self.digests.start("sha256")
        hashing.update(bytes(BACKLOG))
        hashing.update(b"x")
        ready = self.ready(hashing)
        ready.addCallback(lambda _: hashing.update(b"y"))
        self.threads.run()
        self.successResultOf(ready)
        expected = hashlib.sha256(bytes(BACKLOG) + b"xy").hexdigest()
        d = self.finish(hashing)
        self.assertEqual(self.successResultOf(d), {"sha256": expected})

    def test_turns(self) -> None:
        """
        A thread that never runs out of work is given back to others for a turn.
        """
        hashing = self.digests.start("sha256")
        for _ in range(TURN // JOB + 1):
            hashing.update(bytes(JOB))
        self.threads.run()
        self.assertTrue(self.threads.jobs)
        d = self.finish(hashing)
        self.assertNoResult(d)
        self.threads.run()
        self.assertEqual(self.threads.jobs, [])
        self.successResultOf(d)

    def test_lagging(self) -> None:
        """
        A source that is too fast is told so by the slowest algorithm, and waits until
        half of the backlog is left.
        """
        hashing = self.digests.start("md5", "sha256")
        hashing.update(bytes(BACKLOG))
        self.assertFalse(hashing.lagging)
        hashing.update(b"x")
        self.assertTrue(hashing.lagging)
        d = self.ready(hashing)
        self.threads.run(1)
        self.assertTrue(hashing.lagging)
        self.assertNoResult(d)
        self.threads.run()
        self.assertFalse(hashing.lagging)
        self.successResultOf(d)

    def test_ready_at_once(self) -> None:
        """
        A source that is slow enough never waits.
        """
        hashing = self.digests.start("sha256")
        hashing.update(bytes(BACKLOG))
        self.successResultOf(self.ready(hashing))

    def test_two_wait(self) -> None:
        """
        Whoever waits is told, each when it is his time.
        """
        hashing = self.digests.start("sha256")
        for size in (BACKLOG, 1, BACKLOG // 2, 10):
            hashing.update(bytes(size))
        finished, ready = self.finish(hashing), self.ready(hashing)
        ready.addCallback(lambda _: self.assertNoResult(finished))
        self.assertNoResult(ready)
        self.threads.run()
        self.successResultOf(ready)
        self.successResultOf(finished)

    def test_cancelled(self) -> None:
        """
        To give up waiting neither ends the work nor disturbs who else waits.
        """
        hashing = self.digests.start("sha256")
        hashing.update(bytes(BACKLOG + 1))
        given_up, finished = self.ready(hashing), self.finish(hashing)
        given_up.cancel()
        self.failureResultOf(given_up)
        self.threads.run_all()
        expected = hashlib.sha256(bytes(BACKLOG + 1)).hexdigest()
        self.assertEqual(self.successResultOf(finished), {"sha256": expected})

    def test_failure(self) -> None:
        """
        If a job fails, so does everything that waits for it, now or later.
        """
        hashing = self.digests.start("md5", "sha256")
        hashing.update("no bytes" * BACKLOG)  # type: ignore[arg-type]
        ready = self.ready(hashing)
        self.threads.run_all()
        self.failureResultOf(ready, TypeError)
        self.assertTrue(hashing.lagging)
        self.failureResultOf(self.ready(hashing), TypeError)
        self.failureResultOf(self.finish(hashing), FirstError)

    def test_unknown(self) -> None:
        """
        An algorithm that does not exist cannot be begun.
        """
        self.assertRaises(ValueError, self.digests.start, "sha0")


class ThreadTests(TestCase):
    """``Hashing``, with real threads"""

    async def test_together(self) -> None:
        """
        Many digests share few threads, and every value is right.
        """
        threads = ThreadPool(0, 3)
        threads.start()
        self.addCleanup(threads.stop)
        digests = Digests(reactor, threads)  # type: ignore[arg-type]
        hashings = [digests.start("md5", "sha256") for _ in range(5)]
        chunks = [bytes([number]) * 300_000 for number in range(20)]
        for chunk in chunks:
            for hashing in hashings:
                hashing.update(chunk)
                await hashing.ready()
        expected = hashlib.sha256(b"".join(chunks)).hexdigest()
        for hashing in hashings:
            self.assertEqual((await hashing.finish())["sha256"], expected)
