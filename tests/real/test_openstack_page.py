# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of ``docs/openstack.md``: what it types is typed, into a shell with the clients.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import Example, matches, read_blocks, read_examples, run_examples
from tests.servers import free_port
from tests.twistd import twistd_script

from .clients import ClientCase
from .keystone import Keystone
from .programs import Program, interpreter

HOME = Path(__file__).parent.parent.parent
PAGE = HOME / "docs" / "openstack.md"
INSTALLER = Path(__file__).with_name("install-openstack")
KEYSTONE, GLANCE, ZONE = (
    f"http://{name}"
    for name in (
        "keystone.example.com:5000",
        "glance.example.com:9292",
        "zone.example.com:9293",
    )
)
#: What the tests install besides what the page is about.
UNSEEN = ("waitress", "swift", "keystonemiddleware")
BY_TOKENS = """
[server]
listen = ["tcp:{port}:interface=127.0.0.1"]
[stores.main]
backend = "filesystem"
path = "pieces"
[catalogue]
url = "sqlite:///catalogue.sqlite"
[identity]
kind = "tokens"
tokens_file = "tokens.toml"
"""


class PageTests(ClientCase):
    """``docs/openstack.md``"""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"
    elif shutil.which("curl") is None:
        skip = "curl is not installed"

    def find_keystone(self) -> Keystone:
        """One whose catalogue has no image service once the server runs."""
        keystone = Keystone()
        self.addCleanup(keystone.remove)
        return keystone

    def test_commands(self) -> None:
        """
        What the page types gives what it shows.
        """
        (service,) = self.keystone.ask("GET", "/services?type=image").body["services"]
        self.keystone.ask("DELETE", f"/services/{service['id']}")
        url, token = self.zone()
        names = {
            KEYSTONE: self.keystone.url[:-3],
            GLANCE: self.server.url,
            ZONE: url,
            "gtx_...": token,
        }
        for name, seed in (("disk.raw", 1), ("snapshot.raw", 2)):
            self.file(name, Random(seed).randbytes(100_000))
        self.file("clouds.yaml", self.clouds(names).encode("utf-8"))
        for one, output in self.type(names, token):
            message = f"{one.command}gave\n{output}instead of\n{one.shown}"
            self.assertTrue(matches(one.shown, output), message)
        self.assertEqual(self.read("again.raw"), self.read("disk.raw"))

    def clouds(self, names: dict[str, str]) -> str:
        """The two files of the page as one."""
        first, second = read_blocks(PAGE, "yaml")
        text = first + second.removeprefix("clouds:\n")
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def type(self, names: dict[str, str], token: str) -> list[tuple[Example, str]]:
        """Type all, the program behind the commands that it follows."""
        examples = list(read_examples(PAGE))
        self.assertGreater(len(examples), 15)
        (program,) = read_blocks(PAGE, "python")
        self.file("program.py", program.encode("utf-8"))
        place = [one.command for one in examples].index(
            "cmp disk.raw copy.raw && echo equal\n"
        )
        python = shlex.quote(interpreter("clients"))
        examples.insert(
            place + 1, Example(f"{python} program.py\n", "web active 100000\n")
        )
        path = f"{Path(interpreter('clients')).parent}:{os.environ['PATH']}"
        folder = str(self.server.folder)
        begin = f"export PATH={shlex.quote(path)} HOME={folder} TOKEN={token}\n"
        examples.insert(0, Example(begin, ""))
        return run_examples(examples, folder, names)

    def zone(self) -> tuple[str, str]:
        """Where a server runs that has tokens of its own, and one of these."""
        folder = self.server.folder / "zone"
        folder.mkdir()
        config = folder / "glancetx.toml"
        config.write_text(BY_TOKENS.format(port=free_port()), encoding="utf-8")
        glancetx = str(Path(sys.executable).with_name("glancetx"))
        whose = ["alice", "--project", "demo", "--role", "member"]
        done = subprocess.run(
            [glancetx, "token", "new", *whose, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
        command = [twistd_script(), "-n", "--pidfile=", "glancetx", "-c", str(config)]
        program = Program(command, {"PYTHONPATH": str(HOME)}, folder)
        self.addCleanup(program.stop)
        return program.says(r"listening at (\S+)")[1], done.stdout.strip()


class VersionTests(SynchronousTestCase):
    """The versions that the page names"""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def test_versions(self) -> None:
        """
        They are the oldest that are installed.
        """
        text = " ".join(PAGE.read_text(encoding="utf-8").split())
        wanted = re.findall(r"'([\w-]+)>=([\d.]+)'", INSTALLER.read_text("utf-8"))
        shown = [one for one in wanted if one[0] not in UNSEEN]
        self.assertEqual(len(shown), 4)
        for name, version in shown:
            self.assertIn(f"{name} {version}".lower(), text.lower())
