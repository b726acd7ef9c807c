# Copyright glancetx contributors. See LICENSE for details.

"""
Which processes live: a lock file for those on this machine, a heartbeat for others.

Each process holds a lock on a file of its own. The kernel frees it however the process
ends, so on the same machine there is no doubt and no waiting. A process on another
machine is dead when its heartbeat is old; that may be wrong (it may only have been
cut off), which is why a commit after a scrub is refused by the catalogue. An old
heartbeat is therefore watched for a while: whoever beats meanwhile lives.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from glancetx.catalogue import Catalogue, Process
from glancetx.catalogue.engines import sqlite_file
from glancetx.errors import CatalogueUnavailable
from glancetx.times import utcnow

__all__ = [
    "BEAT_SECONDS",
    "DEAD_SECONDS",
    "WATCH_SECONDS",
    "Presence",
    "lock_folder",
]

#: How often a process says that it lives.
BEAT_SECONDS = 15
#: How old the heartbeat of a process may be that is not on this machine.
DEAD_SECONDS = 60
#: How long an old heartbeat is watched before it is believed: two beats. Nobody can
#: beat while the catalogue is away, and clocks may differ.
WATCH_SECONDS = 30


def lock_folder(url: str) -> str:
    """
    The folder beside a SQLite catalogue that is for the lock files of its processes.

    :raises ConfigError: if the URL does not name a SQLite file.
    """
    return f"{sqlite_file(url)}.processes"


class Presence:
    """
    That this process lives, and whether others do.

    One that was not started is good for asking :meth:`is_dead` and for :meth:`sweep`.

    :param folder: where the lock files are, the same for all processes on a machine
        that share the catalogue: :func:`lock_folder`, or one of the caller's.
    :param clock: beats the heart.
    :param host: the name of this machine.
    :param watch_seconds: how long old heartbeats are watched.
    :ivar process_id: a new UUID, the owner of this process's intents.
    """

    log = Logger()

    def __init__(
        self,
        catalogue: Catalogue,
        folder: str,
        clock: IReactorTime,
        now: Callable[[], datetime] = utcnow,
        host: str | None = None,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self.process_id = str(uuid4())
        self.host = socket.gethostname() if host is None else host
        self.now = now
        self._catalogue = catalogue
        self._folder = Path(os.path.abspath(folder))
        self._file = self._folder / f"{self.process_id}.lock"
        self._watch_seconds = watch_seconds
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock
        self._beating: Deferred[LoopingCall] | None = None
        self._descriptor: int | None = None

    async def start(self) -> None:
        """
        Take the lock, then become known, then beat.

        :raises CatalogueUnavailable: if the catalogue, or the folder, cannot be used.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = _take(self._file)
        except OSError as error:
            raise CatalogueUnavailable(str(error)) from error
        try:
            await self._catalogue.join(self._process())
        except BaseException:
            self._let_go()
            raise
        self._beating = self._beats.start(BEAT_SECONDS, now=False)

    async def stop(self) -> None:
        """Leave: end the heartbeat, drop the row and then the lock. Idempotent."""
        beating, self._beating = self._beating, None
        if beating is None:
            return
        self._beats.stop()
        await beating
        try:
            await self._catalogue.leave(self.process_id)
        except CatalogueUnavailable:
            self.log.failure("process {process}: not left", process=self.process_id)
        finally:
            self._let_go()

    def is_dead(self, process: Process, now: datetime | None = None) -> bool:
        """
        Whether a process is gone for good.

        On this machine its lock alone decides, if its file is there; else a heartbeat
        older than ``DEAD_SECONDS``.
        """
        locked = self._is_locked(process)
        if locked is not None:
            return not locked
        now = self.now() if now is None else now
        return now - process.heartbeat > timedelta(seconds=DEAD_SECONDS)

    def is_seen(self, process: Process) -> bool:
        """Whether more than a heartbeat tells if a process is dead."""
        return self._is_locked(process) is not None

    async def watch(self, processes: Iterable[Process]) -> set[str]:
        """
        See who beats within ``watch_seconds``.

        :returns: the ids of those who do not.
        :raises CatalogueUnavailable: if it cannot be read then.
        """
        before = {(process.id, process.heartbeat) for process in processes}
        if self._watch_seconds:
            await deferLater(self._beats.clock, self._watch_seconds)
        after = await self._catalogue.processes()
        living = {one.id for one in after if (one.id, one.heartbeat) not in before}
        return {process_id for process_id, _ in before} - living

    def sweep(self, known: Iterable[str]) -> None:
        """
        Remove the lock files of dead processes on this machine.

        :param known: ids of processes whose files stay in any case.
        """
        kept = {f"{process_id}.lock" for process_id in known}
        for file in self._folder.glob("*.lock"):
            if file.name not in kept:
                with _asking(file) as locked:
                    if locked is False:
                        file.unlink(missing_ok=True)

    async def _beat(self) -> None:
        try:
            if not await self._catalogue.beat(self.process_id):
                self.log.warn(
                    "process {process}: was taken for dead, joins again",
                    process=self.process_id,
                )
                await self._catalogue.join(self._process())
        except CatalogueUnavailable as error:
            self.log.warn(
                "process {process}: no heartbeat: {error}",
                process=self.process_id,
                error=error,
            )
        except Exception:  # whatever it was, the next beat must come
            self.log.failure("process {process}: no heartbeat", process=self.process_id)

    def _is_locked(self, process: Process) -> bool | None:
        """``None`` if that cannot be known from here."""
        if process.host != self.host:
            return None
        with _asking(Path(process.lock)) as locked:
            return locked

    def _process(self) -> Process:
        return Process(
            id=self.process_id,
            host=self.host,
            pid=os.getpid(),
            lock=str(self._file),
            heartbeat=self.now(),
        )

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._file.unlink(missing_ok=True)
            os.close(descriptor)


def _take(file: Path) -> int:
    """
    Make a file and lock it, until the descriptor is closed, at the latest by death.

    No program that this process starts inherits the descriptor. A sweep that finds the
    file before it is locked removes it; then another is made.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def _asking(file: Path) -> Iterator[bool | None]:
    """
    Whether a process holds the lock; ``None`` if that cannot be known from here.

    Asks for a shared lock, so that two who ask do not take each other for the owner.
    Meanwhile nobody else can take the lock.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield _is_locked(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
