# Copyright glancetx contributors. See LICENSE for details.

"""
Calls of blocking functions on a database, from the reactor.

A thread's turn costs more than a query (the interpreter's lock changes hands), so all
calls of one turn of the reactor go to a thread together, and their results come back
together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from time import sleep
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from glancetx.errors import CatalogueUnavailable

from . import postgresql
from .engines import as_fact

__all__ = ["Call", "Calls", "Job", "Threads", "read", "write"]

#: How often a call is made whose transaction others undid.
TRIES = 12
#: How long it waits in between: at random, at most so long at first, and at last.
FIRST_PAUSE, LAST_PAUSE = 0.005, 0.4

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

#: What one call does with a connection.
Call = Callable[[Connection], Any]
#: Makes calls, each with a result or a failure of its own.
Job = Callable[[Engine, Sequence[Call]], list[Any]]


class _Thread(Thread):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, daemon=True, **options)


class Threads(ThreadPool):
    """
    Threads that do not keep a process from ending which forgot to stop them: whatever
    transaction one is in then is undone, as after a crash.
    """

    threadFactory = _Thread


class Calls:
    """
    Runs functions that take a connection in threads of its own.

    :param reactor: provides ``IReactorTime`` and ``IReactorFromThreads``.
    :param job: :func:`read` or :func:`write`.
    :param width: how many jobs may run at once; calls that come meanwhile wait and
        make up the next job.
    :param patience: how long a database may be silent until it is given up; ``None``
        for one that cannot be.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        engine: Engine,
        job: Job,
        width: int,
        patience: float | None = None,
    ) -> None:
        self._reactor = reactor
        self._engine = engine
        self._job = job
        self._width = width
        self._threads = Threads(0, width, f"catalogue-{job.__name__}")
        self._waiting: list[tuple[Call, Deferred[Any]]] = []
        self._asked: dict[Callable[..., Any], list[tuple[Any, Deferred[Any]]]] = {}
        self._running = 0
        self._due = False
        self._closed = False
        self._patience = patience
        self._watching: IDelayedCall | None = None
        self._away = False
        self._idle: list[Deferred[None]] = []
        self._threads.start()

    def call(
        self,
        f: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        """
        Call ``f(connection, *args, **kwargs)`` in a thread.

        Cancelling gives up the result, not the call.

        :returns: fires with what the function returned.
        :raises CatalogueUnavailable: (as a failure) if the database is in trouble.
        """
        if self._closed:
            return fail(CatalogueUnavailable("it is not open"))
        result: Deferred[T] = Deferred()
        self._waiting.append((lambda c: f(c, *args, **kwargs), result))
        if not self._due:
            self._due = True
            self._reactor.callLater(0, self._turn_over)
        return result

    def ask(
        self, f: Callable[[Connection, list[A]], Sequence[T | Exception]], about: A
    ) -> Deferred[T]:
        """
        Call ``f(connection, [about, ...])`` in a thread, once for all that it is asked
        about meanwhile: a statement about many costs little more than one about one.

        :param f: returns what it found of each, in order; what is an exception fails.
        :raises CatalogueUnavailable: (as a failure) if the database is in trouble.
        """
        if self._closed:
            return fail(CatalogueUnavailable("it is not open"))
        asked = self._asked.setdefault(f, [])
        result: Deferred[T] = Deferred()
        asked.append((about, result))
        if len(asked) == 1:
            answers = self.call(lambda c: f(c, [about for about, _ in asked]))
            answers.addBoth(_share, asked)
        return result

    async def stop(self) -> None:
        """
        Take no more calls; end the threads when the last has its result. Idempotent.
        """
        self._closed = True
        if self._due or self._running:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        if not self._threads.joined:
            self._threads.stop()
            self._engine.dispose()

    def _turn_over(self) -> None:
        self._due = False
        self._start_job()
        self._tell_if_idle()

    def _start_job(self) -> None:
        if self._waiting and self._running < self._width:
            waiting, self._waiting = self._waiting, []
            self._asked = {}
            self._running += 1
            self._watch()
            self._threads.callInThread(self._work, waiting)

    def _work(self, waiting: list[tuple[Call, Deferred[Any]]]) -> None:
        try:
            results = self._job(self._engine, [call for call, _ in waiting])
        except BaseException as error:
            results = [_failure(error) for _ in waiting]
        self._reactor.callFromThread(self._done, waiting, results)

    def _done(
        self, waiting: list[tuple[Call, Deferred[Any]]], results: list[Any]
    ) -> None:
        self._running -= 1
        self._tell_if_away(results)
        self._start_job()
        for (_, deferred), result in zip(waiting, results, strict=True):
            deferred.callback(result)
        self._tell_if_idle()

    def _watch(self) -> None:
        """From time to time, while anything runs, hang up on who is silent."""
        if self._patience is not None and self._watching is None:
            wait = self._patience / 4
            self._watching = self._reactor.callLater(wait, self._look_after)

    def _look_after(self) -> None:
        self._watching = None
        if self._running and self._patience is not None:
            postgresql.hang_up(self._engine, self._patience)
            self._watch()

    def _tell_if_away(self, results: Sequence[Any]) -> None:
        """Tell the log once when the database goes, and once when it is back."""
        for result in results:
            lost = isinstance(result, Failure) and _detail(result.value)
            if lost and not self._away:
                self.log.error("the catalogue is away: {detail}", detail=lost)
                self._away = True
            elif self._away and not isinstance(result, Failure):
                self.log.info("the catalogue is back")
                self._away = False

    def _tell_if_idle(self) -> None:
        if self._running or self._due:
            return
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        idle, self._idle = self._idle, []
        for deferred in idle:
            deferred.callback(None)


def _share(
    answers: Sequence[Any] | Failure, asked: list[tuple[Any, Deferred[Any]]]
) -> None:
    """Give each who asked his own answer; a failure is everyone's."""
    if isinstance(answers, Failure):
        answers = [answers.value] * len(asked)
    for (_, deferred), answer in zip(asked, answers, strict=True):
        if isinstance(answer, BaseException):
            deferred.errback(Failure(answer))
        else:
            deferred.callback(answer)


class _CannotBegin(Exception):
    """
    There is no transaction to be had, or each loses its connection; why is its cause.
    """


def read(engine: Engine, calls: Sequence[Call]) -> list[Any]:
    """
    Make calls that change nothing, all in one transaction.

    It begins after the last call was asked for, so each sees what was committed
    before. A call whose connection is lost is made once more; if there is no other
    connection, or that is lost as well, all that are left fail.
    """
    results: list[Any] = []
    with engine.connect() as connection:
        for call in calls:
            try:
                results.append(_look(connection, call))
            except _CannotBegin as error:
                return results + _failures(error, calls[len(results) :])
            except Exception as error:
                connection.rollback()
                results.append(_failure(error))
    return results


def write(engine: Engine, calls: Sequence[Call]) -> list[Any]:
    """
    Make calls one after the other, each in a transaction of its own.

    A call is made again if its transaction was undone because of another, and once if
    its connection was lost before the commit. If one cannot begin, because another
    process writes for too long or the database is away or stands still, those behind it
    fail with it, lest each waits as long.
    """
    results: list[Any] = []
    with engine.connect() as connection:
        for call in calls:
            try:
                results.append(_change(connection, call))
            except _CannotBegin as error:
                return results + _failures(error, calls[len(results) :])
            except Exception as error:
                results.append(_failure(error))
    return results


def _look(connection: Connection, call: Call) -> Any:
    for last in (False, True):
        if not connection.in_transaction():
            _begin(connection)
        try:
            return call(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            if last:
                raise _CannotBegin from error
        connection.rollback()
    raise AssertionError


def _change(connection: Connection, call: Call) -> Any:
    lost = False
    for pause in _pauses():
        transaction = _begin(connection)
        done = False
        try:
            with transaction:
                result = call(connection)
                done = True
        except DBAPIError as error:
            undone = error.connection_invalidated and not done
            if undone and lost:
                raise _CannotBegin from error
            if pause is None or not (undone or postgresql.is_conflict(error)):
                raise
            lost = lost or undone
        else:
            return result
        sleep(pause)
    raise AssertionError


def _begin(connection: Connection) -> RootTransaction:
    try:
        return connection.begin()
    except Exception as error:
        raise _CannotBegin from error


def _pauses() -> Iterator[float | None]:
    """How long to wait after each try; ``None`` after the last."""
    longest = FIRST_PAUSE
    for _ in range(TRIES - 1):
        yield random.uniform(0, longest)
        longest = min(2 * longest, LAST_PAUSE)
    yield None


def _failures(error: _CannotBegin, calls: Sequence[Call]) -> list[Failure]:
    """A failure for each of them, with the same reason."""
    assert error.__cause__ is not None
    return [_failure(error.__cause__) for _ in calls]


def _detail(error: BaseException | None) -> str:
    """What the operator must know of an error, if anything."""
    return error.detail if isinstance(error, CatalogueUnavailable) else ""


def _failure(error: BaseException) -> Failure:
    """A failure of what the error means; the error itself stays its cause."""
    fact = as_fact(error) if isinstance(error, Exception) else error
    if fact is not error:
        fact.__cause__ = error
        fact.__traceback__ = error.__traceback__
    return Failure(fact)
