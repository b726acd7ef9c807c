# Copyright glancetx contributors. See LICENSE for details.

"""
What the documentation types into a shell, run against whole servers.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from glancetx.config import load

from .disks import make_qcow2
from .pages import Example, matches, read_blocks, read_examples, run_examples
from .servers import ServerCase

HOME = Path(__file__).parent.parent
HTTP = HOME / "docs" / "http.md"
README = HOME / "README.md"
GLOBAL, ZONE = "http://127.0.0.1:9292", "http://127.0.0.1:9293"


class ExampleTests(ServerCase):
    """Pages with curl."""

    if not HTTP.is_file():
        skip = f"there is no {HTTP}"
    elif shutil.which("curl") is None or shutil.which("bash") is None:
        skip = "curl or bash is not installed"

    async def run_all(
        self, examples: list[Example], folder: Path
    ) -> list[tuple[Example, str]]:
        """Type examples against a global and a zone server."""
        golden = await self.serve()
        zone = await self.serve([golden])
        names = {GLOBAL: golden.url, ZONE: zone.url}
        return await deferToThread(run_examples, examples, str(folder), names)

    def folder(self) -> Path:
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder

    async def test_http(self) -> None:
        """
        What ``docs/http.md`` types gives what it shows.
        """
        examples = list(read_examples(HTTP))
        self.assertGreater(len(examples), 30)
        for one, output in await self.run_all(examples, self.folder()):
            message = f"{one.command}gave\n{output}instead of\n{one.shown}"
            self.assertTrue(matches(one.shown, output), message)

    async def test_readme(self) -> None:
        """
        What ``README.md`` types beside a running server does what its comments say.
        """
        (block,) = [text for text in read_blocks(README, "sh") if "curl" in text]
        folder = self.folder()
        golden = make_qcow2(folder / "golden.qcow2", b"golden").read_bytes()
        snapshot = make_qcow2(folder / "snapshot.qcow2", b"snapshot").read_bytes()
        [(_, output)] = await self.run_all([Example(f"set -e\n{block}", "")], folder)
        self.assertEqual((folder / "piece.qcow2").read_bytes(), snapshot, output)
        self.assertEqual((folder / "both").read_bytes(), snapshot + golden)
        self.assertEqual((folder / "start").read_bytes(), (snapshot + golden)[:1024])
        self.assertIn(golden, (folder / "chain.tar").read_bytes())
        self.assertIn(f'"offset": {len(snapshot)}', output)


class ConfigurationTests(SynchronousTestCase):
    """The configuration that the examples are run with."""

    if not HTTP.is_file():
        skip = f"there is no {HTTP}"

    def test_zone(self) -> None:
        """
        It is the zone's of the examples, which asks the global server's.
        """
        (block,) = read_blocks(HTTP, "toml")
        path = Path(self.mktemp())
        path.write_text(block, encoding="utf-8")
        config = load(str(path))
        self.assertEqual(config.server.public_url, ZONE)
        self.assertEqual([origin.url for origin in config.origins], [GLOBAL])
        self.assertEqual(load(None).server.public_url, GLOBAL)
        self.assertNotIn("limits", tomllib.loads(block))


class ReadmeTests(SynchronousTestCase):
    """``README.md`` and ``CONTRIBUTING.md``"""

    if not README.is_file():
        skip = f"there is no {README}"

    def setUp(self) -> None:
        pages = [README, HOME / "CONTRIBUTING.md"]
        self.text = "".join(page.read_text(encoding="utf-8") for page in pages)

    def test_links(self) -> None:
        """
        What is linked to is there, and so is every page.
        """
        linked = re.findall(r"\]\(([^)#:]+)\)", self.text)
        self.assertEqual([path for path in linked if not (HOME / path).exists()], [])
        pages = {f"docs/{page.name}" for page in (HOME / "docs").glob("*.md")}
        self.assertEqual(pages - {"docs/index.md"} - set(linked), set())

    def test_targets(self) -> None:
        """
        Every target of make that is named exists.
        """
        makefile = (HOME / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
        named = set(re.findall(r"\bmake ([a-z]+)`", self.text))
        self.assertGreater(len(named), 5)
        self.assertEqual(named - targets, set())


class MatchTests(SynchronousTestCase):
    """How outputs are compared."""

    def test_dots(self) -> None:
        """
        Dots in a line are any text of that line, a line of dots is any lines.
        """
        for shown, output, expected in [
            ("a\n", "a\n", True),
            ("a\n", "ab\n", False),
            ("", "a\n", False),
            ('"..." b\n', '"a" b\n', True),
            ("a...\n", "a\nb\n", False),
            ("a\n...\nb\n", "a\n1\n2\nb\n", True),
            ("a\n...\nb\n", "a\nb\n", True),
            ("a\n...\n", "a\n1\n2\n", True),
            ("a\n...\nb\n", "a\n1\nc\n", False),
            ("a.b\n", "axb\n", False),
        ]:
            self.assertEqual(matches(shown, output), expected, (shown, output))

    def test_blocks(self) -> None:
        """
        Commands go on behind a backslash; what follows is what they show.
        """
        page = Path(self.mktemp())
        page.write_text("```console\n$ a \\\n  b\nout\n$ c\n```\n```sh\nd\n```\n")
        expected = [Example("a \\\n  b\n", "out\n"), Example("c\n", "")]
        self.assertEqual(list(read_examples(page)), expected)
        self.assertEqual(read_blocks(page, "sh"), ["d\n"])
