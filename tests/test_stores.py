# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for how ``glancetx.stores`` finds, checks and makes backends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import ensureDeferred
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from glancetx import backends
from glancetx.backends.filesystem import filesystem
from glancetx.config import StoreConfig
from glancetx.errors import ConfigError, StoreUnavailable
from glancetx.interfaces import IBackend, IBackendFactory, Option, Tools
from glancetx.stores import Stores, StoreTable, find_factories, make_stores
from glancetx.testing import MemoryBackend, MemoryFactory, Shelf, inline_tools

DROPIN = """
from twisted.internet.defer import ensureDeferred
from twisted.plugin import IPlugin
from zope.interface import implementer
from glancetx.backends.filesystem import FilesystemFactory, filesystem

class TapeFactory(FilesystemFactory):
    name = "tape"

tape = TapeFactory()
"""


@frozen
class Table:
    """A ``[stores.NAME]`` table."""

    name: str = "main"
    backend: str = "box"
    options: Mapping[str, Any] = {}
    default: bool = False


@implementer(IBackendFactory)
class BoxFactory:
    """A backend with one option of each kind, which remembers what it was given."""

    name = "box"
    interface_version = 1
    options = (
        Option("path", str, "where it is", path=True),
        Option("size", int, "how large it is", required=False, default=3),
        Option("deep", bool, "how it is", required=False, default=False),
        Option("more", list, "what else", required=False),
        Option("shelf", (str, list), "which of them", required=False),
        Option("code", str, "what opens it", required=False, secret=True),
    )

    def __init__(self) -> None:
        self.given: list[tuple[Mapping[str, Any], Tools]] = []

    def make(self, options: Mapping[str, Any], tools: Tools) -> MemoryBackend:
        self.given.append((options, tools))
        return MemoryBackend(Shelf(), tools.store)


class StoresCase(SynchronousTestCase):
    """Makes stores from tables."""

    def setUp(self) -> None:
        self.box = BoxFactory()

    def make(self, *tables: StoreTable, factories: list[Any] | None = None) -> Stores:
        return make_stores(
            tables, "zone.toml", "/etc/zone", inline_tools, factories or [self.box]
        )

    def check_refused(
        self, *tables: StoreTable, key: str, factories: list[Any] | None = None
    ) -> str:
        """A configuration stops the start, by file and key."""
        error = self.assertRaises(ConfigError, self.make, *tables, factories=factories)
        self.assertEqual((error.source, error.key), ("zone.toml", key))
        return str(error.problem)


