# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.filesystem``, by the rules for all backends.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase

from glancetx.backends import filesystem
from glancetx.testing import BackendTests, Fault, Watched, threaded_tools

CALLS = {
    "close",
    "fstat",
    "fsync",
    "mkdir",
    "open",
    "posix_fadvise",
    "pread",
    "rename",
    "statvfs",
    "unlink",
    "write",
}


def paths_below(path: str) -> list[str]:
    """The paths of all files below a folder."""
    walk = os.walk(path)
    return [os.path.join(folder, name) for folder, _, names in walk for name in names]


def files_below(path: str) -> list[str]:
    """The names of all files below a folder."""
    return [os.path.basename(name) for name in paths_below(path)]


def open_below(path: str) -> list[str]:
    """The names of this process's open files below a folder."""
    opened = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            opened.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return [name for name in opened if name.startswith(path + os.sep)]


class FilesystemTests(BackendTests, TestCase):
    """``FilesystemBackend``"""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.tools = threaded_tools(self)
        self.fault: Fault | None = None
        self.addCleanup(lambda: self.assertEqual(open_below(self.path), []))
        self.patch(filesystem, "os", Watched(os, CALLS, self.told))

    def make_backend(self) -> filesystem.FilesystemBackend:
        return filesystem.FilesystemBackend(self.path, self.tools)

    def leftovers(self) -> list[str]:
        return files_below(self.path)

    def open_sources(self) -> int:
        return len(open_below(self.path))

    def kill(self, writer: Any) -> None:
        os.close(writer._temporary._fd)

    def inject(self, fault: Fault) -> bool:
        self.fault = fault
        return True

    def shorten(self, count: int) -> bool:
        for name in paths_below(self.path):
            os.truncate(name, count)
        return True

    def told(self, name: str, args: object) -> None:
        if self.fault is not None:
            self.fault.check()
