# Copyright glancetx contributors. See LICENSE for details.

"""
Where the bytes of an upload come from.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import IO, Any, TypeAlias

from attrs import frozen

from glancetx.errors import BadValue

__all__ = ["Source", "Threaded", "open_source"]

CHUNK = 256 * 1024
"""Bytes of a file that are read at once."""

Source: TypeAlias = str | os.PathLike[str] | IO[bytes] | AsyncGenerator[bytes, None]
"""The path of a file, an open binary file, or a generator of chunks."""

Threaded: TypeAlias = Callable[..., Awaitable[Any]]
"""Calls a blocking function in a thread."""


@frozen
class OpenSource:
    """
    Bytes that are ready to be sent.

    :ivar size: how many there are, ``None`` if only the end will tell.
    :ivar close: gives back what was opened for it.
    """

    size: int | None
    chunks: AsyncGenerator[bytes, None]
    close: Callable[[], object]


async def open_source(
    source: Source, size: int | None, threaded: Threaded
) -> OpenSource:
    """
    Make a source ready.

    :param size: how many bytes it has, where the caller knows it. A file is sent
        from its present position, and one that was opened by the caller stays open.
    :raises OSError: if the file cannot be opened.
    :raises BadValue: if a file does not have ``size`` bytes.
    """
    if isinstance(source, AsyncGenerator):
        return OpenSource(size, source, _nothing)
    file: IO[bytes]
    if isinstance(source, str | os.PathLike):
        file = await threaded(open, source, "rb")
        close: Callable[[], object] = file.close
    else:
        file, close = source, _nothing
    try:
        found = _remaining(file)
        if found is not None and size not in (None, found):
            raise BadValue("size", f"the file has {found} bytes, not {size}")
    except BaseException:
        close()
        raise
    size = size if found is None else found
    return OpenSource(size, _read(file, size, threaded), close)


def _nothing() -> None:
    """Leave open what the caller opened."""


def _remaining(file: IO[bytes]) -> int | None:
    """The bytes from here to the end, if it is a file that has an end."""
    if not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


async def _read(
    file: IO[bytes], size: int | None, threaded: Threaded
) -> AsyncGenerator[bytes, None]:
    left = size
    while left is None or left > 0:
        chunk = await threaded(file.read, CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            return
        if left is not None:
            left -= len(chunk)
        yield chunk
