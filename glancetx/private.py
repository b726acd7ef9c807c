# Copyright glancetx contributors. See LICENSE for details.

"""
Files that hold secrets: read only if nobody else can read them.
"""

from __future__ import annotations

import os
import stat

__all__ = ["read_private", "read_secret"]

OTHERS = 0o077
MOST = 16 * 1024 * 1024
"""No list of tokens is longer; a wrong path may lead to something that is."""


def read_private(path: str) -> bytes:
    """
    What a file holds.

    :raises ValueError: with a sentence, the path not in it: the file cannot be read,
        is no file, or the group or others may read or write it.
    """
    try:
        # a pipe without a writer would be waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor), path)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _check(found: os.stat_result, path: str) -> None:
    """:raises ValueError: if it is no file, or no private one."""
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is not a file")
    if found.st_mode & OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise ValueError(
            f"has mode {mode:04o}, so that others may use what it holds; "
            f"chmod 600 {path}"
        )
    if found.st_size > MOST:
        raise ValueError(f"has {found.st_size} bytes; the most is {MOST}")


def read_secret(path: str) -> str:
    """
    The one line that a file holds; a line break at its end does not count.

    :raises ValueError: as :func:`read_private`, or if it is not one line of ASCII
        without blanks.
    """
    text = read_private(path)
    line = text.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise ValueError("is empty; it must hold one line")
    if not all(0x21 <= byte <= 0x7E for byte in line):  # noqa: PLR2004
        raise ValueError(
            "must hold one line of ASCII without blanks, and nothing besides"
        )
    return line.decode("ascii")
