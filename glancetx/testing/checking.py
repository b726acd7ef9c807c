# Copyright glancetx contributors. See LICENSE for details.

"""
The conformance suite without trial's runner: for a store that is in use.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterator,
)
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any, ParamSpec

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase
from txaio.tx import as_future

from glancetx.interfaces import IBackend

from .conformance import (
    BackendTests,
    FailingTests,
    FileTests,
    ProducingTests,
    ReadingTests,
    RemovingTests,
    UnsteadyTests,
    WritingTests,
)

__all__ = ["FAILED", "PARTS", "PASSED", "SKIPPED", "Check", "Verdict"]

P = ParamSpec("P")

PATIENCE = 0.5
"""Seconds that a writer may take to end which nobody waits for."""

PROCESSES = 2
"""How many backends take turns: each finds what the other wrote."""

GRACE = 10
"""Seconds that a test which was cancelled may take to end."""

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

PARTS: dict[str, type] = {
    "reading": ReadingTests,
    "producing": ProducingTests,
    "files": FileTests,
    "writing": WritingTests,
    "removing": RemovingTests,
    "failing": FailingTests,
    "unsteady": UnsteadyTests,
}
"""The parts of the suite, by the names that a person may say."""


@frozen
class Verdict:
    """
    How one test ended.

    :ivar rule: what it tests, as a sentence.
    :ivar outcome: ``PASSED``, ``FAILED`` or ``SKIPPED``.
    :ivar reason: why it failed or was skipped.
    :ivar seconds: how long it took.
    """

    part: str
    test: str
    rule: str
    outcome: str
    reason: str = ""
    seconds: float = 0


class _StoreTests(BackendTests, TestCase):
    """The suite against a store of which nothing is known but its backend."""

    def __init__(self, name: str, make: Callable[[], IBackend]) -> None:
        super().__init__(name)
        self.keys: list[str] = []
        self._make = make
        self._undo: list[Callable[[], Any]] = []

    def make_backend(self) -> IBackend:
        return self._make()

    def new_key(self) -> str:
        key = super().new_key()
        self.keys.append(key)
        return key

    def addCleanup(  # type: ignore[override]  # as trial's own is
        self, f: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self._undo.append(partial(f, *args, **kwargs))

    async def undo(self) -> None:
        """What trial does behind a test."""
        while self._undo:
            await as_future(self._undo.pop())


class _Running:
    """
    A test that runs.

    :ivar interrupted: whether it was cancelled; a test may take no notice of that,
        since it cancels things itself.
    """

    def __init__(self, test: Coroutine[Any, Any, None], clock: IReactorTime) -> None:
        self.interrupted = False
        self._clock = clock
        self._over: Deferred[None] = Deferred()
        self._done: Deferred[None] = Deferred(self._cancel)
        self._test = Deferred.fromCoroutine(test)
        self._test.addBoth(self._ended)

    async def ended(self, seconds: float) -> None:
        """
        Wait for its end; that of a test which was cancelled, too, but not for ever.

        :raises Exception: what it raises.
        :raises TimeoutError: if it takes too long.
        """
        try:
            await self._done.addTimeout(seconds, self._clock)
        except TimeoutError:
            self.interrupted = False
            raise
        finally:
            with suppress(TimeoutError):
                await self._over.addTimeout(GRACE, self._clock)

    def _cancel(self, _: Deferred[None]) -> None:
        self.interrupted = True
        self._test.cancel()

    def _ended(self, result: Any) -> None:
        self._over.callback(None)
        if not self._done.called:
            self._done.callback(result)


class Check:
    """
    Runs the suite against a store, with keys of its own, which it removes.

    :ivar left: the keys that could not be removed, by now, and why.
    """

    def __init__(self, make: Callable[[], IBackend], clock: IReactorTime) -> None:
        """
        :param make: makes the store's backend. It is called twice, as two processes
            would: some storages have much to do for each that starts.
        :param clock: bounds how long a test takes.
        """
        self.left: dict[str, str] = {}
        self._make = partial(next, cycle(make() for _ in range(PROCESSES)))
        self._clock = clock
        self._doubtful: list[str] = []

    async def probe(self) -> None:
        """
        Keep an empty piece, and remove it.

        :raises Exception: if that fails, as all tests would then.
        """
        case = _StoreTests("test_whole", self._make)
        async with self._tidied(case):
            await case.keep(await case.open_store(), b"")

    async def run(self, parts: Collection[str]) -> AsyncGenerator[Verdict, None]:
        """Run these parts, in the order of the suite; close the generator."""
        for part, name in self.tests(parts):
            case = _StoreTests(name, self._make)
            async with self._tidied(case) as doubt:
                verdict = await self._run(case, part, name)
                doubt.append(verdict.outcome == FAILED)
            yield verdict

    def tests(self, parts: Collection[str]) -> Iterator[tuple[str, str]]:
        """The tests of these parts: part and name of each."""
        for part, tests in PARTS.items():
            if part in parts:
                names = [name for name in vars(tests) if name.startswith("test_")]
                yield from ((part, name) for name in names)

    async def sweep(self) -> None:
        """
        Remove again what could not be removed before, or may have come since.

        A test that failed, or was interrupted, may have left a writer at work.
        """
        if self._doubtful:
            await deferLater(self._clock, PATIENCE)
        case = _StoreTests("test_whole", self._make)
        case.keys = list(dict.fromkeys([*self.left, *self._doubtful]))
        self.left, self._doubtful = {}, []
        await self._remove(case)

    async def _run(self, case: _StoreTests, part: str, name: str) -> Verdict:
        test = getattr(case, name)
        rule = " ".join((inspect.getdoc(test) or name).split())
        outcome, reason, begun = PASSED, "", self._clock.seconds()
        running = _Running(test(), self._clock)
        try:
            await running.ended(case.timeout)
        except SkipTest as skip:
            outcome, reason = SKIPPED, str(skip)
        except Exception as error:
            if running.interrupted:
                raise
            outcome, reason = FAILED, str(error)
            if not isinstance(error, case.failureException):
                reason = _told(error)
        seconds = round(self._clock.seconds() - begun, 3)
        return Verdict(part, name, rule, outcome, reason, seconds)

    @asynccontextmanager
    async def _tidied(self, case: _StoreTests) -> AsyncIterator[list[bool]]:
        """
        Remove what a test wrote; later again if it may not have ended, or this has not.
        """
        doubt: list[bool] = []
        before, clean = self._doubtful, False
        try:
            yield doubt
            clean = not any(doubt)
        finally:
            self._doubtful = [*before, *case.keys]
            await self._remove(case)
            if clean:
                self._doubtful = before

    async def _remove(self, case: _StoreTests) -> None:
        await case.undo()
        for key in case.keys:
            try:
                await (await case.open_store()).remove(key)
            except CancelledError:
                raise
            except Exception as error:
                self.left[key] = _told(error)


def _told(error: Exception) -> str:
    """An error in words."""
    return f"{type(error).__name__}: {error}"
