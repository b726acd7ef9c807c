# Copyright glancetx contributors. See LICENSE for details.

"""
Streams of the client into files, or into a pipe.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.threads import deferToThreadPool

from glancetx.errors import (
    PieceCorrupt,
    ReaderGone,
)

from .failures import Failed
from .files import PieceFile, Start, Writer, find_start
from .running import Session
from .sinks import Sink, pipe_thread, write_all

__all__ = ["Play", "save", "to_stdout"]

STDOUT = 1

T = TypeVar("T")

Play = Callable[[IConsumer, int], Awaitable[None]]
"""Writes a stream from a given byte on."""


async def save(
    session: Session,
    what: str,
    files: Sequence[PieceFile],
    play: Play,
    resume: bool,
    force: bool,
) -> None:
    """
    Write a stream into files, each under its name only when it is whole and proved.

    :param what: what a bar calls it.
    :param resume: go on with what an earlier attempt left.
    :param force: replace what has such a name and is something else.
    :raises Failed: if there is such a file, and it may not be replaced; if what is
        there is no file, it never may.
    :raises PieceCorrupt: if what came, or was left, is not what it should be.
    """
    threads = pipe_thread()

    def threaded(function: Callable[..., T], *args: Any) -> Deferred[T]:
        return deferToThreadPool(session.reactor, threads, function, *args)

    try:
        _require_files(files)
        start = Start()
        if resume:
            start = await threaded(find_start, files, force)
        elif not force:
            _refuse_existing(files)
        have = sum(file.size for file in files[: start.index]) + start.have
        total = sum(file.size for file in files)
        writer = Writer(files, start)
        with session.console.bar(what, total, have) as bar:
            sink = Sink(writer.write, session.reactor, threads, bar.update)
            try:
                await threaded(writer.begin)
                if have < total:
                    await _play_into(sink, play(sink, have))
                writer.finish()
            except BaseException as error:
                await sink.settle()
                _leave(session, writer, error)
                raise
    finally:
        threads.stop()


def _require_files(files: Sequence[PieceFile]) -> None:
    """
    See that no device, pipe or link is read as what is left, nor replaced by a file.

    :raises Failed: if there is one.
    """
    for path in [path for file in files for path in (file.path, file.part)]:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise Failed(f"{path} is there already, and no file; choose another name")


def _refuse_existing(files: Sequence[PieceFile]) -> None:
    """
    See that nothing is overwritten.

    :raises Failed: if a file is there already.
    """
    for file in files:
        if os.path.lexists(file.path):
            raise Failed(f"{file.path} is there already; --force replaces it")


def _leave(session: Session, writer: Writer, error: BaseException) -> None:
    """Keep what an interrupted stream brought; wrong bytes are of no use."""
    writer.close()
    part = writer.part
    if part is None:
        return
    if isinstance(error, PieceCorrupt) or os.path.getsize(part) == 0:
        os.remove(part)
    else:
        session.console.say(f"what came is kept in {part}; --resume goes on from there")


async def to_stdout(session: Session, what: str, total: int, play: Play) -> None:
    """Write a stream to the standard output."""
    threads = pipe_thread()
    with session.console.bar(what, total) as bar:
        write = partial(write_all, STDOUT)
        sink = Sink(write, session.reactor, threads, bar.update)
        await _play_into(sink, play(sink, 0))


async def _play_into(sink: Sink, playing: Awaitable[None]) -> None:
    try:
        await playing
    except ReaderGone:
        await sink.flush()  # which knows why
        raise
    await sink.flush()
