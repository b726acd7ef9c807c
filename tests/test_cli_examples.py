# Copyright glancetx contributors. See LICENSE for details.

"""
Every example that the command's help and its documentation give, run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from twisted.trial.unittest import SkipTest

from glancetx.catalogue.db import upgrade
from glancetx.cli.main import command
from glancetx.identity.keyfile import add_key
from glancetx.identity.tokenfile import add_token

from .commands import Outcome, run_command, run_process
from .disks import make_qcow2
from .servers import ServerCase

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZE = re.compile(r"\d+(\.\d)? (B|KiB|MiB)\b")


def document(name: str) -> str:
    """A page of the documentation."""
    if not (DOCS / name).exists():
        raise SkipTest("these tests run without the checkout that has the docs")
    return (DOCS / name).read_text("utf-8")


def helps(group: click.Group) -> Iterator[str]:
    """The end of the help of each command of a group, and of those in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from helps(found)
        else:
            assert found is not None
            yield found.epilog or ""


class ExampleTests(ServerCase):
    """Examples against a global and a zone server."""

    async def begin(self) -> None:
        """Start two servers, and go to a folder with what the examples name."""
        self.world = await self.serve()
        self.zone = await self.serve([self.world])
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        self.addCleanup(os.umask, os.umask(0o077))
        os.chdir(folder)
        make_qcow2("golden.qcow2", b"golden")
        make_qcow2("snap.qcow2", b"snap")
        Path("disk.raw").write_bytes(b"disk")
        Path("glancetx.toml").write_text(
            f'[catalogue]\nurl = "sqlite:///{self.zone.folder}/catalogue.sqlite"\n'
            f'[stores.main]\nbackend = "filesystem"\n'
            f'path = "{self.zone.folder}/pieces"\n'
        )
        upgrade("sqlite:///glancetx-data/catalogue.sqlite")
        add_key("keys.toml")
        self.add_token()
        environment = {**os.environ, "GLANCETX_SERVER": self.zone.url}
        self.patch(os, "environ", environment)

    async def execute(self, line: str) -> Outcome:
        """Run a line as a shell would; without one where it is plain."""
        if line.startswith("glancetx ") and "|" not in line:
            return await run_command(*shlex.split(line)[1:])
        return await run_process("sh", "-c", line)

    async def pair(self) -> tuple[str, str]:
        """A new golden image's id, and that of a difference to it."""
        disk = Path("golden.qcow2").read_bytes()
        golden = await self.world.add(disk, disk_format="qcow2")
        uri = self.world.uri(golden)
        data = Path("snap.qcow2").read_bytes()
        return golden, await self.zone.add(data, uri, disk_format="qcow2")

    def add_token(self) -> str:
        """A new token's id."""
        now = datetime.now(UTC)
        return add_token("tokens.toml", "bob", "demo", ("reader",), None, now).token.id

    async def test_help(self) -> None:
        """
        The examples of each command's help do what they say.
        """
        await self.begin()
        epilogs = list(helps(command))
        for epilog in epilogs:
            lines = [line.strip() for line in epilog.splitlines()[2:]]
            self.assertNotEqual(lines, [])
            for line in lines:
                await self.check_help(line)

    async def check_help(self, line: str) -> None:
        """Put real names into an example, and run it."""
        golden, snapshot = await self.pair()
        line = line.replace("global.example.com/images/ID", f"GLOBAL/images/{golden}")
        line = line.replace("http://global.example.com", self.world.url)
        line = line.replace("http://GLOBAL", self.world.url)
        if "ID ID" in line:
            line = line.replace("ID ID", f"{snapshot} {(await self.pair())[1]}")
        if "--parent ID" in line:
            line = line.replace("--parent ID", f"--parent {snapshot}")
        # whatever PostgreSQL there may be: a file does as well
        line = line.replace("@postgresql-url", f"sqlite:///copy-{snapshot}")
        if "TOKEN_ID" in line:
            line = line.replace("TOKEN_ID", self.add_token())
        line = re.sub(r"\bID\b", snapshot, line)
        line = line.replace("FOLDER", f"folder-{snapshot}")
        done = await self.execute(line)
        self.assertEqual(done.code, 0, f"{line}\n{done.err}")

    async def test_command(self) -> None:
        """
        What the documentation types gives what the documentation shows.
        """
        text = document("command.md")
        await self.begin()
        names = {
            "http://global.example.com": self.world.url,
            "http://zone.example.com": self.zone.url,
        }
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for part in block.removeprefix("$ ").split("\n$ "):
                line, _, shown = part.partition("\n")
                await self.check_shown(line, shown, names)

    async def check_shown(self, line: str, shown: str, names: dict[str, str]) -> None:
        """Run a line, and compare what it says; its new names are remembered."""
        if line.startswith("export "):
            return
        if line.startswith("qemu-img ") and shutil.which("qemu-img") is None:
            return
        for name, value in names.items():
            line, shown = line.replace(name, value), shown.replace(name, value)
        done = await self.execute(line)
        self.assertEqual(done.code, 0, f"{line}\n{done.err}")
        new = re.search(r"/images/([A-Z]+)$", shown.strip())
        if new is not None:
            names[new[1]] = done.out.strip().rpartition("/")[2]
        elif shown:
            self.assertEqual(SIZE.sub("SIZE", done.out), SIZE.sub("SIZE", shown))

    async def test_client(self) -> None:
        """
        The program of the client's documentation runs.
        """
        (program,) = re.findall(
            r"```python\n(import sys.*?)```", document("client.md"), re.DOTALL
        )
        await self.begin()
        Path("program.py").write_text(program)
        Path("snapshot.raw").write_bytes(b"what differs, ")
        golden = await self.world.add(b"a whole disk")
        done = await run_process(
            *(sys.executable, "program.py", self.zone.url, "token"),
            self.world.uri(golden),
        )
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertIn(": 14 bytes", done.out)
        self.assertEqual(Path("chain.raw").read_bytes(), b"what differs, a whole disk")
