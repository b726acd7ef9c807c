# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the parts of the conformance suite that a storage of many servers taught:
they find the faults that are planted here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, ensureDeferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from glancetx.errors import (
    GlancetxError,
    NoSuchPiece,
    PieceTruncated,
    StoreUnavailable,
)
from glancetx.interfaces import IBackend
from glancetx.testing import BackendTests, Fault, MemoryBackend, Shelf
from glancetx.testing.memory import MemoryPiece, MemoryWriter

from .cloud import (
    Account,
    Cloud,
    CloudBackend,
    CloudPiece,
    CloudWriter,
    Expired,
)
from .servers import reactor

T = TypeVar("T")


class CloudTests(BackendTests, TestCase):
    """A backend that is up to its storage, by the rules for all backends"""

    backend = CloudBackend

    def setUp(self) -> None:
        self.cloud = Cloud()

    def make_backend(self) -> CloudBackend:
        return self.backend(self.cloud)

    def leftovers(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self.cloud.objects})

    def inject(self, fault: Fault) -> bool:
        self.cloud.check = fault.check
        return True

    def shorten(self, count: int) -> bool:
        self.cloud.cut = count
        return True

    def expire(self) -> bool:
        self.cloud.expire()
        return True

    def lag(self) -> bool:
        self.cloud.lag()
        return True


class Believing(CloudBackend):
    """Takes the first look for the truth."""

    class Piece(CloudPiece):
        newest = False

    piece_kind = Piece


class Listing(CloudBackend):
    """Removes what is listed, and no more."""

    def remove(self, key: str) -> None:
        self.delete(key)
        for name in self.account.call(self.cloud.list, f"{key}/"):
            self.delete(name)


class Counting(CloudBackend):
    """Takes what is listed, and gone, for an error."""

    def remove(self, key: str) -> None:
        for name in self.account.call(self.cloud.list, f"{key}/"):
            if not self.delete(name):
                raise StoreUnavailable("testing", f"{name} is gone")
        super().remove(key)


class Trusting(CloudBackend):
    """Takes the end of an answer for the end of the piece."""

    class Piece(CloudPiece):
        def _check(self, data: bytes, start: int, stop: int) -> None:
            pass

    piece_kind = Piece


class Backwards(Trusting):
    """Removes the parts before what says that they are a piece."""

    def remove(self, key: str) -> None:
        for name in self.account.call(self.cloud.list, f"{key}/"):
            self.delete(name)
        super().remove(key)


class Stubborn(CloudBackend):
    """Shows the same token for ever."""

    class Account(Account):
        def ask(self, function: Callable[..., T], *args: Any) -> T:
            return function(self.token(), *args)

    class Piece(CloudPiece):
        """Asks for each part when it is wanted."""

        async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
            for begin in range(start, stop, 65536):
                async for one in super()._chunks(begin, min(begin + 65536, stop)):
                    yield one

    piece_kind = Piece

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.account = self.Account(cloud)


class Losing(CloudBackend):
    """Renews a token, and forgets for what."""

    class Writer(CloudWriter):
        def put(self, name: str, data: bytes) -> None:
            try:
                self.account.cloud.put(self.account.token(), name, data)
            except Expired:
                self.account._token = None

    writer_kind = Writer


class Swallowing(CloudBackend):
    """Tells of no removal that failed."""

    def remove(self, key: str) -> None:
        try:
            super().remove(key)
        except StoreUnavailable:
            pass


class Sleeping(MemoryBackend):
    """Takes its time before it writes, and is none the wiser if that is cancelled."""

    class Writer(MemoryWriter):
        def write(self, data: bytes) -> Deferred[None]:
            later: Deferred[None] = deferLater(reactor, 0)
            return later.addCallback(lambda _: MemoryWriter.write(self, data))

    def create(self, key: str, size: int | None) -> Any:
        super().create(key, size)
        return self.Writer(self._shelf, key, self._store)


class Remembering(MemoryBackend):
    """Keeps for its own readers what it removes; other processes know of none."""

    class Piece(MemoryPiece):
        async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
            self.backend.readers.add(self._key)
            for begin in range(start, stop, 65536):
                data = self.backend.removed.get(self._key)
                data = data or self._shelf.find(self._key)
                if data is None:
                    raise NoSuchPiece(self._key)
                yield data[begin : min(begin + 65536, stop)]

        backend: Any

    def __init__(self, shelf: Shelf, store: str) -> None:
        super().__init__(shelf, store)
        self.readers: set[str] = set()
        self.removed: dict[str, bytes] = {}

    def piece(self, key: str, size: int) -> MemoryPiece:
        piece = self.Piece(self._shelf, key, size)
        piece.backend = self
        return piece

    def remove(self, key: str) -> None:
        if key in self.readers:
            self.removed[key] = self._shelf.find(key) or b""
        super().remove(key)


class Impatient(Remembering):
    """Keeps for its readers what it removes, until the first has all of it."""

    class Piece(Remembering.Piece):
        def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
            done = super().produce(consumer, start, stop)
            return done.addCallback(lambda _: self.backend.removed.pop(self._key, None))


