# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of which processes live, with locks of real processes that are really killed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from glancetx.catalogue import Process
from glancetx.errors import CatalogueUnavailable, ConfigError
from glancetx.library.presence import Presence, lock_folder

from .catalogues import NOON, CatalogueTestCase, Program

LIVE = """
import subprocess, sys
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, ensureDeferred
from glancetx.catalogue import Catalogue
from glancetx.library.presence import Presence, lock_folder

async def main(reactor):
    catalogue = Catalogue(sys.argv[1], reactor)
    await catalogue.start()
    presence = Presence(catalogue, lock_folder(sys.argv[1]), reactor)
    await presence.start()
    print(presence.process_id, flush=True)
    if "child" in sys.argv:
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        child = subprocess.Popen(["sleep", "600"], close_fds=False, **quiet)
        print(child.pid, flush=True)
    if "leave" in sys.argv:
        await presence.stop()
        await catalogue.stop()
    else:
        await Deferred()

task.react(lambda reactor: ensureDeferred(main(reactor)))
"""


class PresenceTestCase(CatalogueTestCase):
    """Presences in the folder beside the catalogue."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.clock = Clock()
        self.folder = Path(lock_folder(self.url))

    def presence(self, **options: Any) -> Presence:
        options.setdefault("now", lambda: self.now)
        presence = Presence(self.catalogue, str(self.folder), self.clock, **options)
        self.addCleanup(lambda: Deferred.fromCoroutine(presence.stop()))
        return presence

    async def known(self, process_id: str) -> Process | None:
        """What the catalogue says of a process, once all writes asked for are done."""
        await self.catalogue.beat("nobody")
        for process in await self.catalogue.processes():
            if process.id == process_id:
                return process
        return None

    async def program(self, *arguments: str) -> tuple[Program, Process]:
        """A process of its own that lives, and what is known of it."""
        program = Program(LIVE, self.url, *arguments)
        self.addCleanup(program.kill)
        process = await self.known(await program.line())
        assert process is not None
        return program, process


class OwnPresenceTests(PresenceTestCase):
    """``start``, the heartbeat and ``stop``"""

    async def test_known(self) -> None:
        """
        A process that started is known: by its host, its number, and a lock file that
        is for this user alone, as is the folder.
        """
        presence = self.presence(host="here")
        await presence.start()
        lock = self.folder / f"{presence.process_id}.lock"
        process = await self.known(presence.process_id)
        expected = Process(presence.process_id, "here", os.getpid(), str(lock), NOON)
        self.assertEqual(process, expected)
        for path, mode in ((self.folder, 0o700), (lock, 0o600)):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)

    async def test_lock_before_row(self) -> None:
        """
        The lock is held before anybody can know of the process.
        """
        presence, joined = self.presence(), []

        async def join(process: Process) -> None:
            joined.append(presence.is_dead(process, NOON + timedelta(days=1)))

        self.patch(self.catalogue, "join", join)
        await presence.start()
        self.assertEqual(joined, [False])

    async def test_cannot_join(self) -> None:
        """
        A process that cannot become known leaves no lock behind.
        """
        presence = self.presence()
        await self.catalogue.stop()
        with self.assertRaises(CatalogueUnavailable):
            await presence.start()
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_no_folder(self) -> None:
        """
        A folder that cannot be made stops the start, and is named.
        """
        self.folder.write_bytes(b"")
        with self.assertRaises(CatalogueUnavailable) as caught:
            await self.presence().start()
        self.assertIn(str(self.folder), str(caught.exception))

    async def test_heartbeat(self) -> None:
        """
        Every 15 seconds a process says that it lives.
        """
        presence = self.presence()
        await presence.start()
        for _ in range(3):
            self.pass_seconds(15)
            self.clock.advance(15)
            process = await self.known(presence.process_id)
            assert process is not None
            self.assertEqual(process.heartbeat, self.now)

    async def test_taken_for_dead(self) -> None:
        """
        A process that was taken for dead joins again at its next heartbeat.
        """
        presence = self.presence()
        await presence.start()
        await self.catalogue.leave(presence.process_id)
        self.assertIsNone(await self.known(presence.process_id))
        joined: Deferred[None] = Deferred()
        join = self.catalogue.join

        async def noting(process: Process) -> None:
            await join(process)
            joined.callback(None)

        self.patch(self.catalogue, "join", noting)
        self.clock.advance(15)
        await joined
        self.assertIsNotNone(await self.known(presence.process_id))

    async def test_heartbeat_fails(self) -> None:
        """
        A heartbeat that fails is told to the log, in a line if the catalogue is away,
        and the next one comes.
        """
        beats = []
        errors = [
            CatalogueUnavailable("database is locked"),
            ValueError(),
            ValueError(),
        ]

        async def beat(process_id: str) -> bool:
            beats.append(process_id)
            raise errors[len(beats) - 1]

        presence = self.presence()
        await presence.start()
        self.patch(self.catalogue, "beat", beat)
        with capturedLogs() as events:
            self.clock.pump([15, 15, 15])
        self.assertEqual(beats, [presence.process_id] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        told = [event for event in events if "no heartbeat" in event["log_format"]]
        self.assertEqual(
            ["log_failure" in event for event in told], [False, True, True]
        )

    async def test_stop(self) -> None:
        """
        Who leaves takes row, lock and heartbeat along; to leave twice does no harm.
        """
        presence = self.presence()
        await presence.start()
        for _ in range(2):
            await presence.stop()
        self.assertIsNone(await self.known(presence.process_id))
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_stop_in_a_heartbeat(self) -> None:
        """
        A heartbeat that is on its way does not bring back who leaves meanwhile, even
        if that process was taken for dead.
        """
        presence = self.presence()
        await presence.start()
        await self.catalogue.leave(presence.process_id)
        self.clock.advance(15)
        await presence.stop()
        self.assertIsNone(await self.known(presence.process_id))

    async def test_cannot_leave(self) -> None:
        """
        Who cannot leave properly says so in the log, and lets go of the lock.
        """
        presence = self.presence()
        await presence.start()
        process = await self.known(presence.process_id)
        assert process is not None
        await self.catalogue.stop()
        await presence.stop()
        self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 1)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_folder(self) -> None:
        """
        The folder of the locks stands beside the file, and only a file has one.
        """
        folder = lock_folder("sqlite:////var/lib/x.sqlite")
        self.assertEqual(folder, "/var/lib/x.sqlite.processes")
        self.assertRaises(ConfigError, lock_folder, "postgresql://db/x")


class DeathTests(PresenceTestCase):
    """``is_dead``"""

    def someone(self, lock: str, host: str = "here") -> Process:
        return Process(str(uuid4()), host, 1, lock, NOON)

    async def test_lives_here(self) -> None:
        """
        A process here that holds its lock lives, however old its heartbeat is.
        """
        presence = self.presence()
        await presence.start()
        process = await self.known(presence.process_id)
        assert process is not None
        for asking in (presence, self.presence()):
            self.assertFalse(asking.is_dead(process, NOON + timedelta(days=9)))

    def test_died_here(self) -> None:
        """
        A process here whose lock is free is dead, however fresh its heartbeat is.
        """
        lock = self.mktemp()
        Path(lock).touch()
        presence = self.presence(host="here")
        self.assertTrue(presence.is_dead(self.someone(lock), NOON))

    def test_elsewhere(self) -> None:
        """
        Of a process elsewhere the heartbeat decides; it may be 60 seconds old.
        """
        lock = self.mktemp()
        Path(lock).touch()
        for host, file in (("there", lock), ("here", "/nowhere/x.lock")):
            process = self.someone(file, host)
            presence = self.presence(host="here")
            self.assertFalse(presence.is_dead(process, NOON))
            self.assertFalse(presence.is_dead(process))
            later = NOON + timedelta(seconds=60)
            self.assertFalse(presence.is_dead(process, later))
            self.assertTrue(presence.is_dead(process, later + timedelta.resolution))
            self.now = later + timedelta.resolution
            self.assertTrue(presence.is_dead(process))
            self.now = NOON

    def test_two_ask(self) -> None:
        """
        Two who ask about a dead process do not take each other for it.
        """
        lock = self.mktemp()
        Path(lock).touch()
        with open(lock, "rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            presence = self.presence(host="here")
            self.assertTrue(presence.is_dead(self.someone(lock), NOON))

    async def test_killed(self) -> None:
        """
        A process lives until it is killed, and is dead at once then.
        """
        presence = self.presence()
        program, process = await self.program()
        self.assertFalse(presence.is_dead(process))
        await program.kill()
        self.assertTrue(presence.is_dead(process))

    async def test_killed_with_child(self) -> None:
        """
        A program that a process started does not keep it alive.
        """
        presence = self.presence()
        program, process = await self.program("child")
        child = int(await program.line())
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assertFalse(presence.is_dead(process))
        await program.kill()
        os.kill(child, 0)
        self.assertTrue(presence.is_dead(process))

    async def test_left(self) -> None:
        """
        A process that ends well leaves neither row nor lock.
        """
        program = Program(LIVE, self.url, "leave")
        self.addCleanup(program.kill)
        process_id = await program.line()
        self.assertEqual(await program.ended, 0)
        self.assertIsNone(await self.known(process_id))
        self.assertEqual(list(self.folder.iterdir()), [])


class SweepTests(PresenceTestCase):
    """``sweep``, and locks that are taken meanwhile"""

    async def test_sweep(self) -> None:
        """
        Only lock files that nobody holds, and that nobody is known to have, go.
        """
        presence = self.presence()
        await presence.start()
        for name in ("dead.lock", "known.lock", "other.txt"):
            (self.folder / name).touch()
        presence.sweep(["known"])
        left = sorted(file.name for file in self.folder.iterdir())
        own = f"{presence.process_id}.lock"
        self.assertEqual(left, sorted(["known.lock", "other.txt", own]))

    def test_no_folder(self) -> None:
        """
        Where no process ever was, there is nothing to sweep.
        """
        self.presence().sweep([])
        self.assertFalse(self.folder.exists())

    async def test_swept_while_taken(self) -> None:
        """
        A lock file that is swept just before it is locked is made again.
        """
        presence, flock = self.presence(), fcntl.flock
        swept: list[Path] = []

        def late(descriptor: int, operation: int) -> None:
            if not swept:
                swept.extend(self.folder.iterdir())
                swept[0].unlink()
            flock(descriptor, operation)

        self.patch(fcntl, "flock", late)
        await presence.start()
        self.assertEqual(list(self.folder.iterdir()), swept)
        process = await self.known(presence.process_id)
        assert process is not None
        self.assertFalse(presence.is_dead(process, NOON + timedelta(days=1)))
