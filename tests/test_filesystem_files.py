# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the files that ``glancetx.backends.filesystem`` makes.
"""

from __future__ import annotations

import os

from zope.interface.verify import verifyObject

from glancetx.backends import filesystem
from glancetx.errors import ConfigError, StoreUnavailable
from glancetx.interfaces import IBackendFactory
from glancetx.testing import inline_tools

from .filesystem_case import KEY, NEXT, FilesystemCase


class LayoutTests(FilesystemCase):
    """Which files there are"""

    def test_factory(self) -> None:
        """
        The factory provides ``IBackendFactory``.
        """
        verifyObject(IBackendFactory, filesystem.filesystem)

    def test_piece(self) -> None:
        """
        A finished piece is a file named by its key, in the folder of its first digits.
        """
        self.keep(KEY, b"abc")
        self.assertEqual(self.find(), [f"ab/{KEY}"])
        with open(os.path.join(self.path, "ab", KEY), "rb") as file:
            self.assertEqual(file.read(), b"abc")

    def test_temporary(self) -> None:
        """
        An unfinished piece is a file among the temporaries.
        """
        writer = self.create()
        self.assertEqual(self.find(), [f"tmp/{KEY}"])
        self.successResultOf(writer.abort())

    def test_modes(self) -> None:
        """
        Only the server's own user can read what it keeps, whatever the umask.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.path = os.path.join(self.path, "deep", "down")
        self.backend = self.new_backend()
        self.keep(KEY, b"abc")
        folders = [self.mode(), self.mode("tmp"), self.mode("ab"), self.mode("..")]
        self.assertEqual(folders, [0o700] * 4)
        self.assertEqual(self.mode("ab", KEY), 0o600)

    def test_keys(self) -> None:
        """
        Only keys as the server makes them are used to name files.
        """
        wrong = ["", "../../../etc/passwd", "AB" + KEY[2:], KEY[1:], KEY + "0"]
        for key in [*wrong, KEY + "\n", "ab/" + KEY[3:], "\uff10" * 32]:
            self.assertRaises(ValueError, self.backend.piece, key, 1)
            self.assertRaises(ValueError, self.backend.create, key, 1)
            self.assertRaises(ValueError, self.backend.remove, key)

    def test_key_in_use(self) -> None:
        """
        Two writers never write to one file.
        """
        writer = self.create()
        self.successResultOf(writer.write(b"abc"))
        self.failureResultOf(self.backend.create(KEY, None), StoreUnavailable)
        self.successResultOf(writer.finish())
        self.assertEqual(self.read(KEY, 3), b"abc")

    def test_folder_is_a_file(self) -> None:
        """
        A path at which there is a file stops the start, with the name of the key.
        """
        path = os.path.join(self.path, "file")
        with open(path, "wb"):
            pass
        error = self.assertRaises(
            ConfigError, filesystem.filesystem.make, {"path": path}, inline_tools()
        )
        self.assertEqual(error.key, "path")
        self.assertIn("Not a directory", error.problem)

    def test_folder_is_not_writable(self) -> None:
        """
        A folder into which nothing can be written stops the start.
        """
        self.patch(os, "access", lambda path, mode: not mode & os.W_OK)
        error = self.assertRaises(ConfigError, self.new_backend)
        self.assertEqual(error.key, "path")

    def test_link(self) -> None:
        """
        A symbolic link in the place of a piece is not followed.
        """
        self.keep(KEY, b"abc")
        os.symlink(KEY, os.path.join(self.path, "ab", NEXT))
        opening = self.backend.piece(NEXT, 1).open()
        self.failureResultOf(opening, StoreUnavailable)

    def test_not_a_file(self) -> None:
        """
        A folder in the place of a piece is not read.
        """
        os.makedirs(os.path.join(self.path, "ab", KEY))
        error = self.failureResultOf(self.backend.piece(KEY, 0).open()).value
        self.assertEqual(
            str(error), "store disk is not available: the piece is not a file"
        )