class Flapping(MemoryBackend):
    """Shows now and then what it removed, as a cluster with an old copy does."""

    class Piece(MemoryPiece):
        async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
            looks = vars(self._shelf).setdefault("looks", {})
            looks[self._key] = looks.get(self._key, 0) + 1
            if looks[self._key] % 4 == 0 and self._shelf.find(self._key) is None:
                yield bytes(stop - start)
                return
            async for one in super()._chunks(start, stop):
                yield one

    def piece(self, key: str, size: int) -> MemoryPiece:
        return self.Piece(self._shelf, key, size)


class Waiting(MemoryBackend):
    """Removes when the last reader has everything, and so never if one leaves."""

    class Piece(MemoryPiece):
        backend: Any

        def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
            self.backend.readers[self._key] = self.backend.readers.get(self._key, 0) + 1
            done = super().produce(consumer, start, stop)
            return done.addCallback(lambda _: self.backend.read(self._key))

    def __init__(self, shelf: Shelf, store: str) -> None:
        super().__init__(shelf, store)
        self.readers: dict[str, int] = {}

    def piece(self, key: str, size: int) -> MemoryPiece:
        piece = self.Piece(self._shelf, key, size)
        piece.backend = self
        return piece

    def read(self, key: str) -> None:
        self.readers[key] -= 1

    def remove(self, key: str) -> None:
        if not self.readers.get(key):
            super().remove(key)


class PlantedTests(TestCase):
    """``BackendTests`` with backends that break one rule each"""

    async def check(
        self, kind: type, *names: str, error: type[Exception] | None = None
    ) -> None:
        """Each of these tests fails for this kind of backend."""
        for name in names:
            running = ensureDeferred(_run(kind, name))
            await self.assertFailure(running, error or self.failureException)

    async def test_ghosts(self) -> None:
        """
        A backend that shows what it removed is found.
        """
        await self.check(Believing, "test_ghost")
        await self.check(Counting, "test_ghost_is_removed_again", error=GlancetxError)
        await self.check(Flapping, "test_removed_however_often_it_is_asked_for")

    async def test_lists(self) -> None:
        """
        A backend that removes only what is listed is found.
        """
        await self.check(Listing, "test_killed_and_not_yet_listed")
        await self.check(Listing, "test_aborted_and_not_yet_listed")
        await self.check(Listing, "test_not_yet_listed")

    async def test_early_ends(self) -> None:
        """
        A backend that takes any end for the end is found.
        """
        await self.check(Trusting, "test_ended_early", "test_ended_early_in_a_range")

    async def test_expired(self) -> None:
        """
        A backend that shows an old token for ever, or loses what it was for, is found.
        """
        for what in ("a_read", "a_removal", "an_abort", "a_create"):
            name = f"test_expired_before_{what}"
            await self.check(Stubborn, name, error=StoreUnavailable)
        name = "test_expired_during_a_read"
        await self.check(Stubborn, name, error=StoreUnavailable)
        await self.check(Losing, "test_expired_between_writes", error=PieceTruncated)

    async def test_half_removals(self) -> None:
        """
        A backend that says it removed what is there, or shows halves, is found.
        """
        await self.check(Swallowing, "test_removal_that_fired_is_done")
        await self.check(Backwards, "test_half_removed")

    async def test_readers(self) -> None:
        """
        A backend that forgets readers of others, or waits for those who left, is found.
        """
        name = "test_remove_by_another_during_a_read"
        await self.check(Remembering, name, error=NoSuchPiece)
        name = "test_remove_during_many_reads"
        await self.check(Impatient, name, error=FirstError)
        await self.check(Waiting, "test_reader_leaves_after_the_removal")

    async def test_holes(self) -> None:
        """
        A backend that finishes without what was cancelled is found.
        """
        await self.check(Sleeping, "test_finish_after_cancel", error=PieceTruncated)

    async def test_skipped(self) -> None:
        """
        What needs a hook that is not there is skipped, and names the hook.
        """
        for name, hook in [
            ("test_ghost", "lag"),
            ("test_ended_early", "shorten"),
            ("test_expired_between_writes", "expire"),
            ("test_half_removed", "inject"),
        ]:
            running: Deferred[Any] = ensureDeferred(_run(MemoryBackend, name))
            skipped = await self.assertFailure(running, SkipTest)
            self.assertIn(f"{hook}()", str(skipped))


async def _run(kind: Any, name: str) -> None:
    """Run one test of the suite with a backend of this kind."""
    if issubclass(kind, CloudBackend):
        case: Any = CloudTests(name)
        case.backend = kind
        case.setUp()
    else:
        case = _shelf_case(kind)(name)
    await getattr(case, name)()


def _shelf_case(kind: Any) -> Any:
    """The suite for a backend on a shelf; within a function trial does not find it."""
    shelf = Shelf()

    class Case(BackendTests, TestCase):
        def make_backend(self) -> IBackend:
            backend: IBackend = kind(shelf, "testing")
            return backend

        def leftovers(self) -> list[str]:
            return [*shelf.pieces, *shelf.unfinished]

    return Case
