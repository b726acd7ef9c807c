# Copyright glancetx contributors. See LICENSE for details.

"""
The demonstration ends well, ends early, and leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from twisted.web.client import Agent

from .servers import reactor

HERE = Path(__file__).resolve().parent.parent
DEMO = HERE / "demo" / "demo.py"


def load() -> ModuleType:
    """The demonstration as a module."""
    if not DEMO.exists():
        raise SkipTest("these tests run without the checkout that has the demo")
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PartTests(SynchronousTestCase):
    """What the demonstration makes itself."""

    def setUp(self) -> None:
        self.demo = load()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_difference(self) -> None:
        """
        A raw difference holds the blocks that differ, and brings them back.
        """
        base = os.urandom(10_000)
        disk = base[:1000] + bytes(500) + base[1500:9990] + b"0123456789"
        paths = [self.folder / name for name in ("disk", "base", "difference")]
        paths[0].write_bytes(disk)
        paths[1].write_bytes(base)
        self.demo.write_difference(*paths, block=400)
        self.assertEqual(paths[2].stat().st_size, 3 * (12 + 400))
        self.demo.apply_difference(paths[2], paths[1])
        self.assertEqual(paths[1].read_bytes(), disk)

    def test_cut_difference(self) -> None:
        """
        A difference that was cut is no difference.
        """
        disk, difference = self.folder / "disk", self.folder / "difference"
        disk.write_bytes(bytes(10))
        for cut in (3, 12, 14):
            difference.write_bytes((bytes(11) + b"\x05" + b"abcde")[:cut])
            with self.assertRaises(self.demo.Failed):
                self.demo.apply_difference(difference, disk)

    def test_metric(self) -> None:
        """
        A metric is summed over its labels, and taken for no other.
        """
        text = (
            '# HELP a_total x\na_total{b="1"} 2.0\na_total{b="2"} 3.0\na_total_x 9.0\n'
        )
        self.assertEqual(self.demo.read_metric(text, "a_total"), 5)


class RunTests(TestCase):
    """The demonstration as a process, with little data."""

    def setUp(self) -> None:
        load()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def begin(self, *arguments: str) -> Demo:
        """Run it with its files in our folder."""
        return Demo(self.folder.absolute(), "--size", "3", *arguments)

    async def test_raw(self) -> None:
        """
        Without qemu raw disks do; servers and files are gone at the end.
        """
        code, said = await self.begin("--raw").ended
        self.assertEqual(code, 0, said)
        self.assertIn("no qemu-img here", said)
        self.assertIn("Disks are identical.", said)
        await self.nothing_left(said)

    async def test_qemu(self) -> None:
        """
        With qemu the restored disk is the running one.
        """
        if not (shutil.which("qemu-img") and shutil.which("qemu-io")):
            raise SkipTest("needs qemu-img and qemu-io (apt-get install qemu-utils)")
        code, said = await self.begin().ended
        self.assertEqual(code, 0, said)
        self.assertIn("Images are identical.", said)
        self.assertIn("└─ golden  qcow2", said)
        await self.nothing_left(said)

    async def test_interrupt(self) -> None:
        """
        An interrupt stops both servers, too, and removes the files.
        """
        demo = self.begin("--raw")
        await demo.says("the zone server is at")
        demo.transport.signalProcess("INT")
        code, said = await demo.ended
        self.assertEqual(code, 130, said)
        await self.nothing_left(said)

    async def nothing_left(self, said: str) -> None:
        """See that both servers have stopped, and that no file is left."""
        urls = re.findall(r"server is at (\S+)", said)
        self.assertEqual(len(urls), 2, said)
        for url in urls:
            asked = Agent(reactor).request(b"GET", url.encode("ascii"))
            await self.assertFailure(asked, ConnectionRefusedError)
        self.assertEqual(os.listdir(self.folder), [])


class Demo(ProcessProtocol):
    """
    The demonstration in a process.

    :ivar ended: fires with its exit status and all that it said.
    """

    transport: Any

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ended: Deferred[tuple[int, str]] = Deferred()
        self._output = b""
        self._waiting: tuple[bytes, Deferred[None]] | None = None
        line = [sys.executable, "-P", str(DEMO), *arguments]
        environment = {
            **os.environ,
            "TMPDIR": str(folder),
            "PYTHONPATH": str(HERE),
            "PYTHONIOENCODING": "utf-8",
        }
        reactor.spawnProcess(self, line[0], line, environment)

    async def says(self, text: str) -> None:
        """Wait until it says something."""
        said: Deferred[None] = Deferred()
        self._waiting = text.encode("utf-8"), said
        self._look()
        await said

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._output += data
        self._look()

    def _look(self) -> None:
        if self._waiting is not None and self._waiting[0] in self._output:
            (_, said), self._waiting = self._waiting, None
            said.callback(None)

    def processEnded(self, reason: Failure) -> None:
        status: Any = reason.value
        code = status.exitCode if status.signal is None else -status.signal
        self.ended.callback((code, self._output.decode("utf-8", "replace")))
