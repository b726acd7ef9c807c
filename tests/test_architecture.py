# Copyright glancetx contributors. See LICENSE for details.

"""
That the code is built as ``docs/architecture.md`` says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

import glancetx

from .pages import names_in, read_table

PACKAGE = Path(glancetx.__file__).parent
HOME = Path(__file__).parent.parent
PAGE = HOME / "docs" / "architecture.md"
SETUP = HOME / "setup.cfg"

#: Where a process begins, or trial's.
REACTOR_ROOMS = ["cli/running", "service", "testing/"]
#: Distributions whose packages have other names.
PACKAGES = {
    "oslo.config": "oslo_config",
    "oslo.policy": "oslo_policy",
    "oslo.utils": "oslo_utils",
    "prometheus-client": "prometheus_client",
    "zope.interface": "zope",
}


@frozen
class Import:
    """
    What one line imports.

    :ivar module: with dots, also if the line says where it is relative to its own.
    :ivar name: what is taken from the module, empty if it is imported itself.
    """

    module: str
    name: str

    def within(self, module: str) -> bool:
        """Whether it is a module, or of its contents."""
        full = f"{self.module}.{self.name}"
        return f"{full}.".startswith(f"{module}.")


@frozen
class Module:
    """
    A module of the package.

    :ivar path: below the package, without ``.py``: ``web/site``, or ``web/`` for
        ``web/__init__.py``.
    """

    path: str
    imports: tuple[Import, ...]


def read_module(file: Path) -> Module:
    """Read a module's imports, those that only annotations need left out."""
    relative = file.relative_to(PACKAGE).with_suffix("").as_posix()
    path = relative.removesuffix("__init__")
    name = ["glancetx", *relative.split("/")]
    tree = ast.parse(file.read_bytes())
    return Module(path, tuple(find_imports(tree, name)))


def find_imports(tree: ast.AST, name: list[str]) -> Iterator[Import]:
    """:param name: of the module, by its parts, ``__init__`` included."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (Import(one.name, "") for one in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = name[:-level] if level else []
                source = ".".join([*parts, *([module] if module else [])])
                yield from (Import(source, one.name) for one in names)
            case _:
                yield from find_imports(node, name)


class PageCase(SynchronousTestCase):
    """Reads the page, which is not a part of an installed glancetx."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")
        self.rooms = list(self.read_rooms())
        self.modules = [
            read_module(file)
            for folder in (PACKAGE, PACKAGE / "backends")  # a link, not followed
            for file in sorted(folder.rglob("*.py"))
        ]

    def read_rooms(self) -> Iterator[str]:
        """The rooms in their order, as ``errors``, ``web/``, ``web/site``."""
        block = self.text.partition("```text\nglancetx/\n")[2].partition("```")[0]
        folder = ""
        for line in block.splitlines():
            match = re.fullmatch(r"(  |    )([a-z0-9_]+)(\.py|/) +\S.*", line)
            assert match is not None, line
            indent, name, kind = match.groups()
            if len(indent) == 2:
                folder = f"{name}/" if kind == "/" else ""
            within = folder if len(indent) == 4 else ""
            yield within + name + kind.removesuffix(".py")

    def rows(self, header: str) -> list[list[list[str]]]:
        """The rows of a table, as the names in each cell."""
        return [[names_in(cell) for cell in row] for row in read_table(PAGE, header)]

    def room_of(self, path: str) -> str | None:
        """The room that a module is, or is in."""
        return max((room for room in self.rooms if _in(path, room)), default=None)

    def target(self, one: Import) -> str | None:
        """The path of what an import takes from the package; a folder's ends in /."""
        if not one.within("glancetx"):
            return None
        paths = {module.path for module in self.modules}
        parts = one.module.split(".")[1:]
        for tail in ([*parts, one.name], parts):
            path = "/".join(part for part in tail if part)
            if path in paths or f"{path}/" in paths:
                return path if path in paths else f"{path}/"
        return ""  # the package itself: its version


def _in(path: str, room: str) -> bool:
    return path.startswith(room) if room.endswith("/") else path == room


