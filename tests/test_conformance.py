# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.testing.conformance``: it finds the faults that are planted here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface.exceptions import Invalid

from glancetx.errors import NoSuchPiece, ReaderGone
from glancetx.interfaces import IPiece, IPieceWriter
from glancetx.streaming.pump import Tap
from glancetx.testing import (
    BackendTests,
    Fault,
    MemoryBackend,
    RecordingConsumer,
    Shelf,
    UnsteadyTests,
    Watched,
)
from glancetx.testing.memory import MemoryPiece, MemoryWriter

CALLS = {"append", "begin", "drop", "find", "keep"}


class Endless(MemoryPiece):
    """Goes on to the end, whatever was asked for."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return super().produce(consumer, start, self.size)


class Shifted(MemoryPiece):
    """Is one byte off behind the first chunk."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return super().produce(consumer, start + (start > 2**16), stop)


class Short(MemoryPiece):
    """Takes the end of the file for the end of the piece."""

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        yield (self._shelf.find(self._key) or b"")[start:stop]


class Finisher(MemoryPiece):
    """Finishes a consumer that is not its own."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        done = super().produce(consumer, start, stop)
        return done.addCallback(lambda _: cast(RecordingConsumer, consumer).finish())


class Deaf(MemoryPiece):
    """Writes everything at once, whether the consumer has room or not."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return ensureDeferred(self._write(consumer, start, stop))

    async def _write(self, consumer: IConsumer, start: int, stop: int) -> None:
        consumer.registerProducer(Tap(consumer), True)
        async for chunk in self._chunks(start, stop):
            consumer.write(chunk)
        consumer.unregisterProducer()


class Hasty(MemoryPiece):
    """Says that it is done before it is."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        super().produce(consumer, start, stop).addErrback(lambda _: None)
        return succeed(None)


class Polite(MemoryPiece):
    """Takes a reader that left for one that has everything."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        done = super().produce(consumer, start, stop)
        return done.addErrback(lambda failure: failure.trap(ReaderGone) and None)


class Puller(MemoryPiece):
    """Registers a pull producer."""

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        consumer.registerProducer(Tap(consumer), False)
        consumer.write((self._shelf.find(self._key) or b"")[start:stop])
        consumer.unregisterProducer()
        return succeed(None)


class Forgetful(MemoryPiece):
    """Looks for its bytes again and again."""

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        for begin in range(start, stop, 65536):
            async for chunk in super()._chunks(begin, min(begin + 65536, stop)):
                yield chunk


class Careless(MemoryWriter):
    """Leaves what it wrote when it is aborted."""

    def _abort(self) -> None:
        self._good = False


class Thorough(MemoryWriter):
    """Takes back what was finished."""

    def _abort(self) -> None:
        self._shelf.drop(self._key)


class Trusting(MemoryWriter):
    """Goes on after a failure, and after its end."""

    def _require_good(self) -> None:
        self._shelf.unfinished.setdefault(self._key, bytearray())


class Eager(MemoryWriter):
    """Shows what is not finished."""

    def _write(self, data: bytes) -> None:
        super()._write(data)
        self._shelf.pieces[self._key] = bytes(self._shelf.unfinished[self._key])


class Muddled(MemoryWriter):
    """Has one place for all that is being written."""

    def _write(self, data: bytes) -> None:
        super()._write(data)
        for other in self._shelf.unfinished.values():
            other[:] = self._shelf.unfinished[self._key]


class Strict(MemoryBackend):
    """Cannot remove what is not there."""

    def remove(self, key: str) -> None:
        del self._shelf.pieces[key]


class Untidy(MemoryBackend):
    """Removes pieces, but not what was left of them."""

    def remove(self, key: str) -> None:
        self._shelf.pieces.pop(key, None)


class Bare(MemoryBackend):
    """Does not say what its pieces and writers are."""

    def piece(self, key: str, size: int) -> Any:
        return object()


