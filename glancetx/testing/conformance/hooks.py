# Copyright glancetx contributors. See LICENSE for details.

"""
What the author of a backend gives to its tests, and what all of them share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase
from txaio.tx import as_future

from glancetx.errors import NoSuchPiece
from glancetx.interfaces import IPiece, IPieceWriter
from glancetx.stores import Store
from glancetx.testing.consumers import RecordingConsumer
from glancetx.testing.faults import Fault

__all__ = ["MIB", "Hooks", "bytes_of"]

MIB = 1024 * 1024
MOST_CALLS = 500

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


def bytes_of(size: int, seed: int = 0) -> bytes:
    """So many bytes, always the same for one seed, without any pattern."""
    return Random(seed).randbytes(size)


class Hooks(_Base):
    """
    What a backend's author overrides. Results may come later, as from a backend.
    """

    timeout = 120.0

    def make_backend(self) -> Any:
        """
        A new ``IBackend`` to the test's storage, as a process that starts makes one.

        It is called more than once in a test: what one backend wrote, the next can
        read. Each test begins with an empty storage.
        """
        raise NotImplementedError("make_backend")

    def leftovers(self) -> Any:
        """
        The names of all that is in the storage now, whoever put it there.

        If the backend removes in the background what is still being read, wait here
        until it has done so. ``None`` (as from here) if that cannot be told.
        """
        return None

    def open_sources(self) -> int | None:
        """
        How many files or connections are open for reading and writing pieces.

        ``None`` (as from here) if that cannot be told.
        """
        return None

    def kill(self, writer: IPieceWriter) -> Any:
        """
        What the system does for a process that dies with this writer: closes its files.

        Nothing must be tidied up. The writer is one that the backend made.
        """

    def inject(self, fault: Fault) -> bool:
        """
        Call ``fault.check()`` before each call to the storage, from now on.

        That raises an ``OSError`` when the call must fail. It replaces an earlier
        fault, and holds for backends that were made before, too.

        :returns: ``False`` (as from here) if that is not offered.
        """
        return False

    def shorten(self, count: int) -> bool:
        """
        Let reads of the storage end behind the first ``count`` bytes of a piece.

        From now on, without an error, as if there were no more: so it looks when a
        file was cut, or when a proxy dies.

        :returns: ``False`` (as from here) if that is not offered.
        """
        return False

    def expire(self) -> bool:
        """
        Let run out whatever backends show to the storage: tokens, sessions.

        What they get anew from now on is good.

        :returns: ``False`` (as from here) if that is not offered.
        """
        return False

    def lag(self) -> bool:
        """
        Let the storage agree with itself only later, from now on.

        Its lists lack what is written from now on, and still name what is removed;
        a plain look may still find what is removed. What the storage does to answer
        for certain, it still does.

        :returns: ``False`` (as from here) if that is not offered.
        """
        return False

    async def open_backend(self) -> Any:
        """The backend, as the author made it."""
        return await as_future(self.make_backend)

    async def open_store(self) -> Store:
        """A store with a new backend."""
        return Store("testing", await self.open_backend())

    def new_key(self) -> str:
        """A key as the server makes them."""
        return uuid4().hex

    async def keep(self, store: Store, data: bytes) -> str:
        """Write a piece, and give its key."""
        key = self.new_key()
        writer = await store.create(key, len(data))
        for start in range(0, len(data), MIB):
            await writer.write(data[start : start + MIB])
        await writer.finish()
        return key

    async def begin(self, store: Store, key: str, data: bytes) -> IPieceWriter:
        """Begin to write a piece; the rest never comes."""
        writer = await store.create(key, None)
        await writer.write(data)
        return writer

    async def read(
        self, piece: IPiece, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Read a part of a piece, up to its end by default."""
        consumer = RecordingConsumer()
        await piece.produce(consumer, start, piece.size if stop is None else stop)
        self.check_manners(consumer)
        return bytes(consumer.received)

    def check_manners(self, consumer: RecordingConsumer) -> None:
        """A producer was registered once, to push, unregistered once, and behaved."""
        self.assertEqual(consumer.broken, [])
        self.assertEqual(consumer.registered, [True])
        self.assertEqual(consumer.unregistered, 1)
        self.assertIsNone(consumer.producer)

    async def check_missing(self, store: Store, key: str, size: int) -> None:
        """A piece cannot be read: the store does not have it."""
        with self.assertRaises(NoSuchPiece):
            await self.read(await store.piece(key, size))

    async def check_leftovers(self, *keys: str) -> None:
        """The storage holds one thing for each of these keys, and no more."""
        left = await as_future(self.leftovers)
        if left is not None:
            self.assertEqual(len(left), len(keys), f"{left} for {keys}")

    def check_sources(self) -> None:
        """Nothing is open any more."""
        self.assertIn(self.open_sources(), (None, 0))

    def a_turn_later(self, consumer: RecordingConsumer) -> None:
        """Make a consumer pause, until the reactor has been round once."""
        from twisted.internet import reactor  # noqa: PLC0415

        consumer.pause()
        reactor.callLater(0, consumer.resume)

    def start_fault(self, fault: Fault) -> None:
        """
        Let a call fail, from now on.

        :raises SkipTest: if the author does not offer that.
        """
        self.require(self.inject(fault), "inject")

    def require(self, offered: bool, hook: str) -> None:
        """
        Go on only if a hook is there.

        :raises SkipTest: if the author does not offer it.
        """
        if not offered:
            raise SkipTest(f"this backend's tests do not offer {hook}()")

    async def each_call(self, onwards: bool = False) -> AsyncIterator[Fault]:
        """A fault at the first call, the second ..., until there is none to fail."""
        for at in count(1):
            fault = Fault(at, onwards)
            yield fault
            fault.heal()
            if not fault.hit:
                break
            self.assertLess(at, MOST_CALLS, "the calls never end")

    async def check_fails(self, result: Deferred[Any], *errors: type[Exception]) -> Any:
        """Wait for a failure, of one of these kinds if any are given."""
        return await self.assertFailure(result, *(errors or (Exception,)))
