# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces as files: under a name of their own until they are whole and proved.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from attrs import frozen

from glancetx.errors import PieceCorrupt, PieceTruncated
from glancetx.image import Digest

from .sinks import write_all

__all__ = ["PieceFile", "Start", "Writer", "find_start"]

PART = ".part"
READ = 1024 * 1024


@frozen
class PieceFile:
    """
    A file that is to hold one piece.

    :ivar digest: of its bytes; ``None`` if it holds several pieces.
    """

    path: str
    size: int
    digest: Digest | None = None

    @property
    def part(self) -> str:
        """Where its bytes lie until they are whole and proved."""
        return self.path + PART

    def prove(self, path: str) -> None:
        """
        Read what lies there.

        :raises PieceCorrupt: if it is not the piece.
        """
        if self.digest is None:
            return
        found = hashlib.new(self.digest.algorithm, usedforsecurity=False)
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(READ):
                found.update(chunk)
        if found.hexdigest() != self.digest.value:
            raise PieceCorrupt(path, f"its {self.digest.algorithm} is another")


@frozen
class Start:
    """
    From where a broken restoration goes on.

    :ivar index: of the first file that is not whole.
    :ivar have: bytes of it that are there.
    """

    index: int = 0
    have: int = 0


def find_start(files: Sequence[PieceFile], force: bool) -> Start:
    """
    See what is there of some files, from the first on; this blocks.

    :param force: replace a file that has the name, but is another piece.
    :raises PieceCorrupt: if there is such a file, and it may not be replaced.
    """
    for index, file in enumerate(files):
        if not os.path.exists(file.path):
            have = os.path.getsize(file.part) if os.path.exists(file.part) else 0
            return Start(index, min(have, file.size))
        try:
            file.prove(file.path)
        except PieceCorrupt as error:
            if force:
                return Start(index, 0)
            error.problem += "; --force replaces it"
            raise
    return Start(len(files), 0)


class Writer:
    """
    Cuts a stream of pieces into their files. All of it blocks.

    A file gets its name when it is whole. What came through the client is proved by
    then; a file that was begun earlier is read again first.
    """

    def __init__(self, files: Sequence[PieceFile], start: Start) -> None:
        self._files = files
        self._index = start.index
        self._have = start.have
        self._begun_earlier = start.have > 0
        self._fd = -1

    def begin(self) -> None:
        """
        Open the first file; those that need no more bytes get their names.

        :raises OSError: if it cannot be written.
        :raises PieceCorrupt: as :meth:`write`.
        """
        self._open()

    def write(self, data: bytes) -> None:
        """
        Take the next bytes.

        :raises OSError: if they cannot be written.
        :raises PieceCorrupt: if a file that was begun earlier turns out wrong, or
            there is no file left for them.
        """
        view = memoryview(data)
        while view:
            if self._index == len(self._files):
                raise PieceCorrupt(self._files[-1].path, "more came than its size")
            room = self._files[self._index].size - self._have
            write_all(self._fd, view[:room])
            self._have += len(view[:room])
            view = view[room:]
            self._next()

    def finish(self) -> None:
        """
        See that every file is whole.

        :raises PieceTruncated: if one is not.
        """
        if self._index < len(self._files):
            file = self._files[self._index]
            raise PieceTruncated(file.path, self._have, file.size)

    def close(self) -> None:
        """Leave what is there as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def part(self) -> str | None:
        """The file that is not whole yet, if there is any of it."""
        if self._index == len(self._files):
            return None
        part = self._files[self._index].part
        return part if os.path.exists(part) else None

    def _open(self) -> None:
        if self._index < len(self._files):
            part = self._files[self._index].part
            self._fd = os.open(part, os.O_WRONLY | os.O_CREAT, 0o666)
            os.ftruncate(self._fd, self._have)
            os.lseek(self._fd, 0, os.SEEK_END)
            self._next()

    def _next(self) -> None:
        """Go on to the next file if this one is whole."""
        file = self._files[self._index]
        if self._have < file.size:
            return
        self.close()
        if self._begun_earlier:
            file.prove(file.part)
        os.rename(file.part, file.path)
        self._index += 1
        self._have, self._begun_earlier = 0, False
        self._open()
