# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``docs/backends.md``: its code is run as it stands there.
"""

from __future__ import annotations

import inspect
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from attrs import fields
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.interface import Method

from glancetx.interfaces import IBackend, IBackendFactory, IPieceWriter, Option, Tools
from glancetx.testing import memory
from glancetx.testing.conformance.hooks import Hooks

from .pages import names_in, read_blocks, read_table

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "backends.md"
EXAMPLES = DOCS / "examples"
SHELF = "## The smallest backend"
TESTS = "## The tests"
WRAPPER = "## A backend around another"


def python_blocks(heading: str) -> list[str]:
    """The Python code of a section; none where the documentation is not at hand."""
    if not PAGE.is_file():
        return []
    section = PAGE.read_text("utf-8").partition(f"\n{heading}\n")[2]
    section = section.partition("\n## ")[0]
    return re.findall("^```python\n(.*?)^```$", section, re.M | re.S)


NAMES: dict[str, Any] = {"__name__": __name__}
for _block in python_blocks(SHELF) + python_blocks(TESTS):
    exec(compile(_block, PAGE, "exec"), NAMES)


class PageCase(SynchronousTestCase):
    """Reads the page, which is not a part of an installed glancetx."""

    def setUp(self) -> None:
        if not PAGE.is_file():
            raise SkipTest(f"{PAGE} is not installed with the tests")


class ExampleTests(PageCase):
    """The code of the page"""

    def test_is_the_memory_backend(self) -> None:
        """
        The page shows the backend that is in the package.
        """
        source = inspect.getsource(memory)
        blocks = python_blocks(SHELF)
        self.assertEqual(len(blocks), 5)
        for block in blocks[1:]:
            self.assertIn(block.strip(), source)

    def test_suite(self) -> None:
        """
        The page's own tests are the conformance suite.
        """
        suite = NAMES["FaultyShelfTests"]
        self.assertTrue(issubclass(suite, NAMES["BackendTests"]))

    def test_is_the_throttle(self) -> None:
        """
        The page shows the wrapper that is among the examples.
        """
        path = EXAMPLES / "glancetx-throttle" / "glancetx_throttle" / "backend.py"
        source = path.read_text("utf-8")
        blocks = python_blocks(WRAPPER)
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            self.assertIn(block.strip(), source)


class TableTests(PageCase):
    """The tables of the page"""

    def names(self, header: str) -> set[str]:
        """The names in the first column of a table."""
        rows = read_table(PAGE, header)
        cells = [name for row in rows for name in names_in(row[0])]
        return {re.split(r"[(]", name)[0] for name in cells}

    def test_options(self) -> None:
        """
        Every attribute of an option is told.
        """
        found = {field.name for field in fields(Option)}
        self.assertEqual(self.names("| `Option` | |"), found)

    def test_tools(self) -> None:
        """
        Every tool is told.
        """
        found = {field.name for field in fields(Tools)}
        self.assertEqual(self.names("| `tools` | |"), found)

    def test_hooks(self) -> None:
        """
        Every hook that the author of a backend may offer is told.
        """
        helpers = {"make_backend", "new_key", "keep", "begin", "read", "require"}
        helpers |= {"check_sources", "check_manners", "start_fault", "a_turn_later"}
        found = {
            name
            for name, value in vars(Hooks).items()
            if inspect.isfunction(value) and not inspect.iscoroutinefunction(value)
        }
        found = {name for name in found - helpers if not name.startswith("each_")}
        self.assertEqual(self.names("| hook | what is tested with it |"), found)

    def test_methods(self) -> None:
        """
        Every method that the author of a backend writes is told.
        """
        told = {
            name.partition("(")[0]
            for row in read_table(PAGE, "| interface | method | |")
            for name in names_in(row[1])
        }
        for interface in (IBackendFactory, IBackend, IPieceWriter):
            for name, what in interface.namesAndDescriptions():
                if isinstance(what, Method):
                    self.assertIn(name, told)


class PackagingTests(PageCase):
    """The recipe for a distribution"""

    def test_recipe(self) -> None:
        """
        The page shows the files of an example as they are.
        """
        folder = EXAMPLES / "glancetx-httpstore"
        (shown,) = [one for one in read_blocks(PAGE, "ini") if "package_dir" in one]
        self.assertIn(shown.strip(), (folder / "setup.cfg").read_text("utf-8"))
        project = (folder / "pyproject.toml").read_text("utf-8")
        self.assertIn(project, read_blocks(PAGE, "toml"))

    def test_files(self) -> None:
        """
        Every file that the page lists is there.
        """
        (listed,) = [one for one in read_blocks(PAGE, "text") if "setup.cfg" in one]
        for line in listed.splitlines():
            path = EXAMPLES / "glancetx-httpstore" / line.split()[0]
            self.assertTrue(path.is_file(), path)

    def test_alike(self) -> None:
        """
        All examples are packaged in the same way, and none hides ours.
        """
        for folder in EXAMPLES.iterdir():
            setup = ConfigParser()
            setup.read(folder / "setup.cfg")
            self.assertEqual(setup["options"]["package_dir"], "\n= .")
            self.assertIn("\nglancetx.backends", setup["options"]["packages"])
            self.assertEqual(list(folder.glob("glancetx/**/__init__.py")), [])
            self.assertTrue((folder / "README.md").is_file())


if "FaultyShelfTests" in NAMES:
    FaultyShelfTests: Any = NAMES["FaultyShelfTests"]
