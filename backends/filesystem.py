# Copyright glancetx contributors. See LICENSE for details.

"""
Keeps pieces as files in a folder of this machine.

``path/ab/KEY`` is the piece whose key begins with ``ab``; while it is being written it
is ``path/tmp/KEY``, on the same file system, so that a rename publishes it whole.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    ensureDeferred,
    fail,
    succeed,
)
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from glancetx.errors import (
    ConfigError,
    NoSuchPiece,
    PieceTruncated,
    StoreFull,
    StoreUnavailable,
)
from glancetx.interfaces import (
    IBackend,
    IBackendFactory,
    IFilePiece,
    IPieceWriter,
    Option,
    Tools,
)
from glancetx.streaming.pump import pump

__all__ = ["FilesystemBackend", "FilesystemFactory", "filesystem"]

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 256 * 1024
"""How many bytes are read at once."""

WRITE_BACK = 8 * 1024 * 1024
"""How many bytes are written before the disk is told to begin with them."""

FULL = (errno.ENOSPC, errno.EDQUOT)
KEY = re.compile("[0-9a-f]{32}")


class _Folder:
    """The files of one store. Every method blocks, and is called in a thread."""

    def __init__(self, path: str) -> None:
        self.temporaries = os.path.join(path, "tmp")
        self._path = path
        self._durable: set[str] = set()

    def make(self) -> None:
        """Make the folders that are missing, to survive a power failure."""
        missing = []
        path = self._path
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            _make_folder(path)
            _sync_folder(os.path.dirname(path))
        _make_folder(self.temporaries)

    def require_room(self, size: int) -> None:
        """
        :raises OSError: ``ENOSPC`` if so many bytes do not fit.
        """
        room = os.statvfs(self.temporaries)
        if room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def publish(self, key: str) -> None:
        """
        Move a temporary, synchronised already, to where the pieces are.

        The entry of a new shard is made durable before anything is put into it, by
        each process that finds it: another one may have made it and died since.
        """
        shard = self._shard(key)
        if shard not in self._durable:
            _make_folder(shard)
            _sync_folder(self._path)
            self._durable.add(shard)
        os.rename(os.path.join(self.temporaries, key), os.path.join(shard, key))
        _sync_folder(shard)

    def sweep(self, key: str) -> None:
        """Remove a piece and its temporary, whichever there are, for ever."""
        for folder in (self._shard(key), self.temporaries):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, key))
            with suppress(FileNotFoundError):
                _sync_folder(folder)

    def open(self, key: str, size: int) -> int:
        """
        A descriptor to read a piece from.

        :raises NoSuchPiece: if there is no such file.
        :raises PieceTruncated: if it has less than ``size`` bytes.
        """
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(os.path.join(self._shard(key), key), flags)
        except FileNotFoundError:
            raise NoSuchPiece(key) from None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "the piece is not a file")
            if found.st_size < size:
                raise PieceTruncated(key, found.st_size, size)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _shard(self, key: str) -> str:
        return os.path.join(self._path, key[:2])


class _Temporary:
    """A piece that is being written. Every method blocks, and is called in a thread."""

    def __init__(self, folder: _Folder, key: str, size: int | None) -> None:
        if size is not None:
            folder.require_room(size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd: int | None = os.open(
            os.path.join(folder.temporaries, key), flags, mode=0o600
        )
        self._folder = folder
        self._key = key
        self._written = 0
        self._begun = 0

    def write(self, data: bytes) -> None:
        assert self._fd is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]
        self._written += len(data)
        if self._written - self._begun >= WRITE_BACK:
            self._write_back(self._fd)

    def keep(self) -> None:
        assert self._fd is not None
        os.fsync(self._fd)
        self._close()
        self._folder.publish(self._key)

    def drop(self) -> None:
        self._close()
        self._folder.sweep(self._key)

    def _write_back(self, fd: int) -> None:
        """
        Let the disk begin with what was written: the last fsync has little left to do.

        Linux takes this advice to write dirty pages out, and keeps them in the page
        cache: only clean ones are dropped (posix_fadvise(2); mm/fadvise.c).
        """
        length = self._written - self._begun
        os.posix_fadvise(fd, self._begun, length, os.POSIX_FADV_DONTNEED)
        self._begun = self._written

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class _Jobs:
    """
    Blocking calls, in threads, one after the other.

    Cancelling a result leaves the call alone, and what follows waits for it: nothing
    is ever closed while a thread still uses it.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._turn = DeferredLock()

    def call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """
        :raises StoreFull: (as a failure) if the system says that the disk is full.
        :raises StoreUnavailable: (as a failure) for the system's other errors.
        """
        result: Deferred[T] = Deferred()
        job = self._turn.run(self._tools.threaded, function, *args, **kwargs)
        job.addErrback(self._as_fact).chainDeferred(result)
        return result

    def make(self, maker: Callable[[], T], undo: Callable[[T], object]) -> Deferred[T]:
        """
        Call what makes something that must not be lost.

        When it was cancelled meanwhile, what was made is undone before this fails.
        """
        result: Deferred[T] = Deferred()
        over: Deferred[None] = Deferred()

        def arrived(made: T) -> Deferred[object] | None:
            if result.called:
                return self.call(undo, made)
            result.callback(made)
            return None

        def failed(failure: Failure) -> Deferred[Failure]:
            return over.addCallback(lambda _: failure)

        result.addErrback(failed)
        job = self.call(maker).addCallback(arrived).addErrback(result.errback)
        job.addCallback(lambda _: over.callback(None))
        return result

    def _as_fact(self, failure: Failure) -> Failure:
        error = failure.value
        if not isinstance(error, OSError):
            return failure
        store = self._tools.store
        self._tools.log.error("store {store}: {error}", store=store, error=str(error))
        if error.errno in FULL:
            raise StoreFull(store) from error
        raise StoreUnavailable(store, error.strerror or str(error)) from error


