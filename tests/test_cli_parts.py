# Copyright glancetx contributors. See LICENSE for details.

"""
The command's own parts: words, headers of disks, sinks and files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glancetx.cli.files import PieceFile, Start, Writer, find_start
from glancetx.cli.qcow2 import Header, read_header
from glancetx.cli.sinks import HIGH, Sink, write_all
from glancetx.cli.words import plain, size_text, suffix, table
from glancetx.errors import PieceCorrupt, PieceTruncated
from glancetx.image import Digest

from .disks import make_qcow2


class WordsTests(SynchronousTestCase):
    """``glancetx.cli.words``"""

    def test_sizes(self) -> None:
        """
        Bytes are given in the largest unit that leaves a whole number before the dot.
        """
        for size, text in (
            (None, "-"),
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024**2, "1.0 MiB"),
            (5 * 1024**3, "5.0 GiB"),
            (2**60, "1024.0 PiB"),
        ):
            self.assertEqual(size_text(size), text)

    def test_plain(self) -> None:
        """
        What a terminal would obey is escaped; other letters stay as they are.
        """
        self.assertEqual(plain("größe 🐧"), "größe 🐧")
        self.assertEqual(plain("a\x1b[2J\n\u202eb"), "a\\x1b[2J\\n\\u202eb")
        self.assertEqual((plain(None), plain("")), ("-", "-"))

    def test_suffix(self) -> None:
        """
        Only a plain word ends a file's name.
        """
        self.assertEqual(suffix("qcow2"), "qcow2")
        for odd in (None, "", "/etc", "..", "RAW", "x" * 17, "a\n"):
            self.assertEqual(suffix(odd), "bin")

    def test_table(self) -> None:
        """
        Columns are as wide as their widest word, and no line ends in blanks.
        """
        found = table(("A", "BB", "C"), [("aaa", "b", "")])
        self.assertEqual(found, "A    BB  C\naaa  b")


class HeaderTests(SynchronousTestCase):
    """``read_header()``"""

    def test_headers(self) -> None:
        """
        The backing file's name is read, and whether the data lie elsewhere.
        """
        for backing, features, header in (
            ("", 0, Header(None, False)),
            ("golden", 0, Header("golden", False)),
            ("", 4, Header(None, True)),
            ("", 3, Header(None, False)),
        ):
            path = make_qcow2(self.mktemp(), backing=backing, features=features)
            self.assertEqual(read_header(str(path)), header)

    def test_no_header(self) -> None:
        """
        What is no qcow2 file has none; one that was cut is read as far as it goes.
        """
        path = Path(self.mktemp())
        for data in (b"", b"QFI", b"disk" * 100, b"QFI\xfb\0\0"):
            path.write_bytes(data)
            self.assertIsNone(read_header(str(path)))
        whole = make_qcow2(path, backing="golden").read_bytes()
        path.write_bytes(whole[:30])
        self.assertEqual(read_header(str(path)), Header("", False))


class FakeThreads:
    """A pool and a reactor whose thread works when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], function: Any, *args: Any
    ) -> None:
        def job() -> None:
            try:
                result = function(*args)
            except Exception as error:
                done(False, Failure(error))
            else:
                done(True, result)

        self.jobs.append(job)

    def callFromThread(self, function: Any, *args: Any) -> None:
        function(*args)

    def work(self) -> None:
        """Do one job."""
        self.jobs.pop(0)()


