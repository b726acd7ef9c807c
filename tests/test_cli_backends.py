# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx backends`` and ``glancetx check``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from glancetx import __version__, stores
from glancetx.backends.filesystem import FilesystemBackend, filesystem
from glancetx.cli import backends as listing
from glancetx.errors import StoreUnavailable
from glancetx.interfaces import IBackend, IBackendFactory, Option, Tools
from glancetx.testing import BackendTests, checking
from glancetx.testing.checking import PARTS

from .commands import Outcome, run_command
from .servers import reactor


@implementer(IBackendFactory)
class TapeFactory:
    """A backend of this module, whose stores a test makes."""

    name = "tape"
    interface_version = 1
    options = (
        Option("reel", int, "which tape"),
        Option("speeds", (str, list), "how fast", required=False, default=["slow"]),
        Option("code", str, "what unlocks it", required=False, secret=True),
        Option("of", str, "what it is a copy of", required=False, backend=True),
    )
    kind: type[FilesystemBackend] = FilesystemBackend

    def make(self, options: Mapping[str, Any], tools: Tools) -> IBackend:
        return self.kind(os.path.abspath("tape"), tools)


class Hard(FilesystemBackend):
    """Takes nothing back."""

    def remove(self, key: str) -> Any:
        raise StoreUnavailable("tape", "it is a tape")


class Full(FilesystemBackend):
    """Takes nothing."""

    def create(self, key: str, size: int | None) -> Any:
        raise StoreUnavailable("tape", "it is read-only")