@implementer(IPieceWriter)
class _Writer:
    """Writes one file."""

    def __init__(self, jobs: _Jobs, temporary: _Temporary) -> None:
        self._jobs = jobs
        self._temporary = temporary
        self._over = False
        self._finished = False

    def write(self, data: bytes) -> Deferred[None]:
        return self._step(self._temporary.write, data)

    def finish(self) -> Deferred[None]:
        return self._step(self._temporary.keep).addCallback(self._kept)

    def abort(self) -> Deferred[None]:
        self._over = True
        if self._finished:
            return succeed(None)
        return self._jobs.call(self._temporary.drop)

    def _step(
        self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[None]:
        if self._over:
            return fail(RuntimeError("this writer failed, was aborted or is finished"))
        return self._jobs.call(function, *args, **kwargs).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._over = True
        return failure

    def _kept(self, _: None) -> None:
        if self._over:
            raise CancelledError
        self._over = self._finished = True


@implementer(IFilePiece)
class _Piece:
    """One file, to be read."""

    def __init__(self, folder: _Folder, tools: Tools, key: str, size: int) -> None:
        self.size = size
        self._folder = folder
        self._tools = tools
        self._key = key

    def open(self) -> Deferred[int]:
        opened = partial(self._folder.open, self._key, self.size)
        return _Jobs(self._tools).make(opened, os.close)

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return ensureDeferred(pump(self._chunks(start, stop), consumer))

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """
        Read one chunk after the other; the pump asks for one while the last is sent.
        """
        fd = await self.open()
        jobs = _Jobs(self._tools)
        try:
            while start < stop:
                chunk = await jobs.call(os.pread, fd, min(stop - start, CHUNK), start)
                if not chunk:
                    raise PieceTruncated(self._key, start, self.size)
                start += len(chunk)
                yield chunk
        finally:
            await jobs.call(os.close, fd)


@implementer(IBackend)
class FilesystemBackend:
    """Keeps pieces in a folder, which it makes if need be."""

    def __init__(self, path: str, tools: Tools) -> None:
        """
        :raises OSError: if the folder cannot be made.
        """
        self._tools = tools
        self._folder = _Folder(os.path.abspath(path))
        self._folder.make()

    def piece(self, key: str, size: int) -> IFilePiece:
        _require_key(key)
        return _Piece(self._folder, self._tools, key, size)

    def create(self, key: str, size: int | None) -> Deferred[IPieceWriter]:
        _require_key(key)
        jobs = _Jobs(self._tools)
        begun = jobs.make(partial(_Temporary, self._folder, key, size), _Temporary.drop)
        return begun.addCallback(partial(_Writer, jobs))

    def remove(self, key: str) -> Deferred[None]:
        _require_key(key)
        return _Jobs(self._tools).call(self._folder.sweep, key)


@implementer(IBackendFactory)
class FilesystemFactory:
    """Makes stores of plain files."""

    name = "filesystem"
    interface_version = 1
    options = (Option("path", str, "the folder that keeps the pieces", path=True),)

    def make(self, options: Mapping[str, Any], tools: Tools) -> FilesystemBackend:
        path = options["path"]
        try:
            backend = FilesystemBackend(path, tools)
        except OSError as error:
            raise ConfigError(
                tools.store, "path", f"cannot be made: {error}"
            ) from error
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(tools.store, "path", f"{path} cannot be written to")
        return backend


def _require_key(key: str) -> None:
    if KEY.fullmatch(key) is None:
        raise ValueError(f"not a key: {key!r}")


def _make_folder(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, mode=0o700)


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


filesystem = FilesystemFactory()