class OptionTests(StoresCase):
    """The keys of a store"""

    def test_given(self) -> None:
        """
        A backend gets the values that are in the file.
        """
        options = {
            "path": "/srv",
            "size": 5,
            "deep": True,
            "more": ["a"],
            "shelf": "b",
            "code": "1234",
        }
        self.make(Table(options=options))
        self.assertEqual(self.box.given[0][0], options)

    def test_several_kinds(self) -> None:
        """
        A value may be of any type that the option takes.
        """
        for shelf in ("a", ["a", "b"]):
            self.make(Table(options={"path": "/srv", "shelf": shelf}))
            self.assertEqual(self.box.given[-1][0]["shelf"], shelf)

    def test_defaults(self) -> None:
        """
        A backend gets the defaults of what is not in the file.
        """
        self.make(Table(options={"path": "/srv"}))
        defaults = {
            "path": "/srv",
            "size": 3,
            "deep": False,
            "more": None,
            "shelf": None,
            "code": None,
        }
        self.assertEqual(self.box.given[0][0], defaults)

    def test_relative(self) -> None:
        """
        A relative path is relative to the folder of the configuration.
        """
        self.make(Table(options={"path": "pieces/big"}))
        self.assertEqual(self.box.given[0][0]["path"], "/etc/zone/pieces/big")

    def test_tools(self) -> None:
        """
        A backend gets the tools of its own store.
        """
        options = {"path": "/srv"}
        self.make(Table("a", options=options, default=True), Table("b", "box", options))
        self.assertEqual([tools.store for _, tools in self.box.given], ["a", "b"])

    def test_missing(self) -> None:
        """
        A key that is missing is named, with what it is for.
        """
        problem = self.check_refused(Table(), key="stores.main.path")
        self.assertIn("where it is", problem)

    def test_unknown(self) -> None:
        """
        A key that the backend does not take is named, with those that it takes.
        """
        table = Table(options={"path": "/srv", "pth": "/srv"})
        problem = self.check_refused(table, key="stores.main.pth")
        self.assertIn("path, size, deep, more, shelf, code, code_file", problem)

    def test_wrong_type(self) -> None:
        """
        A value of another type is refused; a truth value is no number.
        """
        for key, value in [
            ("path", 1),
            ("size", "5"),
            ("size", True),
            ("deep", 1),
            ("more", "a"),
            ("more", ["a", 1]),
            ("shelf", 1),
            ("shelf", [1]),
            ("code", 1234),
            ("code_file", 1234),
        ]:
            table = Table(options={"path": "/srv", key: value})
            problem = self.check_refused(table, key=f"stores.main.{key}")
            self.assertIn("must be of type", problem)

    def test_backend_refuses(self) -> None:
        """
        What a backend says of its options is told with the file and the store.
        """
        self.box.make = self.refuse  # type: ignore[method-assign]
        table = Table(options={"path": "/srv"})
        problem = self.check_refused(table, key="stores.main.path")
        self.assertEqual(problem, "is not good")

    def test_backend_breaks(self) -> None:
        """
        A backend that cannot be made stops the start, and not with a traceback.
        """
        self.box.make = self.crash  # type: ignore[method-assign]
        table = Table(options={"path": "/srv"})
        problem = self.check_refused(table, key="stores.main.backend")
        self.assertEqual(problem, "box cannot be started: no tape in the drive")

    def test_not_a_backend(self) -> None:
        """
        What does not provide ``IBackend`` is refused before it is used.
        """
        self.box.make = lambda *args: object()  # type: ignore[method-assign,assignment]
        table = Table(options={"path": "/srv"})
        problem = self.check_refused(table, key="stores.main.backend")
        self.assertIn("IBackend", problem)

    def refuse(self, options: Mapping[str, Any], tools: Tools) -> MemoryBackend:
        raise ConfigError(tools.store, "path", "is not good")

    def crash(self, options: Mapping[str, Any], tools: Tools) -> MemoryBackend:
        raise OSError("no tape in the drive")


@implementer(IBackendFactory)
class SleeveFactory:
    """A backend around another one."""

    name = "sleeve"
    interface_version = 1
    options = (
        Option("of", str, "what is in it", backend=True),
        Option("colour", str, "how it looks", required=False),
    )

    def __init__(self) -> None:
        self.given: list[Mapping[str, Any]] = []

    def make(self, options: Mapping[str, Any], tools: Tools) -> IBackend:
        self.given.append(options)
        wrapped: IBackend = options["of"]
        return wrapped


