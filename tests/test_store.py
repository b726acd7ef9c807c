# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.stores.Store``: plug-ins may answer at once or later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
    succeed,
)
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from glancetx.errors import NoSuchPiece, StoreFull
from glancetx.interfaces import IBackend, IFilePiece, IPiece, IPieceWriter
from glancetx.stores import Store
from glancetx.testing import RecordingConsumer

KEY = "0123456789abcdef" * 2

Answer = Callable[[Any], Any]


async def coroutine(value: Any) -> Any:
    """A value that comes from a coroutine."""
    if isinstance(value, Exception):
        raise value
    return value


def deferred(value: Any) -> Deferred[Any]:
    """A value that comes from a ``Deferred``."""
    return ensureDeferred(coroutine(value))


def plain(value: Any) -> Any:
    """The value itself."""
    if isinstance(value, Exception):
        raise value
    return value


@implementer(IBackend, IPieceWriter, IFilePiece)
class Anything:
    """A whole plug-in in one object, which answers in one way to everything."""

    size = 3

    def __init__(self, answer: Answer, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._answer = answer
        self._error = error

    def _called(self, name: str, value: Any = None) -> Any:
        self.calls.append(name)
        return self._answer(self._error or value)

    def piece(self, key: str, size: int) -> Any:
        return self._called("piece", self)

    def create(self, key: str, size: int | None) -> Any:
        return self._called("create", self)

    def remove(self, key: str) -> Any:
        return self._called("remove")

    def write(self, data: bytes) -> Any:
        return self._called("write")

    def finish(self) -> Any:
        return self._called("finish")

    def abort(self) -> Any:
        return self._called("abort")

    def open(self) -> Any:
        return self._called("open", 42)

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Any:
        consumer.write(b"abc"[start:stop])
        return self._called("produce")


class StoreTests(SynchronousTestCase):
    """``Store``"""

    ways: tuple[Answer, ...] = (plain, coroutine, deferred)

    def test_write(self) -> None:
        """
        A piece is written, whichever way the plug-in answers.
        """
        for way in self.ways:
            plugin = Anything(way)
            store = Store("any", plugin)
            writer = self.successResultOf(ensureDeferred(store.create(KEY, 3)))
            verifyObject(IPieceWriter, writer)
            for result in (writer.write(b"abc"), writer.finish(), writer.abort()):
                self.assertIsInstance(result, Deferred)
                self.assertIsNone(self.successResultOf(result))
            self.assertEqual(plugin.calls, ["create", "write", "finish", "abort"])

    def test_read(self) -> None:
        """
        A piece is read, whichever way the plug-in answers.
        """
        for way in self.ways:
            store = Store("any", Anything(way))
            piece = self.successResultOf(ensureDeferred(store.piece(KEY, 3)))
            verifyObject(IFilePiece, piece)
            consumer = RecordingConsumer()
            self.successResultOf(piece.produce(consumer, 0, 2))
            self.assertEqual((piece.size, consumer.received), (3, b"ab"))
            self.assertEqual(self.successResultOf(cast(IFilePiece, piece).open()), 42)

    def test_remove(self) -> None:
        """
        A piece is removed, whichever way the plug-in answers.
        """
        for way in self.ways:
            plugin = Anything(way)
            self.successResultOf(ensureDeferred(Store("any", plugin).remove(KEY)))
            self.assertEqual(plugin.calls, ["remove"])

    def test_failures(self) -> None:
        """
        A failure is the same failure, whichever way the plug-in tells it.
        """
        for way in self.ways:
            store = Store("any", Anything(way, NoSuchPiece(KEY)))
            for calling in (
                store.piece(KEY, 3),
                store.create(KEY, 3),
                store.remove(KEY),
            ):
                self.failureResultOf(ensureDeferred(calling), NoSuchPiece)

    def test_late_failures(self) -> None:
        """
        What a writer or a piece raises comes as a failure, not as an exception.
        """
        for way in self.ways:
            plugin = Anything(way)
            store = Store("any", plugin)
            writer = self.successResultOf(ensureDeferred(store.create(KEY, 3)))
            piece = self.successResultOf(ensureDeferred(store.piece(KEY, 3)))
            plugin._error = StoreFull("any")
            for result in (
                writer.write(b""),
                writer.finish(),
                writer.abort(),
                piece.produce(RecordingConsumer(), 0, 1),
                cast(IFilePiece, piece).open(),
            ):
                self.failureResultOf(result, StoreFull)

    def test_not_a_file(self) -> None:
        """
        A piece that is not a file is not said to be one.
        """

        @implementer(IPiece)
        class Stream:
            size = 3

            def produce(
                self, consumer: IConsumer, start: int, stop: int
            ) -> Deferred[None]:
                return succeed(None)

        class Streams(Anything):
            def piece(self, key: str, size: int) -> Any:
                return Stream()

        store = Store("any", Streams(plain))
        piece = self.successResultOf(ensureDeferred(store.piece(KEY, 3)))
        verifyObject(IPiece, piece)
        self.assertFalse(IFilePiece.providedBy(piece))

    def test_cancel(self) -> None:
        """
        Cancelling what a plug-in is asked for cancels the plug-in's own work.
        """
        waiting: Deferred[None] = Deferred()

        class Patient(Anything):
            async def remove(self, key: str) -> None:
                await waiting

        removing = ensureDeferred(Store("any", Patient(plain)).remove(KEY))
        removing.cancel()
        self.failureResultOf(removing, CancelledError)
        self.assertTrue(waiting.called)
