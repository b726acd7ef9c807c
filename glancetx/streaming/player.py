# Copyright glancetx contributors. See LICENSE for details.

"""
Plays segments into one consumer, each kind in the cheapest way that it allows.

Large slices of files go from the file to the socket inside the kernel; small
neighbours are read together in a thread; every other piece writes for itself, into
a lane. The next such piece is asked for while the present one comes to its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeAlias

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from txaio.tx import as_future

from glancetx.interfaces import IFileConsumer, IFilePiece

from .gather import FileSlice, Local, jobs, read
from .lane import Lane, Stage
from .segments import Segment, Slice

__all__ = ["Playback", "Player"]

AHEAD = 8 * 1024 * 1024
"""Bytes before its turn at which a piece is asked to begin."""

SENDFILE = 64 * 1024
"""Bytes of a file that are worth a system call of their own."""

WRITE = 256 * 1024
"""Bytes written at once of what was gathered."""


@frozen
class _Gathered:
    """Neighbours that are read together."""

    parts: tuple[Local, ...]

    @property
    def length(self) -> int:
        return sum(part.length for part in self.parts)


_Step: TypeAlias = FileSlice | _Gathered | Slice


class Player:
    """Opens playbacks."""

    def __init__(self, reactor: IReactorFromThreads, threads: ThreadPool) -> None:
        """:param threads: reads what cannot be sent straight out of a file."""
        self._reactor = reactor
        self._threads = threads

    async def open(self, segments: Sequence[Segment]) -> Playback:
        """
        Make ready to play, so that what is missing is known before any byte goes.

        :raises NoSuchPiece: if the file of a piece is gone.
        :raises PieceTruncated: if it is shorter than recorded.
        """
        playback = Playback(self, segments)
        try:
            await playback.open()
        except BaseException:
            playback.close()
            raise
        return playback

    def read(self, job: Sequence[Local]) -> Deferred[bytes]:
        """Read a job's bytes in a thread."""
        return deferToThreadPool(self._reactor, self._threads, read, job)


class Playback:
    """
    One cut of segments, ready to be played once.

    Close it in any case; it owns the descriptors of the files that it sends.
    """

    def __init__(self, player: Player, segments: Sequence[Segment]) -> None:
        self._player = player
        self._segments = segments
        self._files: dict[int, int] = {}  # by id(): a piece may be unhashable
        self._lanes: dict[int, Lane] = {}
        self._reading = 0
        self._closed = False

    async def open(self) -> None:
        """Open the files; see :meth:`Player.open`."""
        for segment in self._segments:
            piece = segment.piece if isinstance(segment, Slice) else None
            if IFilePiece.providedBy(piece) and id(piece) not in self._files:
                self._files[id(piece)] = await as_future(piece.open)

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._closed = True
        self._close_files()
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.stop()

    async def play(self, consumer: IConsumer) -> None:
        """
        Write everything, as fast as the consumer takes it; never finishes it.

        :raises ReaderGone: if the consumer left.
        """
        self._steps = self._plan(IFileConsumer.providedBy(consumer))
        self._begins = [0]
        for step in self._steps:
            self._begins.append(self._begins[-1] + step.length)
        self._stage = Stage(consumer)
        try:
            for number, step in enumerate(self._steps):
                await self._stage.ready()
                await self._play(number, step)
        finally:
            self._stage.leave()

    def _plan(self, sends_files: bool) -> list[_Step]:
        steps: list[_Step] = []
        gathered: list[Local] = []
        for segment in self._local():
            large = isinstance(segment, FileSlice) and segment.length >= SENDFILE
            if isinstance(segment, Slice) or (large and sends_files):
                if gathered:
                    steps.append(_Gathered(tuple(gathered)))
                    gathered = []
                steps.append(segment)  # type: ignore[arg-type]
            else:
                gathered.append(segment)
        if gathered:
            steps.append(_Gathered(tuple(gathered)))
        return steps

    def _local(self) -> Iterator[Local | Slice]:
        for segment in self._segments:
            if isinstance(segment, Slice) and id(segment.piece) in self._files:
                fd = self._files[id(segment.piece)]
                yield FileSlice(fd, segment.start, segment.stop)
            else:
                yield segment

    async def _play(self, number: int, step: _Step) -> None:
        if isinstance(step, Slice):
            await self._lane(number).play()
            del self._lanes[number]
        elif isinstance(step, FileSlice):
            await self._send(number, step)
        else:
            await self._write(number, step)

    async def _send(self, number: int, step: FileSlice) -> None:
        consumer: IFileConsumer = self._stage.consumer  # type: ignore[assignment]
        middle = max(step.start, step.stop - AHEAD)
        if middle > step.start:
            await consumer.sendfile(step.fd, step.start, middle)
        self._ask_ahead(number, middle - step.start)
        await self._stage.ready()
        await consumer.sendfile(step.fd, middle, step.stop)

    async def _write(self, number: int, step: _Gathered) -> None:
        written = 0
        coming: Deferred[bytes] | None = None
        try:
            for job in chain(jobs(step.parts), [None]):
                reading, coming = coming, self._read(job) if job is not None else None
                data = await reading if reading is not None else b""
                for offset in range(0, len(data), WRITE):
                    await self._stage.ready()
                    self._stage.consumer.write(data[offset : offset + WRITE])
                written += len(data)
                self._ask_ahead(number, written)
        finally:
            if coming is not None:
                coming.addErrback(lambda _: None)

    def _read(self, job: Sequence[Local]) -> Deferred[bytes]:
        """
        Read a job's bytes in a thread. Whoever waits may give up, but until the
        thread is done the files stay open: their numbers may be given to others.
        """
        answer: Deferred[bytes] = Deferred()

        def done(result: bytes | Failure) -> None:
            self._reading -= 1
            self._close_files()
            answer.callback(result)

        self._reading += 1
        self._player.read(job).addBoth(done)
        return answer

    def _close_files(self) -> None:
        if self._closed and not self._reading:
            files, self._files = self._files, {}
            for fd in files.values():
                os.close(fd)

    def _lane(self, number: int) -> Lane:
        if number not in self._lanes:
            step = self._steps[number]
            assert isinstance(step, Slice)
            lane = Lane(self._stage, step, partial(self._ask_ahead, number))
            self._lanes[number] = lane
            lane.begin()
        return self._lanes[number]

    def _ask_ahead(self, number: int, written: int) -> None:
        """Ask the next piece to begin, if this step is nearly over."""
        if self._stage.gone:  # it may have left on the very last chunk
            return
        position = self._begins[number] + written
        following = number + 1
        while following < len(self._steps):
            if self._begins[following] - position > AHEAD:
                return
            if isinstance(self._steps[following], Slice):
                self._lane(following)
                return
            following += 1
