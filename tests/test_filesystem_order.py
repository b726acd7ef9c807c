# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the order in which ``glancetx.backends.filesystem`` calls the system.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from glancetx.backends import filesystem
from glancetx.errors import StoreUnavailable

from .filesystem_case import KEY, NEXT, FilesystemCase

ADVISE = "posix_fadvise"


class OrderTests(FilesystemCase):
    """What is done before what, so that a power failure harms nothing"""

    def setUp(self) -> None:
        super().setUp()
        self.calls: list[str] = []

    def record(self) -> None:
        """Remember the calls that change something, with paths in the store."""

        def told(name: str, args: tuple[Any, ...]) -> None:
            if name == "open" and not args[1] & os.O_CREAT:
                return
            if name not in ("close", "pread"):
                self.calls.append(" ".join([name, *map(self.named, args[:2])]).strip())

        self.watch(told)

    def named(self, argument: Any) -> str:
        """A path, relative to the store, of a path or descriptor; else nothing."""
        if isinstance(argument, int) and argument < os.O_CREAT:
            argument = os.readlink(f"/proc/self/fd/{argument}")
        if not isinstance(argument, str):
            return ""
        return os.path.relpath(argument, self.path)

    def test_commit(self) -> None:
        """
        A piece gets its name when its bytes are durable, and finish fires when its
        name, and its folder's, are durable too.
        """
        self.record()
        self.keep(KEY, b"abc")
        self.assertEqual(
            self.calls,
            [
                f"open tmp/{KEY}",
                f"write tmp/{KEY}",
                f"fsync tmp/{KEY}",
                "mkdir ab",
                "fsync .",
                f"rename tmp/{KEY} ab/{KEY}",
                "fsync ab",
            ],
        )

    def test_write_back(self) -> None:
        """
        The disk begins to write while the bytes arrive, each of them once.
        """
        self.patch(filesystem, "WRITE_BACK", 10)
        begun: list[tuple[Any, ...]] = []
        self.watch(
            lambda name, args: begun.append(args[1:]) if name == ADVISE else None
        )
        writer = self.create()
        for size in (9, 1, 25, 9):
            self.successResultOf(writer.write(bytes(size)))
        self.successResultOf(writer.finish())
        advice = os.POSIX_FADV_DONTNEED
        self.assertEqual(begun, [(0, 10, advice), (10, 25, advice)])

    def test_next_commit(self) -> None:
        """
        The folder of another piece need not be made durable again.
        """
        self.keep(KEY, b"abc")
        self.record()
        self.keep(NEXT, b"abc")
        self.assertEqual(
            self.calls[2:],
            [f"fsync tmp/{NEXT}", f"rename tmp/{NEXT} ab/{NEXT}", "fsync ab"],
        )

    def test_folder_of_a_stranger(self) -> None:
        """
        A folder that another process made is made durable before it is used: that
        process may have died before it did so.
        """
        os.mkdir(os.path.join(self.path, "ab"))
        self.record()
        self.keep(KEY, b"abc")
        self.assertIn("fsync .", self.calls)

    def test_folder_that_failed(self) -> None:
        """
        A folder that could not be made durable is tried again for the next piece.
        """

        def told(name: str, args: tuple[Any, ...]) -> None:
            if name == "fsync" and self.named(args[0]) == ".":
                raise OSError(errno.EIO, "broken")

        self.watch(told)
        self.failureResultOf(self.create().finish(), StoreUnavailable)
        self.record()
        self.keep(NEXT, b"abc")
        self.assertIn("fsync .", self.calls)

    def test_remove(self) -> None:
        """
        What was removed stays away after a power failure.
        """
        self.keep(KEY, b"abc")
        self.record()
        self.successResultOf(self.backend.remove(KEY))
        self.assertEqual(
            self.calls,
            [f"unlink ab/{KEY}", "fsync ab", f"unlink tmp/{KEY}", "fsync tmp"],
        )

    def test_abort(self) -> None:
        """
        What was aborted stays away after a power failure.
        """
        writer = self.create()
        self.record()
        self.successResultOf(writer.abort())
        self.assertEqual(self.calls[-2:], [f"unlink tmp/{KEY}", "fsync tmp"])

    def test_make(self) -> None:
        """
        A new store's folder is made durable, with all those above that were missing.
        """
        above = self.path
        self.path = os.path.join(above, "one", "two")
        self.record()
        self.new_backend()
        self.assertEqual(
            self.calls, ["mkdir ..", "fsync ../..", "mkdir .", "fsync ..", "mkdir tmp"]
        )
