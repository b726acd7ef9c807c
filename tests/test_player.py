# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.streaming.player`.
"""

from __future__ import annotations

import gc
import os
from random import Random

from attrs import define
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from glancetx.errors import NoSuchPiece, PieceTruncated, ReaderGone
from glancetx.interfaces import IPiece
from glancetx.streaming import player
from glancetx.streaming.player import Player
from glancetx.streaming.segments import Literal, Slice, Zeros
from glancetx.testing.consumers import RecordingConsumer

from .playing import FileConsumer, FilePiece, PlayerTestCase, SlowPiece

DATA = Random(1).randbytes(200_000)


@implementer(IPiece)
@define
class Unhashable:
    """A piece that is what its fields are, and that may change."""

    size: int

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        consumer.write(bytes(stop - start))
        return succeed(None)


class CopyTests(PlayerTestCase):
    """A consumer that is written to"""

    def test_mix(self) -> None:
        """
        Every kind of segment comes in its place.
        """
        files, slow = self.file(DATA), SlowPiece(DATA, 100_000)
        d = self.play(
            Literal(b"head"),
            Slice(files, 5, 150_000),
            Zeros(7),
            Slice(slow, 1, 100_003),
            Slice(files, 0, 3),
            Literal(b"tail"),
        )
        while slow.come():
            pass
        self.successResultOf(d)
        parts = [b"head", DATA[5:150_000], bytes(7), DATA[1:100_003], DATA[:3], b"tail"]
        self.assertEqual(self.consumer.received, b"".join(parts))
        self.assertEqual(self.consumer.registered, [True])

    def test_nothing(self) -> None:
        """
        Of no segments nothing comes, and that is success.
        """
        self.successResultOf(self.play())
        self.assertEqual(self.consumer.writes, [])

    def test_paused_first(self) -> None:
        """
        For a consumer that pauses at once nothing is read and nobody asked.
        """
        self.threads.eager = False
        slow = SlowPiece(DATA)
        self.consumer.on_register = RecordingConsumer.pause
        first = self.play(Slice(slow, 0, 5))
        self.assertEqual(slow.asked, [])
        self.consumer.on_register = None
        self.consumer.resume()
        slow.come()
        self.successResultOf(first)
        self.consumer.on_register = RecordingConsumer.pause
        second = self.play(Zeros(5))
        self.assertEqual(self.threads.jobs, [])
        self.consumer.resume()
        self.threads.run_all()
        self.successResultOf(second)

    def test_left_first(self) -> None:
        """
        For a consumer that left before, neither.
        """
        self.consumer.on_register = RecordingConsumer.leave
        slow = SlowPiece(DATA)
        self.failureResultOf(self.play(Slice(slow, 0, 5)), ReaderGone)
        self.assertEqual(slow.asked, [])

    def test_one_job_ahead(self) -> None:
        """
        However long a run is, one job is read ahead and no more are even thought of.
        """
        self.threads.eager = False
        d = self.play(Zeros(2**62))
        for _ in range(5):
            self.assertLessEqual(len(self.threads.jobs), 2)
            self.threads.run()
        self.consumer.leave()
        self.threads.run_all()
        self.failureResultOf(d, ReaderGone)

    def test_pause_within_write(self) -> None:
        """
        Nothing is written while the consumer pauses.
        """
        self.consumer.on_write = RecordingConsumer.pause
        d = self.play(Zeros(2_000_000), Literal(b"end"))
        while self.noResult(d):
            self.consumer.resume()
        self.assertEqual(len(self.consumer.received), 2_000_003)
        self.assertEqual(self.consumer.surplus, 0)
        self.assertLessEqual(max(self.consumer.writes), player.WRITE)

    def noResult(self, d: Deferred[None]) -> bool:
        return not d.called

    def test_shrunk(self) -> None:
        """
        A file that shrank after it was opened is an error; nothing is made up.
        """
        piece = self.file(DATA)
        playback = self.open(Slice(piece, 0, len(DATA)))
        os.truncate(piece.path, 100)
        d = ensureDeferred(playback.play(self.consumer))
        self.failureResultOf(d, PieceTruncated)
        playback.close()
        self.assertEqual(self.consumer.received, b"")

    def test_leaves_within_write(self) -> None:
        """
        A consumer may leave within any write, and gets nothing after it.
        """
        self.consumer.on_write = RecordingConsumer.leave
        d = self.play(Zeros(1_000_000), Literal(b"tail"))
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(len(self.consumer.writes), 1)

    def test_read_ahead_fails(self) -> None:
        """
        Nobody minds that the job ahead fails when the consumer is gone.
        """
        piece = self.file(bytes(1_500_000))
        self.threads.eager = False
        d = self.play(Slice(piece, 0, piece.size))
        os.truncate(piece.path, 1)
        self.consumer.leave()
        self.threads.run_all()
        self.failureResultOf(d)
        gc.collect()


class FileTests(PlayerTestCase):
    """Files: opened before, closed after"""

    def test_once(self) -> None:
        """
        A file is opened once for a playback, however many slices of it there are.
        """
        piece = self.file(DATA)
        playback = self.open(*[Slice(piece, n, n + 5) for n in range(10)], Zeros(1))
        self.assertEqual(len(piece.opened), 1)
        playback.close()
        playback.close()

    def test_missing(self) -> None:
        """
        If one file is missing, the others are closed.
        """
        first, second = self.file(DATA), self.file(DATA)
        second.waits = Deferred()
        d = ensureDeferred(self.player.open([Slice(first, 0, 5), Slice(second, 0, 5)]))
        self.assertNoResult(d)
        second.waits.errback(NoSuchPiece("k"))
        self.failureResultOf(d, NoSuchPiece)

    def test_cancelled(self) -> None:
        """
        To cancel the opening closes what was opened.
        """
        first, second = self.file(DATA), self.file(DATA)
        second.waits = Deferred()
        d = ensureDeferred(self.player.open([Slice(first, 0, 5), Slice(second, 0, 5)]))
        d.cancel()
        self.failureResultOf(d, CancelledError)

    def test_closed_when_read(self) -> None:
        """
        A file stays open until the last thread that reads from it is done, in whichever
        order they end: its number could be another file's by then.
        """
        self.threads.eager = False
        piece = self.file(bytes(1_500_000))
        d = self.play(Slice(piece, 0, piece.size))
        (fd,) = piece.opened
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertEqual(len(self.threads.jobs), 2)
        self.threads.run(1)
        os.fstat(fd)
        self.threads.run()
        self.assertRaises(OSError, os.fstat, fd)

    def test_unhashable(self) -> None:
        """
        A plug-in's piece may be a thing that has no hash.
        """

        self.assertRaises(TypeError, hash, Unhashable(5))
        self.successResultOf(self.play(Slice(Unhashable(5), 0, 5)))
        self.assertEqual(self.consumer.received, bytes(5))


class SendTests(PlayerTestCase):
    """A consumer that takes bytes out of files"""

    def setUp(self) -> None:
        super().setUp()
        self.consumer = self.files = FileConsumer()

    def test_large(self) -> None:
        """
        A large slice is sent, and nothing is read in a thread.
        """
        self.threads.eager = False
        d = self.play(Slice(self.file(DATA), 1, len(DATA) - 1))
        self.assertEqual(self.threads.jobs, [])
        self.files.send()
        self.successResultOf(d)
        self.assertEqual(self.consumer.received, DATA[1:-1])

    def test_small(self) -> None:
        """
        Small slices are gathered with their neighbours.
        """
        self.threads.eager = False
        piece = self.file(DATA)
        pairs = [Slice(piece, n, n + 100) for n in range(0, 50_000, 1000)]
        d = self.play(Literal(b"head"), *pairs, Zeros(5))
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.run_all()
        self.successResultOf(d)
        body = b"".join(DATA[n : n + 100] for n in range(0, 50_000, 1000))
        self.assertEqual(self.consumer.received, b"head" + body + bytes(5))

    def test_mix(self) -> None:
        """
        Bytes that are sent and bytes that are written keep their order.
        """
        piece = self.file(DATA)
        d = self.play(
            Literal(b"head"),
            Slice(piece, 0, 100_000),
            Zeros(3),
            Slice(piece, 100_000, 200_000),
        )
        self.files.send()
        self.files.send()
        self.successResultOf(d)
        parts = [b"head", DATA[:100_000], bytes(3), DATA[100_000:]]
        self.assertEqual(self.consumer.received, b"".join(parts))

    def test_paused(self) -> None:
        """
        Nothing is sent to a consumer that pauses.
        """
        self.consumer.on_write = RecordingConsumer.pause
        d = self.play(Literal(b"head"), Slice(self.file(DATA), 0, len(DATA)))
        self.assertIsNone(self.files.sending)
        self.consumer.resume()
        self.files.send()
        self.successResultOf(d)

    def test_leaves(self) -> None:
        """
        A consumer that leaves while bytes are sent ends the playing.
        """
        d = self.play(Slice(self.file(DATA), 0, len(DATA)), Literal(b"tail"))
        self.consumer.leave()
        self.files.fail(ReaderGone())
        self.failureResultOf(d, ReaderGone)
        self.assertEqual(self.consumer.writes, [])

    def test_fails(self) -> None:
        """
        An error of sending is the result.
        """
        d = self.play(Slice(self.file(DATA), 0, len(DATA)))
        self.files.fail(PieceTruncated("k", 5, 10))
        self.failureResultOf(d, PieceTruncated)

    def test_cancelled(self) -> None:
        """
        To cancel stops the sending before its file is closed.
        """
        d = self.play(Slice(self.file(DATA), 0, len(DATA)))
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertIsNone(self.files.sending)


class ThreadTests(TestCase):
    """Real threads and the real reactor"""

    async def test_copied(self) -> None:
        """
        What threads read comes in order, to a consumer that pauses all the time.
        """
        threads = ThreadPool(0, 3)
        threads.start()
        self.addCleanup(threads.stop)
        real = Player(reactor, threads)  # type: ignore[arg-type]
        data = Random(2).randbytes(5_000_000)
        piece = FilePiece(self.mktemp(), data)
        consumer = RecordingConsumer(on_write=self.breathe)
        playback = await real.open([Slice(piece, 7, piece.size), Literal(b"end")])
        await playback.play(consumer)
        playback.close()
        self.assertEqual(bytes(consumer.received), data[7:] + b"end")
        self.assertEqual((consumer.broken, consumer.surplus), ([], 0))
        self.assertRaises(OSError, os.fstat, piece.opened[0])

    def breathe(self, consumer: RecordingConsumer) -> None:
        consumer.pause()
        reactor.callLater(0, consumer.resume)