class KitCase(TestCase):
    """Runs the command in a folder with a configuration, where a tape is installed."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        self.addCleanup(os.umask, os.umask(0o077))
        os.chdir(folder)
        self.tape = TapeFactory()
        self.install(self.tape)
        Path("zone.toml").write_text(
            '[stores.main]\nbackend = "filesystem"\npath = "pieces"\ndefault = true\n'
            '[stores.old]\nbackend = "tape"\nreel = 1\n'
        )

    def install(self, *factories: Any) -> None:
        """Let these be all that is installed, beside the filesystem."""
        found = [filesystem, *factories]
        self.patch(stores, "find_factories", lambda: found)
        self.patch(listing, "find_factories", lambda: found)

    async def check(self, *arguments: str) -> Outcome:
        return await run_command("check", *arguments, "--config", "zone.toml")

    def files(self) -> list[Path]:
        """What is in the folders of the stores."""
        return [path for path in Path().glob("*/**/*") if path.is_file()]


class ListTests(KitCase):
    """``glancetx backends``"""

    async def test_own(self) -> None:
        """
        Our own backends come from our own distribution, with its version.
        """
        done = await run_command("backends")
        self.assertEqual(done.code, 0)
        first = done.out.splitlines()[0]
        self.assertIn(f"filesystem: glancetx {__version__}, ", first)
        self.assertIn("path", done.out)

    async def test_options(self) -> None:
        """
        Of each key it is told what it takes, whether it is needed, and what it is for.
        """
        done = await run_command("backends")
        for line in [
            "  reel         int                      which tape",
            '  speeds       [str or list: ["slow"]]  how fast',
            "  code[_file]  [str]                    what unlocks it",
            "  of           [backend]                what it is a copy of",
        ]:
            self.assertIn(line, done.out.splitlines())

    async def test_json(self) -> None:
        """
        For programs the same, as JSON.
        """
        found = (await run_command("backends", "--json")).json
        self.assertEqual([one["name"] for one in found], ["filesystem", "tape"])
        self.assertEqual(found[0]["distribution"], "glancetx")
        self.assertEqual(found[0]["problem"], None)
        self.assertEqual(found[1]["distribution"], None)
        self.assertEqual(found[1]["factory"], f"{__name__}.TapeFactory")
        options = {one["name"]: one for one in found[1]["options"]}
        self.assertEqual(options["speeds"]["kinds"], ["str", "list"])
        self.assertEqual(options["code"]["file"], "code_file")
        self.assertTrue(options["reel"]["required"])

    async def test_problems(self) -> None:
        """
        What cannot be used is listed, with the reason.
        """
        self.tape.interface_version = 2
        self.install(self.tape, filesystem)
        found = (await run_command("backends", "--json")).json
        problems = [one["problem"] for one in found]
        self.assertIn("2 backends have this name", problems[0])
        self.assertIn("version 2", problems[2])
        text = (await run_command("backends")).out
        self.assertEqual(text.count("  cannot be used: "), 3)


class CheckTests(KitCase):
    """``glancetx check``"""

    async def test_good(self) -> None:
        """
        A good store passes whatever needs no hooks, and nothing is left in it.
        """
        done = await self.check("main", "--json")
        self.assertEqual(done.code, 0, done.err)
        report = done.json
        self.assertEqual((report["store"], report["backend"]), ("main", "filesystem"))
        self.assertEqual((report["failed"], report["left"]), (0, {}))
        self.assertGreater(report["passed"], 80)
        names = [one["test"] for one in report["tests"]]
        known = [name for name in dir(BackendTests) if name.startswith("test_")]
        self.assertEqual(sorted(names), sorted(known))
        self.assertTrue(all(0 <= one["seconds"] < 60 for one in report["tests"]))
        self.assertEqual(self.files(), [])

    async def test_text(self) -> None:
        """
        A person gets a line for each part, and nothing more if all is well.
        """
        done = await self.check("main", "--part", "reading", "--part", "failing")
        self.assertEqual(done.code, 0, done.err)
        lines = done.out.splitlines()
        self.assertEqual(lines[0], "store main, backend filesystem")
        self.assertRegex(lines[1], r"^reading +\d+ passed$")
        self.assertRegex(lines[2], r"^failing +\d+ skipped$")
        self.assertEqual(len(lines), 3)

    async def test_others_are_left_alone(self) -> None:
        """
        What else is in the store stays as it is.
        """
        path = Path("pieces/ab") / ("ab" * 16)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"an image")
        await self.check("main", "--part", "removing")
        self.assertEqual(self.files(), [path])

    async def test_bad(self) -> None:
        """
        A store that breaks rules is told which, and which pieces stay in it, and why.
        """
        self.tape.kind = Hard
        done = await self.check("old", "--part", "removing", "--json")
        self.assertEqual(done.code, 1)
        self.assertIn("tests failed", done.err)
        report = done.json
        self.assertGreater(report["failed"], 3)
        self.assertLessEqual({path.name for path in self.files()}, set(report["left"]))
        text = (await self.check("old", "--part", "removing")).out
        self.assertIn("test_remove_twice failed\n  rule: Removing again is no", text)
        self.assertIn("StoreUnavailable: store tape is not available", text)
        reason = "StoreUnavailable: store tape is not available: it is a tape"
        self.assertRegex(
            text, f"could not be removed: the piece [0-9a-f]{{32}}: {reason}"
        )

    async def test_interrupted(self) -> None:
        """
        Who interrupts it, whenever that is, finds nothing left in the store.
        """
        self.patch(checking, "PATIENCE", 0.05)
        for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34):
            running = Deferred.fromCoroutine(self.check("main", "--part", "writing"))
            while not self.files():
                await deferLater(reactor, 0)
            for _ in range(turns):
                await deferLater(reactor, 0)
            running.cancel()
            await self.assertFailure(running, CancelledError)
            self.assertEqual(self.files(), [])

    async def test_read_only(self) -> None:
        """
        A store that takes nothing cannot be checked, and says why.
        """
        self.tape.kind = Full
        done = await self.check("old")
        self.assertEqual((done.code, done.out), (1, ""))
        self.assertIn("store old cannot be checked: ", done.err)
        self.assertIn("read-only", done.err)

    async def test_unknown(self) -> None:
        """
        A store that is not in the configuration is told, with those that are.
        """
        done = await self.check("new")
        self.assertEqual(done.code, 1)
        self.assertIn("no store 'new' in ", done.err)
        self.assertIn("zone.toml, but main, old", done.err)

    async def test_unknown_part(self) -> None:
        """
        A part that there is not is a mistake of who types.
        """
        done = await self.check("main", "--part", "dancing")
        self.assertEqual(done.code, 2)
        for part in PARTS:
            self.assertIn(part, done.err)
