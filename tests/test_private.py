# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.private}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from glancetx.private import MOST, read_private, read_secret


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
