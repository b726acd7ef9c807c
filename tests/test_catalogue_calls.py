# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of calls from the reactor to the database, and of its troubles.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    ensureDeferred,
)

from glancetx.catalogue import Catalogue, Query
from glancetx.catalogue.calls import Calls, Job, read, write
from glancetx.catalogue.engines import make_engine
from glancetx.errors import BadValue, CatalogueUnavailable, ConfigError, NoSuchImage

from .catalogues import CatalogueTestCase, new_image, reactor


def note(connection: Connection, what: int) -> int:
    """Write a row, and say in which thread."""
    connection.execute(text("INSERT INTO notes VALUES (:what)"), {"what": what})
    return threading.get_ident()


def notes(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT what FROM notes")).scalars())


def ask(connection: Connection, pragma: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()


def fail(connection: Connection, what: int) -> None:
    """Write a row, then fail."""
    note(connection, what)
    raise NoSuchImage(str(what))


class LateReactor:
    """The reactor, but for turns that only come when they are called."""

    callFromThread = reactor.callFromThread

    def __init__(self) -> None:
        self.turns: list[Callable[[], None]] = []

    def callLater(self, delay: float, turn: Callable[[], None]) -> None:
        self.turns.append(turn)


class CallsTests(CatalogueTestCase):
    """``Calls`` on a table of its own."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.jobs: list[int] = []
        self.writes = self.calls(write, 1)
        self.reads = self.calls(read, 2)
        await self.writes.call(
            lambda c: c.exec_driver_sql("CREATE TABLE notes (what INTEGER)").close()
        )
        self.jobs.clear()

    def calls(self, job: Job, width: int) -> Calls:
        """Calls that note how many each job had."""

        def noting(engine, calls):  # type: ignore[no-untyped-def]
            self.jobs.append(len(calls))
            return job(engine, calls)

        noting.__name__ = job.__name__
        engine = make_engine(self.url, writes=job is write, connections=width)
        calls = Calls(reactor, engine, noting, width)
        self.addCleanup(lambda: Deferred.fromCoroutine(calls.stop()))
        return calls

    async def test_gathered(self) -> None:
        """
        All calls of one turn of the reactor are one job in one other thread.
        """
        results = await DeferredList([self.writes.call(note, n) for n in range(9)])
        threads = {thread for _, thread in results}
        self.assertEqual(self.jobs, [9])
        self.assertEqual(len(threads), 1)
        self.assertNotIn(threading.get_ident(), threads)
        self.assertEqual(await self.reads.call(notes), list(range(9)))

    async def test_transaction_each(self) -> None:
        """
        Of the writes in one job, one that fails takes nothing of the others with it.
        """
        good, bad = self.writes.call(note, 1), self.writes.call(fail, 2)
        last = self.writes.call(note, 3)
        await good
        with self.assertRaises(NoSuchImage):
            await bad
        await last
        self.assertEqual(self.jobs, [3])
        self.assertEqual(await self.reads.call(notes), [1, 3])

    async def test_read_fails_alone(self) -> None:
        """
        A read that fails leaves the other reads of its job alone.
        """
        bad = self.reads.call(lambda c: c.exec_driver_sql("SELECT nonsense").all())
        good = self.reads.call(notes)
        with self.assertRaises(Exception):  # noqa: B017 - the database's own
            await bad
        self.assertEqual(await good, [])

    async def test_readers_cannot_write(self) -> None:
        """
        What is called as a read cannot change anything.
        """
        with self.assertRaises(CatalogueUnavailable) as caught:
            await self.reads.call(note, 1)
        self.assertIn("readonly", str(caught.exception))
        self.assertEqual(await self.reads.call(notes), [])

    async def test_several_readers(self) -> None:
        """
        Reads that come later need not wait for a long one, up to the width.
        """
        hold, held = threading.Event(), Deferred[None]()

        def long(connection: Connection) -> str:
            reactor.callFromThread(held.callback, None)
            hold.wait()
            return "long"

        first = self.reads.call(long)
        await held
        self.assertEqual(await self.reads.call(notes), [])
        self.assertFalse(first.called)
        hold.set()
        self.assertEqual(await first, "long")

    async def test_wait_for_the_writer(self) -> None:
        """
        Writes that come while one runs wait for it, and then are one job.
        """
        hold, held = threading.Event(), Deferred[None]()

        def long(connection: Connection) -> None:
            reactor.callFromThread(held.callback, None)
            hold.wait()

        first = self.writes.call(long)
        await held
        rest = [self.writes.call(note, n) for n in range(2)]
        await turn()
        rest.append(self.writes.call(note, 2))
        hold.set()
        await first
        await DeferredList(rest)
        self.assertEqual(self.jobs, [1, 3])

    async def test_cancelled(self) -> None:
        """
        Who cancels a call gives up its result; the call itself is made.
        """
        given_up = self.writes.call(note, 1)
        given_up.cancel()
        with self.assertRaises(CancelledError):
            await given_up
        await self.writes.call(note, 2)
        self.assertEqual(await self.reads.call(notes), [1, 2])

    async def test_asked_together(self) -> None:
        """
        What is asked for until a job begins is one call; each gets his own answer.
        """
        asked: list[list[int]] = []

        def halve(connection: Connection, about: list[int]) -> list[int | Exception]:
            asked.append(about)
            return [BadValue("n", str(n)) if n % 2 else n // 2 for n in about]

        answers = [self.reads.ask(halve, n) for n in (4, 5, 4, 6)]
        answers[0].cancel()
        results: Any = await DeferredList(answers, consumeErrors=True)
        given = [result for good, result in results if good]
        self.assertEqual(given, [2, 3])
        self.assertIsInstance(results[1][1].value, BadValue)
        self.assertEqual(await self.reads.ask(halve, 8), 4)
        self.assertEqual(asked, [[4, 5, 4, 6], [8]])
        self.assertEqual(self.jobs, [1, 1])

    async def test_asked_in_vain(self) -> None:
        """
        A failure is everyone's who asked; the next is answered again.
        """
        troubled = True

        def answer(connection: Connection, about: list[int]) -> list[int]:
            if troubled:
                ask(connection, "nonsense nonsense")
            return about

        answers = [self.reads.ask(answer, n) for n in range(3)]
        results: Any = await DeferredList(answers, consumeErrors=True)
        errors = {type(failure.value) for _, failure in results}
        self.assertEqual(errors, {CatalogueUnavailable})
        troubled = False
        self.assertEqual(await self.reads.ask(answer, 7), 7)
        await self.reads.stop()
        with self.assertRaises(CatalogueUnavailable):
            await self.reads.ask(answer, 8)

    async def test_stop(self) -> None:
        """
        Stopping waits for the calls that were made, and takes no others.
        """
        last = self.writes.call(note, 1)
        stopped = ensureDeferred(self.writes.stop())
        with self.assertRaises(CatalogueUnavailable):
            await self.writes.call(note, 2)
        await stopped
        self.assertTrue(last.called)
        self.assertEqual(await self.reads.call(notes), [1])

    async def test_stop_before_the_turn(self) -> None:
        """
        Stopping ends also when the last call was taken along by the job before.
        """
        late = LateReactor()
        engine = make_engine(self.url, writes=True)
        calls, hold = Calls(late, engine, write, 1), threading.Event()
        first = calls.call(lambda c: hold.wait())
        late.turns.pop()()
        second = calls.call(note, 1)
        hold.set()
        await first
        await second
        await turn()
        stopped = ensureDeferred(calls.stop())
        late.turns.pop()()
        await stopped


class TroubleTests(CatalogueTestCase):
    """A database that is locked, full, gone or no database."""

    async def locked(self) -> tuple[Catalogue, sqlite3.Connection]:
        """A catalogue without patience, and who else holds the write lock."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        impatient = await self.open(busy_seconds=0.01)
        other.execute("BEGIN IMMEDIATE")
        return impatient, other

    async def test_locked(self) -> None:
        """
        When another writes for too long, writes fail and change nothing; reads go on.
        """
        image = await self.queued()
        impatient, other = await self.locked()
        with self.assertRaises(CatalogueUnavailable) as caught:
            await impatient.delete(image.id)
        self.assertEqual(caught.exception.reason, "database is locked")
        self.assertEqual(await impatient.find(image.id), image)
        other.execute("ROLLBACK")
        await impatient.delete(image.id)

    async def test_locked_for_all(self) -> None:
        """
        All writes of a job fail with the one that could not begin, each by itself.
        """
        impatient, _ = await self.locked()
        calls = [ensureDeferred(impatient.add(new_image())) for _ in range(3)]
        results: Any = await DeferredList(calls, consumeErrors=True)
        errors = [failure.value for _, failure in results]
        self.assertEqual({type(error) for error in errors}, {CatalogueUnavailable})
        self.assertEqual(len(set(map(id, errors))), 3)

    async def test_one_wait_for_all(self) -> None:
        """
        The writes behind one that could not begin do not wait once more each.
        """
        await self.locked()
        engine = make_engine(self.url, writes=True, busy_seconds=0.01)
        self.addCleanup(engine.dispose)
        statements: list[str] = []

        @event.listens_for(engine, "before_cursor_execute")
        def execute(connection: Connection, cursor: Any, sql: str, *rest: Any) -> None:
            statements.append(sql)

        self.assertEqual(len(write(engine, [notes] * 3)), 3)
        self.assertEqual(statements, ["BEGIN IMMEDIATE"])

    async def test_full(self) -> None:
        """
        A full disk is told as such, and nothing of the call is kept.
        """
        image = new_image(properties={"large": "x" * 2**20})
        writes = self.catalogue._writes

        def limit(connection: Connection, more: int) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}").close()

        await writes.call(limit, 1)
        with self.assertRaises(CatalogueUnavailable) as caught:
            await self.catalogue.add(image)
        self.assertEqual(caught.exception.reason, "database or disk is full")
        self.assertEqual(await self.catalogue.list(Query()), [])
        await writes.call(limit, 1000)
        await self.catalogue.add(image)

    async def test_no_database(self) -> None:
        """
        A file that is something else is left as it is, and the start says why.
        """
        path = Path(self.mktemp()).absolute()
        path.write_bytes(b"a letter to my mother " * 100)
        catalogue = Catalogue(f"sqlite:///{path}", reactor)
        with self.assertRaises(CatalogueUnavailable) as caught:
            await catalogue.start()
        self.assertEqual(caught.exception.reason, "file is not a database")
        self.assertTrue(path.read_bytes().startswith(b"a letter"))

    async def test_no_folder(self) -> None:
        """
        A folder that cannot be made stops the start, and is named.
        """
        path = Path(self.mktemp()).absolute()
        path.write_bytes(b"")
        catalogue = Catalogue(f"sqlite:///{path}/catalogue.sqlite", reactor)
        with self.assertRaises(CatalogueUnavailable) as caught:
            await catalogue.start()
        self.assertIn(str(path), str(caught.exception))

    async def test_wrong_url(self) -> None:
        """
        A URL of no database that is known is refused, and no password is told.
        """
        for url in (
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///file:x?uri=true",
            "mysql://me:secret@db/x",
            "postgresql+asyncpg://me:secret@db/x",
            "postgresql://me@db/x?password=secret",
            "postgresql://me:half@secret@db/x",
            "nonsense:secret",
        ):
            with self.assertRaises(ConfigError) as caught:
                await Catalogue(url, reactor).start()
            self.assertEqual(caught.exception.key, "url")
            self.assertNotIn("secret", str(caught.exception))

    async def test_rules(self) -> None:
        """
        Every connection writes ahead, syncs each commit, minds foreign keys, and keeps
        no more of the file than the page on the catalogue says.
        """
        for calls in (self.catalogue._reads, self.catalogue._writes):
            for pragma, value in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("busy_timeout", 10000),
                ("cache_size", -8192),
            ):
                self.assertEqual(await calls.call(ask, pragma), value, pragma)


def turn() -> Deferred[None]:
    """Fires in a later turn of the reactor."""
    later: Deferred[None] = Deferred()
    reactor.callLater(0, later.callback, None)
    return later