class PlantedTests(TestCase):
    """``BackendTests`` with backends that break one rule each"""

    async def check(
        self, kind: type, *names: str, error: type[Exception] | None = None
    ) -> None:
        """Each of these tests fails for this kind of piece, writer or backend."""
        for name in names:
            running = ensureDeferred(getattr(_case(kind)(name), name)())
            await self.assertFailure(running, error or self.failureException)

    async def test_good(self) -> None:
        """
        The backend into which the faults are planted passes.
        """
        names = [name for name in dir(BackendTests) if name.startswith("test_")]
        self.assertGreater(len(names), 40)
        for name in names:
            try:
                await getattr(_case(MemoryBackend)(name), name)()
            except SkipTest:
                self.assertTrue(
                    "descriptor" in name
                    or "open" in name
                    or hasattr(UnsteadyTests, name)
                )

    async def test_ranges(self) -> None:
        """
        Bytes that were not asked for, or others, are found.
        """
        await self.check(Endless, "test_first_byte", "test_middle", "test_any_range")
        await self.check(Shifted, "test_last_byte", "test_bytes_at_borders")
        await self.check(Short, "test_truncated", "test_truncated_behind")
        await self.check(Short, "test_unknown", "test_removed")

    async def test_manners(self) -> None:
        """
        Pull producers, and consumers finished by others, are found.
        """
        await self.check(Puller, "test_manners", "test_manners_without_bytes")
        await self.check(Finisher, "test_manners", "test_one_after_the_other")

    async def test_back_pressure(self) -> None:
        """
        A piece that does not wait for its reader is found.
        """
        await self.check(Deaf, "test_paused_before_the_first_byte", "test_pause")
        await self.check(Deaf, "test_leaves_in_a_write", "test_slow")
        await self.check(Hasty, "test_fires_last", "test_paused_before_the_first_byte")

    async def test_ends(self) -> None:
        """
        An end that is told as something else is found.
        """
        await self.check(Polite, "test_leaves_in_a_write", "test_leaves_while_paused")
        await self.check(Forgetful, "test_remove_during_a_read", error=NoSuchPiece)

    async def test_aborts(self) -> None:
        """
        A writer that leaves something, or takes too much away, is found.
        """
        await self.check(Careless, "test_abort", "test_abort_at_once")
        await self.check(Careless, "test_failed_write_is_aborted")
        await self.check(Thorough, "test_abort_after_finish", error=NoSuchPiece)

    async def test_writers(self) -> None:
        """
        A writer that mixes, shows or adds what it must not is found.
        """
        await self.check(Trusting, "test_write_after_abort", "test_write_after_finish")
        await self.check(Trusting, "test_finish_after_a_failed_write")
        await self.check(Eager, "test_unreadable_before_it_is_finished")
        await self.check(Muddled, "test_two_writers")

    async def test_removal(self) -> None:
        """
        A backend that cannot remove, or not all, is found.
        """
        await self.check(Strict, "test_remove_unknown", error=KeyError)
        await self.check(Strict, "test_remove_twice", error=KeyError)
        await self.check(Untidy, "test_remove_after_a_killed_writer")
        await self.check(Untidy, "test_dead_storage_is_swept")

    async def test_interfaces(self) -> None:
        """
        A backend that does not say what it gives is found.
        """
        await self.check(Bare, "test_piece_interface", error=Invalid)


def _case(kind: Any) -> Any:
    """A conformance suite whose backend has pieces, writers or itself of this kind."""
    shelf = Shelf()
    faults: list[Fault] = []

    def told(name: str, args: object) -> None:
        if faults:
            faults[-1].check()

    watched: Any = Watched(shelf, CALLS, told)

    class Backend(kind if issubclass(kind, MemoryBackend) else MemoryBackend):  # type: ignore[misc]
        def piece(self, key: str, size: int) -> Any:
            if IPiece.implementedBy(kind):
                return kind(watched, key, size)
            return super().piece(key, size)

        def create(self, key: str, size: int | None) -> Any:
            writer = super().create(key, size)
            if IPieceWriter.implementedBy(kind):
                return kind(watched, key, "testing")
            return writer

    class Case(BackendTests, TestCase):
        def make_backend(self) -> Any:
            return Backend(watched, "testing")

        def leftovers(self) -> list[str]:
            return [*shelf.pieces, *shelf.unfinished]

        def inject(self, fault: Fault) -> bool:
            faults.append(fault)
            return True

    return Case
