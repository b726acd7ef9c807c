# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.private}.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from glancetx import private
from glancetx.private import MOST, locked, read_private, read_secret, write_private

WRITER = """
import os, sys
from glancetx import private

def add(path, line):
    with private.locked(path):
        private.write_private(path, private.read_private(path) + line)

path, name = sys.argv[1:]
for number in range(50):
    add(path, f"{name} {number}\\n".encode())
"""
KILLED = """
import os, signal, sys
from glancetx import private

def kill(*args):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[2], kill)
with private.locked(sys.argv[1]):
    private.write_private(sys.argv[1], b"new")
"""


class PrivateCase(SynchronousTestCase):
    """Makes files."""

    def make(self, content: bytes, mode: int = 0o600) -> str:
        path: str = os.path.abspath(self.mktemp())
        Path(path).write_bytes(content)
        os.chmod(path, mode)
        return path

    def assert_refused(self, path: str, problem: str) -> None:
        """Both functions say what is wrong, in these words."""
        for read in (read_private, read_secret):
            with self.assertRaises(ValueError) as caught:
                read(path)
            self.assertEqual(str(caught.exception), problem)


class ReadPrivateTests(PrivateCase):
    """``read_private``"""

    def test_content(self) -> None:
        """
        What only its user can read is read.
        """
        for mode in (0o600, 0o400, 0o700):
            self.assertEqual(read_private(self.make(b"a\nb\n", mode)), b"a\nb\n")

    def test_others(self) -> None:
        """
        No right to read or write it may be the group's or others'.
        """
        for bit in (0o040, 0o020, 0o004, 0o002):
            path = self.make(b"a", 0o600 | bit)
            self.assert_refused(
                path,
                f"has mode {0o600 | bit:04o}, so that others may use what it holds; "
                f"chmod 600 {path}",
            )

    def test_link(self) -> None:
        """
        Of a link, the mode of the file counts that it leads to.
        """
        path = self.mktemp()
        os.symlink(self.make(b"a", 0o644), path)
        with self.assertRaises(ValueError):
            read_private(path)

    def test_no_file(self) -> None:
        """
        A folder, a pipe without a writer and what is not there are refused at once.
        """
        folder, pipe = self.mktemp(), self.mktemp()
        os.mkdir(folder, 0o700)
        os.mkfifo(pipe, 0o600)
        self.assert_refused(folder, "is not a file")
        self.assert_refused(pipe, "is not a file")
        self.assert_refused(self.mktemp(), "cannot be read: No such file or directory")

    def test_too_large(self) -> None:
        """
        What cannot be meant is not read into memory.
        """
        path = self.make(b"")
        os.truncate(path, MOST + 1)
        self.assert_refused(path, f"has {MOST + 1} bytes; the most is {MOST}")


class ReadSecretTests(PrivateCase):
    """``read_secret``"""

    def test_line(self) -> None:
        """
        The line break at the end is the editor's, and does not count.
        """
        for content in (b"secret", b"secret\n", b"secret\r\n"):
            self.assertEqual(read_secret(self.make(content)), "secret")

    def test_not_one_line(self) -> None:
        """
        Nothing, two lines, blanks and what is not ASCII are refused.
        """
        for content in (b"a\nb", b"a b", b"a\t", b" a", b"\xc3\xa9", b"a\n\n", b"\0"):
            with self.assertRaises(ValueError) as caught:
                read_secret(self.make(content))
            self.assertIn("one line of ASCII", str(caught.exception))
        for content in (b"", b"\n"):
            with self.assertRaises(ValueError) as caught:
                read_secret(self.make(content))
            self.assertIn("is empty", str(caught.exception))


class WriteCase(PrivateCase):
    """Writes a file in a folder of its own."""

    def write(self, path: str, data: bytes) -> None:
        with locked(path):
            write_private(path, data)

    def entries(self, path: str) -> list[str]:
        """What lies in the folder of a file."""
        return os.listdir(os.path.dirname(path))

    def setUp(self) -> None:
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        self.path = os.path.join(folder, "secrets")


