# Copyright glancetx contributors. See LICENSE for details.

"""
The smallest backend: keeps pieces in memory, for tests and as an example.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, execute
from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from glancetx.errors import NoSuchPiece, PieceTruncated, StoreFull
from glancetx.interfaces import (
    IBackend,
    IBackendFactory,
    IPiece,
    IPieceWriter,
    Option,
    Tools,
)
from glancetx.streaming.pump import pump

__all__ = ["MemoryBackend", "MemoryFactory", "Shelf"]

CHUNK = 65536


class ShelfFull(Exception):
    """A shelf has no room left."""


class Shelf:
    """The storage itself: what a disk or a server is to other backends."""

    def __init__(self, capacity: int | None = None) -> None:
        """:param capacity: how many bytes fit, ``None`` for any number."""
        self.capacity = capacity
        self.pieces: dict[str, bytes] = {}
        self.unfinished: dict[str, bytearray] = {}

    def begin(self, key: str, size: int) -> None:
        self._reserve(size)
        self.unfinished[key] = bytearray()

    def append(self, key: str, data: bytes) -> None:
        self._reserve(len(data))
        self.unfinished[key] += data

    def keep(self, key: str) -> None:
        self.pieces[key] = bytes(self.unfinished.pop(key))

    def drop(self, key: str) -> None:
        self.unfinished.pop(key, None)
        self.pieces.pop(key, None)

    def find(self, key: str) -> bytes | None:
        return self.pieces.get(key)

    def _reserve(self, count: int) -> None:
        held = [*self.pieces.values(), *self.unfinished.values()]
        if self.capacity is not None and sum(map(len, held)) + count > self.capacity:
            raise ShelfFull


@implementer(IPiece)
class MemoryPiece:
    """A piece on a shelf."""

    def __init__(self, shelf: Shelf, key: str, size: int) -> None:
        self.size = size
        self._shelf = shelf
        self._key = key

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return ensureDeferred(pump(self._chunks(start, stop), consumer))

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        data = self._shelf.find(self._key)
        if data is None:
            raise NoSuchPiece(self._key)
        if len(data) < self.size:
            raise PieceTruncated(self._key, len(data), self.size)
        for begin in range(start, stop, CHUNK):
            yield data[begin : min(begin + CHUNK, stop)]


@implementer(IPieceWriter)
class MemoryWriter:
    """Writes a piece to a shelf."""

    def __init__(self, shelf: Shelf, key: str, store: str) -> None:
        self._shelf = shelf
        self._key = key
        self._store = store
        self._good = True
        self._finished = False

    def write(self, data: bytes) -> Deferred[None]:
        return execute(self._write, data)

    def finish(self) -> Deferred[None]:
        return execute(self._finish)

    def abort(self) -> Deferred[None]:
        return execute(self._abort)

    def _write(self, data: bytes) -> None:
        self._require_good()
        self._good = False
        try:
            self._shelf.append(self._key, data)
        except ShelfFull:
            raise StoreFull(self._store) from None
        self._good = True

    def _finish(self) -> None:
        self._require_good()
        self._good = False
        self._shelf.keep(self._key)
        self._finished = True

    def _abort(self) -> None:
        self._good = False
        if not self._finished:
            self._shelf.drop(self._key)

    def _require_good(self) -> None:
        if not self._good:
            raise RuntimeError("this writer failed, was aborted or has finished")


@implementer(IBackend)
class MemoryBackend:
    """Keeps pieces on a shelf."""

    def __init__(self, shelf: Shelf, store: str) -> None:
        """
        :param shelf: where the pieces are; several backends may share one.
        :param store: the name of the store, for errors.
        """
        self._shelf = shelf
        self._store = store

    def piece(self, key: str, size: int) -> MemoryPiece:
        return MemoryPiece(self._shelf, key, size)

    def create(self, key: str, size: int | None) -> MemoryWriter:
        try:
            self._shelf.begin(key, size or 0)
        except ShelfFull:
            raise StoreFull(self._store) from None
        return MemoryWriter(self._shelf, key, self._store)

    def remove(self, key: str) -> None:
        self._shelf.drop(key)


@implementer(IBackendFactory)
class MemoryFactory:
    """Makes backends that forget everything when the process ends."""

    name = "memory"
    interface_version = 1
    options = (Option("capacity", int, "how many bytes fit", required=False),)

    def make(self, options: Mapping[str, Any], tools: Tools) -> MemoryBackend:
        return MemoryBackend(Shelf(options["capacity"]), tools.store)
