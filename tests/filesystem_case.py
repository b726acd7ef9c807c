# Copyright glancetx contributors. See LICENSE for details.

"""
A store of files for the tests of ``glancetx.backends.filesystem``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends import filesystem
from glancetx.interfaces import IPieceWriter
from glancetx.testing import RecordingConsumer, Watched, inline_tools

__all__ = ["KEY", "NEXT", "FilesystemCase"]

KEY = "ab" + "0" * 30
NEXT = "ab" + "1" * 30
CALLS = {
    "close",
    "fsync",
    "mkdir",
    "open",
    "posix_fadvise",
    "pread",
    "rename",
    "unlink",
    "write",
}


class FilesystemCase(SynchronousTestCase):
    """A store whose calls to the system can be watched and failed."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.backend = self.new_backend()

    def new_backend(self) -> filesystem.FilesystemBackend:
        return filesystem.filesystem.make({"path": self.path}, inline_tools("disk"))

    def watch(self, told: Callable[[str, tuple[Any, ...]], None]) -> None:
        """Call ``told`` before each call to the system."""
        self.patch(filesystem, "os", Watched(os, CALLS, told))

    def fail_calls(self, name: str, number: int) -> None:
        """Let each call of a function fail with this error number."""

        def told(called: str, args: tuple[Any, ...]) -> None:
            if called == name:
                raise OSError(number, os.strerror(number), "/secret/place")

        self.watch(told)

    def create(self, key: str = KEY, size: int | None = None) -> IPieceWriter:
        return self.successResultOf(self.backend.create(key, size))

    def keep(self, key: str, data: bytes) -> None:
        writer = self.create(key)
        self.successResultOf(writer.write(data))
        self.successResultOf(writer.finish())

    def read(self, key: str, size: int) -> bytes:
        consumer = RecordingConsumer()
        self.successResultOf(self.backend.piece(key, size).produce(consumer, 0, size))
        return bytes(consumer.received)

    def find(self) -> list[str]:
        """All files, by their paths below the store's folder."""
        return sorted(
            os.path.relpath(os.path.join(folder, name), self.path)
            for folder, _, names in os.walk(self.path)
            for name in names
        )

    def mode(self, *names: str) -> int:
        return stat.S_IMODE(os.stat(os.path.join(self.path, *names)).st_mode)
