# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.testing.memory``.
"""

from __future__ import annotations

from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from glancetx import backends
from glancetx.errors import StoreFull
from glancetx.interfaces import IBackendFactory
from glancetx.testing import (
    BackendTests,
    Fault,
    MemoryBackend,
    MemoryFactory,
    Shelf,
    Watched,
    inline_tools,
)

KEY = "0123456789abcdef" * 2
CALLS = {"append", "begin", "drop", "find", "keep"}


class MemoryBackendTests(BackendTests, TestCase):
    """``MemoryBackend``, by the rules for all backends"""

    def setUp(self) -> None:
        self.shelf = Shelf()
        self.fault: Fault | None = None

    def make_backend(self) -> MemoryBackend:
        shelf = Watched(self.shelf, CALLS, self.told)
        return MemoryBackend(shelf, "testing")  # type: ignore[arg-type]

    def leftovers(self) -> list[str]:
        return [*self.shelf.pieces, *self.shelf.unfinished]

    def inject(self, fault: Fault) -> bool:
        self.fault = fault
        return True

    def shorten(self, count: int) -> bool:
        for key, data in self.shelf.pieces.items():
            self.shelf.pieces[key] = data[:count]
        return True

    def told(self, name: str, args: object) -> None:
        if self.fault is not None:
            self.fault.check()


class ShelfTests(SynchronousTestCase):
    """How much fits into memory"""

    def setUp(self) -> None:
        self.backend = MemoryFactory().make({"capacity": 10}, inline_tools("small"))

    def test_factory(self) -> None:
        """
        The factory provides ``IBackendFactory``.
        """
        verifyObject(IBackendFactory, MemoryFactory())

    def test_not_a_plugin(self) -> None:
        """
        A server does not offer a store that forgets.
        """
        names = [factory.name for factory in getPlugins(IBackendFactory, backends)]
        self.assertIn("filesystem", names)
        self.assertNotIn("memory", names)

    def test_known_to_be_too_large(self) -> None:
        """
        A piece that does not fit is refused before its first byte.
        """
        error = self.assertRaises(StoreFull, self.backend.create, KEY, 11)
        self.assertEqual(error.store, "small")

    def test_full(self) -> None:
        """
        The write that does not fit fails, and the writer with it.
        """
        writer = self.backend.create(KEY, None)
        self.successResultOf(writer.write(b"12345678"))
        error = self.failureResultOf(writer.write(b"90a"), StoreFull).value
        self.assertEqual(error.store, "small")
        self.failureResultOf(writer.finish())

    def test_room_after_abort(self) -> None:
        """
        What was aborted takes no room.
        """
        writer = self.backend.create(KEY, None)
        self.successResultOf(writer.write(b"1234567890"))
        self.successResultOf(writer.abort())
        self.successResultOf(self.backend.create(KEY, 10).abort())