class WrapperTests(StoresCase):
    """A backend that wraps another"""

    def setUp(self) -> None:
        super().setUp()
        self.sleeve = SleeveFactory()
        self.factories = [self.box, self.sleeve]

    def check(self, key: str, **options: Any) -> str:
        table = Table(backend="sleeve", options=options)
        return self.check_refused(table, key=key, factories=self.factories)

    def test_given(self) -> None:
        """
        The wrapper gets the other backend in the place of its name, and each gets its
        own keys, with defaults and paths as always.
        """
        options = {"of": "box", "colour": "red", "path": "pieces"}
        table = Table(backend="sleeve", options=options)
        stores = self.make(table, factories=self.factories)
        self.assertEqual(self.box.given[0][0]["path"], "/etc/zone/pieces")
        self.assertEqual(self.box.given[0][0]["size"], 3)
        self.assertEqual(self.sleeve.given[0]["colour"], "red")
        self.assertEqual(set(self.sleeve.given[0]), {"of", "colour"})
        self.assertEqual(stores.default.name, "main")

    def test_awaited(self) -> None:
        """
        Whatever the other backend returns, its wrapper can await it.
        """
        options = {"of": "box", "path": "/srv"}
        self.make(Table(backend="sleeve", options=options), factories=self.factories)
        wrapped = self.sleeve.given[0]["of"]
        self.assertTrue(verifyObject(IBackend, wrapped))
        key = "ab" * 16
        writer = self.successResultOf(ensureDeferred(wrapped.create(key, 3)))
        self.successResultOf(writer.write(b"abc"))
        self.successResultOf(writer.finish())
        piece = self.successResultOf(ensureDeferred(wrapped.piece(key, 3)))
        self.assertEqual(piece.size, 3)
        self.successResultOf(ensureDeferred(wrapped.remove(key)))

    def test_missing(self) -> None:
        """
        A key that the other backend misses is named as its own would be.
        """
        self.assertIn("where it is", self.check("stores.main.path", of="box"))

    def test_unknown(self) -> None:
        """
        A key that neither takes is named, with those of both.
        """
        problem = self.check("stores.main.pth", of="box", path="/srv", pth="/srv")
        self.assertIn("the backend box and its wrapper take of, colour, path", problem)

    def test_not_found(self) -> None:
        """
        Another backend that is not installed is told by the key that names it.
        """
        self.assertIn("'bix'", self.check("stores.main.of", of="bix"))

    def test_ambiguous(self) -> None:
        """
        Backends that take one key both are not wrapped into each other.
        """
        problem = self.check("stores.main.of", of="sleeve")
        self.assertIn("both take the key of", problem)

    def test_two(self) -> None:
        """
        A backend wraps one other, and not two.
        """
        second = Option("and", str, "what else is in it", backend=True)
        self.sleeve.options = (*self.sleeve.options, second)  # type: ignore[assignment]
        self.check("stores.main.and", **{"of": "box", "and": "box", "path": "/srv"})

    def test_none(self) -> None:
        """
        A wrapper that may do without gets nothing.
        """
        self.sleeve.options = (  # type: ignore[assignment]
            Option("of", str, "what is in it", required=False, backend=True),
        )
        self.check("stores.main.path", path="/srv")
        table = Table(backend="sleeve")
        self.check_refused(table, key="stores.main.backend", factories=self.factories)
        self.assertEqual(self.sleeve.given, [{"of": None}])


class SecretTests(StoresCase):
    """A key whose value may lie in a file"""

    def setUp(self) -> None:
        super().setUp()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    def write(self, text: str, mode: int = 0o600) -> str:
        path = os.path.join(self.folder, "code")
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def options(self, **given: str) -> Mapping[str, Any]:
        return {"path": "/srv", **given}

    def test_file(self) -> None:
        """
        What the file holds is given to the backend, and the path is not.
        """
        path = self.write("1234\n")
        self.make(Table(options=self.options(code_file=path)))
        given = self.box.given[0][0]
        self.assertEqual(given["code"], "1234")
        self.assertNotIn("code_file", given)

    def test_relative(self) -> None:
        """
        The file's path is relative to the folder of the configuration.
        """
        self.write("1234")
        table = Table(options=self.options(code_file="code"))
        make_stores([table], "zone.toml", self.folder, inline_tools, [self.box])
        self.assertEqual(self.box.given[0][0]["code"], "1234")

    def test_both(self) -> None:
        """
        A secret and a file for it are one too many.
        """
        options = self.options(code="1234", code_file=self.write("1234"))
        problem = self.check_refused(
            Table(options=options), key="stores.main.code_file"
        )
        self.assertEqual(problem, "cannot be given beside code")

    def test_not_private(self) -> None:
        """
        A file that others can read is refused, by the key, and not told.
        """
        options = self.options(code_file=self.write("1234", 0o644))
        problem = self.check_refused(
            Table(options=options), key="stores.main.code_file"
        )
        self.assertIn("chmod 600", problem)
        self.assertNotIn("1234", problem)

    def test_needed(self) -> None:
        """
        A secret that is needed can be given either way, and the message says so.
        """
        self.box.options = (Option("code", str, "what opens it", secret=True),)  # type: ignore[assignment]
        problem = self.check_refused(Table(), key="stores.main.code")
        self.assertEqual(problem, "is missing: what opens it; or give code_file")
        self.make(Table(options={"code_file": self.write("1234")}))
        self.assertEqual(self.box.given[0][0], {"code": "1234"})

    def test_only_secrets(self) -> None:
        """
        Other keys cannot lie in a file.
        """
        table = Table(options={"path_file": self.write("/srv")})
        self.check_refused(table, key="stores.main.path_file")

    def test_not_shown(self) -> None:
        """
        The configuration does not show what keys of stores hold.
        """
        config = StoreConfig("main", "box", {"code": "1234"})
        self.assertNotIn("1234", repr(config))


