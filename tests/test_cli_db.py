# Copyright glancetx contributors. See LICENSE for details.

"""
The command on a server's catalogue.
"""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.trial.unittest import TestCase

from glancetx.catalogue import Process, processes
from glancetx.catalogue.db import connected, current, upgrade

from .commands import Outcome, run_command


class DbCase(TestCase):
    """A folder with a configuration, and no catalogue yet."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.config = self.folder / "glancetx.toml"
        self.config.write_text(
            '[catalogue]\nurl = "sqlite:///catalogue.sqlite"\n'
            '[stores.main]\nbackend = "filesystem"\npath = "pieces"\n'
        )
        self.addCleanup(os.umask, os.umask(0o077))

    def url(self, name: str = "catalogue.sqlite") -> str:
        return f"sqlite:///{self.folder}/{name}"

    async def db(self, *words: str) -> Outcome:
        """Run a verb on the catalogue of the configuration."""
        return await run_command("db", *words, "--config", str(self.config), "--json")


class DbTests(DbCase):
    """``glancetx db``"""

    async def test_looks(self) -> None:
        """
        A catalogue is made, looked at and checked.
        """
        self.assertIsNone((await self.db("current")).json["revision"])
        missing = await self.db("check")
        self.assertEqual(missing.code, 1)
        self.assertIn("glancetx db upgrade", missing.err)
        made = (await self.db("upgrade")).json
        self.assertEqual(made["catalogue"], self.url())
        for word in ("current", "check", "upgrade"):
            done = await self.db(word)
            self.assertEqual((done.code, done.json), (0, made), word)

    async def test_purge_too_much(self) -> None:
        """
        No server that lives is forgotten, however young what is purged may be.
        """
        for age, code in (("59s", 2), ("60s", 0)):
            upgrade(self.url())
            done = await self.db("purge", "--older-than", age)
            self.assertEqual(done.code, code, done.err)

    async def test_purge(self) -> None:
        """
        What is forgotten of what is gone is said.
        """
        upgrade(self.url())
        done = await self.db("purge", "--older-than", "90d")
        found = {"catalogue": self.url(), "deletions": 0, "processes": 0}
        self.assertEqual((done.code, done.json), (0, found))
        self.assertEqual((await self.db("purge")).code, 2)

    async def test_secret(self) -> None:
        """
        No password is shown, neither of a database that is away nor of a wrong URL.
        """
        away = "postgresql://me:secret@127.0.0.1:1/x"
        for url, words in (
            (away, "cannot be reached"),
            (f"{away}?nonsense=secret", "nonsense"),
            (f"{away}?password=secret", "among its options"),
        ):
            self.config.write_text(
                f'[catalogue]\nurl = "{url}"\n'
                '[stores.main]\nbackend = "filesystem"\npath = "pieces"\n'
            )
            done = await self.db("current")
            self.assertEqual(done.code, 1)
            self.assertIn(words, done.err)
            self.assertNotIn("secret", done.out + done.err)


class CopyTests(DbCase):
    """``glancetx db copy``"""

    async def copy(self, target: str, *more: str) -> Outcome:
        return await run_command("db", "copy", self.url(), target, *more)

    async def test_copied(self) -> None:
        """
        A catalogue is copied to a URL that may lie in a private file.
        """
        upgrade(self.url())
        file = self.folder / "url"
        file.write_text(self.url("two"))
        file.chmod(0o600)
        done = await self.copy(f"@{file}", "--json", "--progress")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(done.json["from"], self.url())
        self.assertEqual(done.json["to"], self.url("two"))
        self.assertEqual(done.json["rows"]["images"], 0)
        self.assertEqual(current(self.url("two")), current(self.url()))
        self.assertIn("copying", done.err)

    async def test_used(self) -> None:
        """
        A catalogue that a living server uses is not copied.
        """
        upgrade(self.url())
        lock = self.folder / "lock"
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        host, now = socket.gethostname(), datetime.now(UTC)
        with connected(self.url(), True) as connection:
            processes.join(connection, Process("p", host, 7, str(lock), now))
        done = await self.copy(self.url("two"))
        self.assertEqual(done.code, 1)
        self.assertIn(f"a server uses {self.url()}: stop process 7", done.err)

    async def test_used_elsewhere(self) -> None:
        """
        Nor one that a server on another machine, or in another container, uses.
        """
        upgrade(self.url())
        beat = datetime.now(UTC)
        for seconds, code in ((30, 1), (90, 0)):
            elsewhere = Process("p", "far", 7, "/x", beat - timedelta(seconds=seconds))
            with connected(self.url(), True) as connection:
                processes.join(connection, elsewhere)
            done = await self.copy(self.url("two"))
            self.assertEqual(done.code, code, done.err)
            if code:
                self.assertIn("stop process 7 on far", done.err)

    async def test_refused(self) -> None:
        """
        What is neither a URL nor a private file is refused.
        """
        upgrade(self.url())
        file = self.folder / "url"
        file.touch()
        file.chmod(0o644)
        for target, code, words in (
            ("nonsense", 1, "is not a database URL"),
            (f"@{file}", 2, "chmod 600"),
            ("mysql://me:secret@h/x", 1, "is not supported"),
        ):
            done = await self.copy(target)
            self.assertEqual(done.code, code)
            self.assertIn(words, done.err)
            self.assertNotIn("secret", done.err)