class FakeProducer:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class SinkTests(SynchronousTestCase):
    """``Sink``"""

    def setUp(self) -> None:
        self.threads: Any = FakeThreads()
        self.written = bytearray()
        self.progress: list[int] = []
        self.producer: Any = FakeProducer()

    def sink(self, write: Callable[[bytes], Any]) -> Sink:
        """A sink that our producer feeds."""
        sink = Sink(write, self.threads, self.threads, self.progress.append)
        sink.registerProducer(self.producer, True)
        return sink

    def test_order(self) -> None:
        """
        Everything is written in order, by one thread at a time.
        """
        sink = self.sink(self.written.extend)
        for letter in b"abc":
            sink.write(bytes([letter]))
        self.assertEqual(len(self.threads.jobs), 1)
        flushed = Deferred.fromCoroutine(sink.flush())
        self.threads.work()
        self.assertNoResult(flushed)
        self.threads.work()
        self.successResultOf(flushed)
        self.assertEqual(bytes(self.written), b"abc")
        self.assertEqual(self.progress, [1, 2])

    def test_back_pressure(self) -> None:
        """
        A producer is paused while more is waiting than may, and resumed after.
        """
        sink = self.sink(self.written.extend)
        sink.write(bytes(HIGH))
        self.assertEqual(self.producer.told, [])
        sink.write(b"more")
        self.assertEqual(self.producer.told, ["pause"])
        self.threads.work()
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_failure(self) -> None:
        """
        What cannot be written stops the producer, and is raised at the end.
        """

        def full(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        sink = self.sink(full)
        sink.write(b"a")
        sink.write(b"b")
        self.threads.work()
        self.assertEqual((self.producer.told, self.threads.jobs), (["stop"], []))
        self.failureResultOf(Deferred.fromCoroutine(sink.flush()), OSError)

    def test_write_all(self) -> None:
        """
        A pipe that takes a part is given the rest.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        real = os.write
        self.patch(os, "write", lambda fd, data: real(fd, data[:2]))
        write_all(writer, b"abcde")
        os.close(writer)
        self.assertEqual(os.read(reader, 10), b"abcde")


class WriterTests(SynchronousTestCase):
    """``Writer`` and ``find_start()``"""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def files(self, *pieces: bytes) -> list[PieceFile]:
        """A file for each piece."""
        return [
            PieceFile(
                str(self.folder / str(number)),
                len(data),
                Digest("sha256", hashlib.sha256(data).hexdigest()),
            )
            for number, data in enumerate(pieces)
        ]

    def write(self, files: list[PieceFile], start: Start, *chunks: bytes) -> None:
        """Write chunks into files, to the end."""
        writer = Writer(files, start)
        self.addCleanup(writer.close)
        writer.begin()
        for chunk in chunks:
            writer.write(chunk)
        writer.finish()

    def found(self) -> dict[str, bytes]:
        """What lies in the folder."""
        return {one.name: one.read_bytes() for one in self.folder.iterdir()}

    def test_cut(self) -> None:
        """
        However the chunks fall, each file gets its piece.
        """
        files = self.files(b"one", b"", b"three", b"")
        whole = b"onethree"
        for size in range(1, 9):
            chunks = [whole[n : n + size] for n in range(0, 8, size)]
            self.write(files, Start(), *chunks)
            self.assertEqual(
                self.found(), {"0": b"one", "1": b"", "2": b"three", "3": b""}
            )
            for one in self.folder.iterdir():
                one.unlink()

    def test_short(self) -> None:
        """
        A piece that is not whole keeps the name of a part.
        """
        with self.assertRaises(PieceTruncated):
            self.write(self.files(b"one", b"two"), Start(), b"onet")
        self.assertEqual(self.found(), {"0": b"one", "1.part": b"t"})

    def test_long(self) -> None:
        """
        More bytes than there are files for are refused.
        """
        with self.assertRaises(PieceCorrupt):
            self.write(self.files(b"one"), Start(), b"one!")

    def test_old_part(self) -> None:
        """
        A part of which nothing is wanted is begun anew.
        """
        (self.folder / "0.part").write_bytes(b"something long")
        self.write(self.files(b"one"), Start(), b"one")
        self.assertEqual(self.found(), {"0": b"one"})

    def test_resumed(self) -> None:
        """
        A part is gone on with, and read as a whole before it gets its name.
        """
        files = self.files(b"one", b"two")
        (self.folder / "0").write_bytes(b"one")
        (self.folder / "1.part").write_bytes(b"tw")
        self.assertEqual(find_start(files, False), Start(1, 2))
        self.write(files, Start(1, 2), b"o")
        self.assertEqual(self.found(), {"0": b"one", "1": b"two"})
        self.assertEqual(find_start(files, False), Start(2, 0))

    def test_wrong_part(self) -> None:
        """
        A part that was wrong does not get the name.
        """
        (self.folder / "0.part").write_bytes(b"xx")
        with self.assertRaises(PieceCorrupt):
            self.write(self.files(b"one"), Start(0, 2), b"e")
        self.assertEqual(self.found(), {"0.part": b"xxe"})

    def test_too_large_part(self) -> None:
        """
        A part that is larger than its piece is cut, and found out.
        """
        (self.folder / "0.part").write_bytes(b"one and more")
        files = self.files(b"one")
        self.assertEqual(find_start(files, False), Start(0, 3))
        self.write(files, Start(0, 3))
        self.assertEqual(self.found(), {"0": b"one"})