class ChoiceTests(StoresCase):
    """Which store is which"""

    table = Table(options={"path": "/srv"})

    def test_only_one(self) -> None:
        """
        The only store is the default, whether it says so or not.
        """
        self.assertEqual(self.make(self.table).default.name, "main")

    def test_default(self) -> None:
        """
        Of several stores the one that says so is the default.
        """
        stores = self.make(self.table, evolve(self.table, name="b", default=True))
        self.assertEqual(stores.default.name, "b")
        self.assertEqual([store.name for store in stores], ["main", "b"])

    def test_no_default(self) -> None:
        """
        Several stores without a default are refused, with their names.
        """
        other = evolve(self.table, name="b")
        problem = self.check_refused(self.table, other, key="stores")
        self.assertIn("main, b", problem)

    def test_two_defaults(self) -> None:
        """
        Two defaults are refused, with their names.
        """
        tables = [evolve(self.table, name=name, default=True) for name in "ab"]
        problem = self.check_refused(*tables, key="stores.b.default")
        self.assertIn("a, b", problem)

    def test_none(self) -> None:
        """
        A server without any store is refused.
        """
        self.check_refused(key="stores")

    def test_get(self) -> None:
        """
        A store is found by its name.
        """
        stores = self.make(self.table)
        self.assertIs(stores.get("main"), stores.default)

    def test_no_longer_configured(self) -> None:
        """
        A store that is gone from the configuration is unavailable, by its name.
        """
        error = self.assertRaises(StoreUnavailable, self.make(self.table).get, "old")
        self.assertEqual(error.store, "old")

    def test_backend_not_found(self) -> None:
        """
        A backend that is not installed is refused, with the names of those that are.
        """
        problem = self.check_refused(
            Table(backend="bix"),
            key="stores.main.backend",
            factories=[self.box, MemoryFactory()],
        )
        self.assertIn("'bix'", problem)
        self.assertIn("box, memory", problem)

    def test_two_alike(self) -> None:
        """
        Two backends of one name are refused, with where they come from.
        """
        problem = self.check_refused(
            self.table, key="stores", factories=[BoxFactory(), BoxFactory()]
        )
        self.assertIn(f"{__name__}.BoxFactory, {__name__}.BoxFactory", problem)

    def test_other_interfaces(self) -> None:
        """
        A backend made for other interfaces is refused, with both versions.
        """
        self.box.interface_version = 2
        problem = self.check_refused(self.table, key="stores.main.backend")
        self.assertIn("version 2", problem)
        self.assertIn("version 1", problem)

    def test_broken_factory(self) -> None:
        """
        A factory that lacks what factories have is refused, and the lack is named.
        """

        @implementer(IPlugin)
        class Hollow:
            name = "box"

        directlyProvides(factory := Hollow(), IBackendFactory)
        problem = self.check_refused(
            self.table, key="stores.main.backend", factories=[factory]
        )
        self.assertIn("interface_version", problem)


class DiscoveryTests(SynchronousTestCase):
    """Which backends are installed"""

    def test_own(self) -> None:
        """
        The backends of this package are found, each once.
        """
        found = [
            factory for factory in find_factories() if factory.name == "filesystem"
        ]
        self.assertEqual(found, [filesystem])

    def test_make(self) -> None:
        """
        A store of a backend that was found can be made and used.
        """
        table = Table(backend="filesystem", options={"path": "pieces"})
        folder = os.path.abspath(self.mktemp())
        make_stores([table], "zone.toml", folder, inline_tools)
        self.assertTrue(os.path.isdir(os.path.join(folder, "pieces", "tmp")))

    def test_other_peoples(self) -> None:
        """
        A module that another distribution puts beside ours is found; what it imports
        from ours is not found twice.
        """
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        with open(os.path.join(folder, "tape_dropin.py"), "w") as file:
            file.write(DROPIN)
        self.patch(backends, "__path__", [*backends.__path__, folder])
        self.addCleanup(sys.modules.pop, "glancetx.backends.tape_dropin", None)
        names = [factory.name for factory in find_factories()]
        self.assertEqual((names.count("filesystem"), names.count("tape")), (1, 1))