class WritePrivateTests(WriteCase):
    """``write_private``"""

    def test_new(self) -> None:
        """
        A file that was not there is made, for its user alone, whatever the umask.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.write(self.path, b"a")
        self.assertEqual(read_private(self.path), b"a")
        self.assertEqual(self.entries(self.path), ["secrets"])

    def test_replaced(self) -> None:
        """
        Who has the old file open sees the old one to its end.
        """
        self.write(self.path, b"old")
        with open(self.path, "rb") as file:
            self.write(self.path, b"new")
            self.assertEqual(file.read(), b"old")
        self.assertEqual(read_private(self.path), b"new")

    def test_closed_again(self) -> None:
        """
        A file that others could read is one that they cannot, once written.
        """
        Path(self.path).write_bytes(b"old")
        os.chmod(self.path, 0o666)
        self.write(self.path, b"new")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_link(self) -> None:
        """
        Of a link, the file is replaced that it leads to.
        """
        link = self.path + ".link"
        os.symlink("secrets", link)
        self.write(link, b"a")
        self.assertTrue(os.path.islink(link))
        self.assertEqual(read_private(self.path), b"a")

    def test_owner(self) -> None:
        """
        What root writes stays the file of the user whose it was.
        """
        if os.geteuid() != 0:
            self.skipTest("only root can give a file away")
        self.write(self.path, b"old")
        os.chown(self.path, 12345, 12346)
        self.write(self.path, b"new")
        found = os.stat(self.path)
        self.assertEqual((found.st_uid, found.st_gid), (12345, 12346))

    def test_failure(self) -> None:
        """
        What cannot be written leaves the old file, and no other.
        """
        self.write(self.path, b"old")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "no room")

        self.patch(os, "fsync", full)
        self.assertRaises(OSError, self.write, self.path, b"new")
        self.assertEqual(read_private(self.path), b"old")
        self.assertEqual(self.entries(self.path), ["secrets"])

    def test_order(self) -> None:
        """
        The bytes are on the disk before the name is, and the name before it returns.
        """
        calls: list[str] = []

        def note(name: str) -> None:
            call = getattr(os, name)

            def noted(*args: object) -> object:
                calls.append(name)
                return call(*args)

            self.patch(os, name, noted)

        note("fsync")
        note("rename")
        self.write(self.path, b"a")
        self.assertEqual(calls, ["fsync", "rename", "fsync"])

    def test_no_folder(self) -> None:
        """
        A folder that is not there is named.
        """
        with self.assertRaises(FileNotFoundError) as caught:
            self.write(os.path.join(self.path, "x"), b"")
        self.assertEqual(caught.exception.filename, self.path)


class ProcessesTests(WriteCase):
    """``locked`` and ``write_private``: several processes"""

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        home = os.path.dirname(os.path.dirname(os.path.abspath(private.__file__)))
        environment = {**os.environ, "PYTHONPATH": home}
        line = [sys.executable, "-c", program, self.path, *arguments]
        return subprocess.Popen(line, env=environment)

    def test_at_once(self) -> None:
        """
        Of two processes that add lines at once, none loses one of the other's.
        """
        self.write(self.path, b"")
        writers = [self.start(WRITER, name) for name in "ab"]
        self.assertEqual([writer.wait() for writer in writers], [0, 0])
        lines = read_private(self.path).decode().splitlines()
        expected = [f"{name} {number}" for name in "ab" for number in range(50)]
        self.assertEqual(sorted(lines), sorted(expected))

    def test_killed(self) -> None:
        """
        A writer that is killed leaves the old file, and nothing in the next one's way.
        """
        self.write(self.path, b"old")
        for call in ("fsync", "rename"):
            killed = self.start(KILLED, call)
            self.assertEqual(killed.wait(), -signal.SIGKILL)
            self.assertEqual(read_private(self.path), b"old")
        self.write(self.path, b"new")
        self.assertEqual(read_private(self.path), b"new")
        self.assertEqual(self.entries(self.path), ["secrets"])

    def test_never_let_go(self) -> None:
        """
        Who waits for one that never lets go is told so in the end.
        """
        self.patch(private, "PATIENCE", 0)
        with locked(self.path):
            with self.assertRaises(OSError) as caught:
                self.write(self.path, b"")
        self.assertIn("had it locked", str(caught.exception))
        self.assertEqual(caught.exception.filename, os.path.dirname(self.path))
