# Copyright glancetx contributors. See LICENSE for details.

"""
Files that hold secrets: read only if nobody else can, and changed in one step.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = [
    "locked",
    "read_private",
    "read_private_toml",
    "read_secret",
    "write_private",
]

OTHERS = 0o077
PATIENCE = 10
PAUSE = 0.02
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


def read_private_toml(path: str) -> dict[str, Any]:
    """
    The values in a file of TOML.

    :raises ValueError: as :func:`read_private`, or if it is no TOML.
    """
    try:
        return tomllib.loads(read_private(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from error
    except RecursionError as error:
        raise ValueError(str(error)) from error


@contextmanager
def locked(path: str) -> Iterator[None]:
    """
    Be the only one who changes the files of a folder; wait until that is so.

    The lock is on the folder itself: files that are replaced cannot be locked, and
    one beside them might belong to the wrong user. The kernel frees it however its
    holder ends.

    :param path: of a file in the folder.
    :raises OSError: if there is no such folder, or others never let go.
    """
    folder = os.path.dirname(os.path.realpath(path))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                problem = f"another process has had it locked for {PATIENCE} s"
                raise OSError(errno.EWOULDBLOCK, problem, folder) from None
            time.sleep(PAUSE)


def write_private(path: str, data: bytes) -> None:
    """
    Replace what a file holds, in one step that survives a power failure.

    Call it while you have it :func:`locked`. Only its owner can read the new file; if
    there was one before, the owner stays the same.

    :raises OSError: if that cannot be done. The file holds what it held before then,
        or all of the new data if its folder alone could not be synced.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name}.new")
    with suppress(FileNotFoundError):
        os.unlink(new)  # a killed writer's
    descriptor = os.open(
        new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    try:
        with open(descriptor, "wb") as file:
            _keep_owner(path, file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
    _sync_folder(folder)


def _keep_owner(path: str, descriptor: int) -> None:
    """Give a new file to whom the old one belongs: root may write a server's file."""
    with suppress(FileNotFoundError):
        old = os.stat(path)
        if old.st_uid != os.geteuid():
            os.fchown(descriptor, old.st_uid, old.st_gid)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