class RoomsTests(PageCase):
    """The list of rooms."""

    def test_complete(self) -> None:
        """
        Every module is in a room of the list, and every room exists, once.
        """
        self.assertEqual(len(set(self.rooms)), len(self.rooms))
        paths = [module.path for module in self.modules if module.path]
        homeless = [path for path in paths if self.room_of(path) is None]
        self.assertEqual(homeless, [])
        empty = [
            room for room in self.rooms if not any(_in(path, room) for path in paths)
        ]
        self.assertEqual(empty, [])

    def test_folders(self) -> None:
        """
        A folder whose modules are listed has all of them listed.
        """
        listed = {room for room in self.rooms if "/" in room.removesuffix("/")}
        folders = {room.partition("/")[0] + "/" for room in listed}
        for module in self.modules:
            folder = module.path.partition("/")[0] + "/"
            if folder in folders and module.path != folder:
                self.assertIn(self.room_of(module.path), listed, module.path)

    def test_order(self) -> None:
        """
        A room imports only rooms that are listed above it.
        """
        wrong = []
        for module in self.modules:
            for target in map(self.target, module.imports):
                if target and not self.lawful(module.path, target):
                    wrong.append(f"{module.path} imports {target}")
        self.assertEqual(wrong, [])

    def lawful(self, path: str, target: str) -> bool:
        mine, its = self.room_of(path), self.room_of(target)
        return mine == its or self.place(target) < self.place(path)

    def place(self, path: str) -> int:
        """Where something is in the list; a folder as a whole is behind its lines."""
        lines = [i for i, room in enumerate(self.rooms) if _in(path, room)]
        if path.endswith("/"):
            lines = [i for i, room in enumerate(self.rooms) if room.startswith(path)]
        return 2 * lines[-1] + path.endswith("/")

    def test_who_knows_what(self) -> None:
        """
        Rooms import no more than the table allows, and nothing that it forbids.
        """
        rows = self.rows("| room | of glancetx only | never |")
        self.assertEqual(len(rows), 5)
        wrong = []
        for (room,), only, never in rows:
            for module in self.modules:
                if not _in(module.path, room):
                    continue
                for one in module.imports:
                    if not self.allowed(one, room, only, never):
                        wrong.append(f"{module.path} imports {one}")
        self.assertEqual(wrong, [])

    def allowed(
        self, one: Import, room: str, only: list[str], never: list[str]
    ) -> bool:
        target = self.target(one)
        if target:
            if any(_in(target, name) for name in never):
                return False
            return not only or any(_in(target, name) for name in [room, *only])
        return not any(one.within(name) for name in never)

    def test_reactor(self) -> None:
        """
        The reactor is imported only where a process, or a test, begins.
        """
        importers = {
            module.path
            for module in self.modules
            for one in module.imports
            if one.within("twisted.internet.reactor")
            or one.within("twisted.internet.task.react")
        }
        rooms = {
            next((room for room in REACTOR_ROOMS if _in(path, room)), path)
            for path in importers
        }
        self.assertEqual(sorted(rooms), REACTOR_ROOMS)


class DependenciesTests(PageCase):
    """The table of dependencies."""

    if not SETUP.is_file():
        skip = f"there is no {SETUP}"

    def test_all_named(self) -> None:
        """
        The table has what an installation brings, and no other package.
        """
        setup = ConfigParser()
        setup.read(SETUP)
        required = setup["options"]["install_requires"].split("\n")
        expected = {line.partition(" ")[0] for line in required if line}
        rows = self.rows("| package | imported by | why |")
        self.assertEqual({row[0][0] for row in rows}, expected)

    def test_importers(self) -> None:
        """
        A package is imported by exactly the rooms that the table names, if it does.
        """
        for (package,), rooms, _ in self.rows("| package | imported by | why |"):
            name = PACKAGES.get(package, package.partition("[")[0].lower())
            found = {
                next((room for room in rooms if _in(module.path, room)), module.path)
                for module in self.modules
                for one in module.imports
                if one.within(name)
            }
            if rooms or not self.everywhere(package):
                self.assertEqual(sorted(found), sorted(rooms), package)

    def everywhere(self, package: str) -> bool:
        return f"| `{package}` | everywhere |" in self.text


class DetectorTests(PageCase):
    """The search itself."""

    def test_forms(self) -> None:
        """
        Every form of an import is found, wherever it stands, and resolved.
        """
        for text, module, name in [
            ("import a.b", "a.b", ""),
            ("from a import b", "a", "b"),
            ("from . import b", "glancetx.web", "b"),
            ("from .a import b", "glancetx.web.a", "b"),
            ("from ..a import b", "glancetx.a", "b"),
            ("def f():\n  from .a import b", "glancetx.web.a", "b"),
            ("if x:\n  pass\nelse:\n  import a", "a", ""),
        ]:
            found = list(find_imports(ast.parse(text), ["glancetx", "web", "site"]))
            self.assertEqual(found, [Import(module, name)], text)
        annotations = ast.parse("if TYPE_CHECKING:\n  from .a import b")
        self.assertEqual(list(find_imports(annotations, ["glancetx", "x"])), [])

    def test_targets(self) -> None:
        """
        What is imported is known as a module, a folder, the package or none of these.
        """
        for one, expected in [
            (Import("glancetx.web", "site"), "web/site"),
            (Import("glancetx.web.site", "Site"), "web/site"),
            (Import("glancetx.catalogue", "Catalogue"), "catalogue/"),
            (Import("glancetx", "backends"), "backends/"),
            (Import("glancetx", "__version__"), ""),
            (Import("twisted.web.site", "Site"), None),
        ]:
            self.assertEqual(self.target(one), expected, one)
