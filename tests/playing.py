# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of the player share: files, pieces that take their time, and consumers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.interfaces import IFileConsumer, IFilePiece, IPiece
from glancetx.streaming.player import Playback, Player
from glancetx.streaming.pump import pump
from glancetx.streaming.segments import Segment
from glancetx.testing.consumers import RecordingConsumer

from .threads import ManualThreads, ThreadClock

__all__ = ["FileConsumer", "FilePiece", "PlayerTestCase", "SlowPiece"]


@implementer(IFileConsumer)
class FileConsumer(RecordingConsumer):
    """
    A consumer that takes bytes out of files, when the test says so.

    :ivar sending: what was asked for and has not gone yet.
    """

    sending: tuple[int, int, int, Deferred[None]] | None = None

    def sendfile(self, fd: int, start: int, stop: int) -> Deferred[None]:
        assert self.sending is None, "one sendfile at a time"
        done: Deferred[None] = Deferred(lambda _: setattr(self, "sending", None))
        self.sending = (fd, start, stop, done)
        return done

    def write(self, data: bytes) -> None:
        if self.sending is not None:
            self.broken.append("wrote while a file was being sent")
        super().write(data)

    def send(self) -> None:
        """Let the bytes of the file go."""
        assert self.sending is not None
        fd, start, stop, done = self.sending
        self.received += os.pread(fd, stop - start, start)
        self.sending = None
        done.callback(None)

    def fail(self, error: Exception) -> None:
        """Let them not go."""
        assert self.sending is not None
        done, self.sending = self.sending[-1], None
        done.errback(error)


@implementer(IFilePiece)
class FilePiece:
    """
    A piece in a file.

    :ivar opened: the descriptors that were handed out.
    :ivar waits: what the next opening waits for, if anything.
    """

    def __init__(self, path: str, data: bytes) -> None:
        Path(path).write_bytes(data)
        self.size = len(data)
        self.path = path
        self.opened: list[int] = []
        self.waits: Deferred[None] | None = None

    async def _open(self) -> int:
        if self.waits is not None:
            await self.waits
        fd = os.open(self.path, os.O_RDONLY)
        self.opened.append(fd)
        return fd

    def open(self) -> Deferred[int]:
        return ensureDeferred(self._open())

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        raise NotImplementedError("its file is read")


@implementer(IPiece)
class SlowPiece:
    """
    A piece that hands out chunks when the test says so.

    :ivar asked: the ranges that were asked for.
    :ivar closed: how many of those readings are over.
    """

    def __init__(self, data: bytes, chunk: int = 10) -> None:
        self.size = len(data)
        self.asked: list[tuple[int, int]] = []
        self.closed = 0
        self.waiting: list[Deferred[None]] = []
        self._data = data
        self._chunk = chunk

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        self.asked.append((start, stop))
        return ensureDeferred(pump(self._chunks(start, stop), consumer))

    async def _chunks(self, start: int, stop: int) -> Any:
        try:
            for begin in range(start, stop, self._chunk):
                come: Deferred[None] = Deferred()
                self.waiting.append(come)
                await come
                yield self._data[begin : min(begin + self._chunk, stop)]
        finally:
            self.closed += 1

    def come(self) -> bool:
        """Let one chunk come; says whether one was waited for."""
        while self.waiting:
            waiting = self.waiting.pop(0)
            if not waiting.called:
                waiting.callback(None)
                return True
        return False


class PlayerTestCase(SynchronousTestCase):
    """Plays segments to one consumer."""

    def setUp(self) -> None:
        self.threads = ManualThreads(eager=True)
        self.player = Player(ThreadClock(), self.threads)
        self.consumer = RecordingConsumer()
        self.pieces: list[FilePiece] = []

    def tearDown(self) -> None:
        """Nothing is left, whatever happened."""
        self.threads.run_all()
        self.assertEqual(self.consumer.broken, [])
        self.assertIsNone(self.consumer.producer)
        for piece in self.pieces:
            for fd in piece.opened:
                self.assertRaises(OSError, os.fstat, fd)

    def file(self, data: bytes) -> FilePiece:
        piece = FilePiece(self.mktemp(), data)
        self.pieces.append(piece)
        return piece

    def open(self, *segments: Segment) -> Playback:
        return self.successResultOf(ensureDeferred(self.player.open(segments)))

    def play(self, *segments: Segment) -> Deferred[None]:
        """Open, play, and close at the end, as those who answer requests do."""

        async def play() -> None:
            playback = await self.player.open(segments)
            try:
                await playback.play(self.consumer)
            finally:
                playback.close()

        return ensureDeferred(play())
