# Copyright glancetx contributors. See LICENSE for details.

"""
Small neighbours that are at hand, read together in one thread job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from attrs import frozen

from glancetx.errors import PieceTruncated

from .segments import Literal, Zeros

__all__ = ["JOB", "FileSlice", "Local", "jobs", "read"]

JOB = 512 * 1024
"""Bytes that one thread job reads."""


@frozen
class FileSlice:
    """The bytes ``[start, stop)`` of an open file."""

    fd: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def cut(self, start: int, stop: int) -> FileSlice:
        return FileSlice(self.fd, self.start + start, self.start + stop)


Local = Literal | Zeros | FileSlice


def jobs(parts: Sequence[Local]) -> Iterator[list[Local]]:
    """Deal out parts, cut where needed, into jobs of at most :data:`JOB` bytes."""
    job: list[Local] = []
    room = JOB
    for part in parts:
        offset = 0
        while offset < part.length:
            taken = min(room, part.length - offset)
            job.append(part.cut(offset, offset + taken))
            offset += taken
            room -= taken
            if not room:
                yield job
                job, room = [], JOB
    if job:
        yield job


def read(job: Sequence[Local]) -> bytes:
    """
    The bytes of a job; blocks.

    :raises PieceTruncated: if a file is shorter than it was.
    """
    return b"".join(_bytes(part) for part in job)


def _bytes(part: Local) -> bytes:
    if isinstance(part, Literal):
        return part.data
    if isinstance(part, Zeros):
        return bytes(part.length)
    data = os.pread(part.fd, part.length, part.start)
    while len(data) < part.length:
        more = os.pread(part.fd, part.length - len(data), part.start + len(data))
        if not more:
            offset = part.start + len(data)
            raise PieceTruncated(f"on descriptor {part.fd}", offset, part.stop)
        data += more
    return data
