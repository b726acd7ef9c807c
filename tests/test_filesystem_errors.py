# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for what ``glancetx.backends.filesystem`` makes of the system's errors.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from glancetx.backends import filesystem
from glancetx.errors import (
    NoSuchPiece,
    PieceTruncated,
    StoreFull,
    StoreUnavailable,
)
from glancetx.interfaces import IPieceWriter
from glancetx.testing import RecordingConsumer, Watched

from .filesystem_case import KEY, FilesystemCase


class ErrorTests(FilesystemCase):
    """What the system's errors are called"""

    def test_no_room_for_the_size(self) -> None:
        """
        A piece larger than the room that is free is refused before its first byte.
        """
        room = os.statvfs(self.path)
        size = room.f_bavail * room.f_frsize * 2
        self.check_full(self.backend.create(KEY, size))
        self.assertEqual(self.find(), [])

    def test_full_at_create(self) -> None:
        """
        A full disk is told when a piece is begun.
        """
        for number in (errno.ENOSPC, errno.EDQUOT):
            self.fail_calls("open", number)
            self.check_full(self.backend.create(KEY, None))

    def test_full_at_write(self) -> None:
        """
        A full disk, or a full quota, is told when bytes are written.
        """
        for number in (errno.ENOSPC, errno.EDQUOT):
            writer = self.create()
            self.fail_calls("write", number)
            self.check_full(writer.write(b"abc"))
            self.check_aborted(writer)

    def test_full_at_finish(self) -> None:
        """
        A disk that is full only when the bytes get there is told, too: at each step.
        """
        for name in ("fsync", "mkdir", "rename"):
            writer = self.create()
            self.successResultOf(writer.write(b"abc"))
            self.fail_calls(name, errno.ENOSPC)
            self.check_full(writer.finish())
            self.check_aborted(writer)

    def test_other_errors(self) -> None:
        """
        Other errors say what happened and not where; the log says both.
        """
        writer = self.create()
        self.fail_calls("write", errno.EIO)
        with capturedLogs() as events:
            failure = self.failureResultOf(writer.write(b"abc"), StoreUnavailable)
        self.assertEqual(
            str(failure.value), "store disk is not available: Input/output error"
        )
        self.assertEqual(events[0]["store"], "disk")
        self.assertIn("/secret/place", events[0]["error"])
        self.check_aborted(writer)

    def test_broken_read(self) -> None:
        """
        A piece that the disk cannot read is not called truncated or missing.
        """
        self.keep(KEY, b"abc")
        self.fail_calls("pread", errno.EIO)
        reading = self.backend.piece(KEY, 3).produce(RecordingConsumer(), 0, 3)
        self.failureResultOf(reading, StoreUnavailable)

    def test_partial_writes(self) -> None:
        """
        Bytes that the system takes in parts are all written.
        """
        self.patch(filesystem, "os", _Stingy())
        self.keep(KEY, b"0123456789")
        self.assertEqual(self.read(KEY, 10), b"0123456789")

    def test_shrunk(self) -> None:
        """
        A file that gets shorter while it is read is truncated, not at its end.
        """
        size = 3 * filesystem.CHUNK
        self.keep(KEY, bytes(size))
        place = os.path.join(self.path, "ab", KEY)
        consumer = RecordingConsumer(lambda _: os.truncate(place, filesystem.CHUNK))
        reading = self.backend.piece(KEY, size).produce(consumer, 0, size)
        error = self.failureResultOf(reading, PieceTruncated).value
        self.assertEqual((error.offset, error.size), (len(consumer.received), size))
        self.assertLess(error.offset, size)

    def test_unlinked(self) -> None:
        """
        A file that someone else removed is a piece that is not there.
        """
        self.keep(KEY, b"abc")
        os.unlink(os.path.join(self.path, "ab", KEY))
        self.failureResultOf(self.backend.piece(KEY, 3).open(), NoSuchPiece)

    def test_read_ahead(self) -> None:
        """
        For a reader that has paused, one chunk is read and no more.
        """
        size = 10 * filesystem.CHUNK
        self.keep(KEY, bytes(size))
        reads: list[tuple[Any, ...]] = []
        self.watch(lambda name, args: reads.append(args) if name == "pread" else None)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        reading = self.backend.piece(KEY, size).produce(consumer, 0, size)
        self.assertEqual(consumer.writes, [filesystem.CHUNK])
        self.assertEqual(len(reads), 2)
        consumer.leave()
        self.failureResultOf(reading)

    def check_full(self, result: Deferred[Any]) -> None:
        self.assertEqual(self.failureResultOf(result, StoreFull).value.store, "disk")

    def check_aborted(self, writer: IPieceWriter) -> None:
        self.patch(filesystem, "os", os)
        self.successResultOf(writer.abort())
        self.assertEqual(self.find(), [])


class _Stingy(Watched):
    """A system that writes three bytes at a time."""

    def __init__(self) -> None:
        super().__init__(os, (), lambda name, args: None)

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, data[:3])
