# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of calls that are made again: others undid them, or their connection was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glancetx.catalogue import calls
from glancetx.catalogue.calls import TRIES, read, write
from glancetx.catalogue.engines import as_fact, make_engine, shown
from glancetx.errors import CatalogueUnavailable, ConfigError

CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)


def trouble(kind: type[Exception], lost: bool = False) -> DBAPIError:
    """What SQLAlchemy makes of an error of the driver."""
    return OperationalError(
        "SELECT 1", {}, kind("it is so"), connection_invalidated=lost
    )


class AgainTests(SynchronousTestCase):
    """``write`` and ``read``"""

    def setUp(self) -> None:
        self.pauses: list[float] = []
        self.patch(calls, "sleep", self.pauses.append)
        self.engine = make_engine(f"sqlite:///{Path(self.mktemp())}", writes=True)
        self.addCleanup(self.engine.dispose)
        self.tries = 0
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (what INTEGER)"))

    def failing(
        self, times: int, error: Callable[[], Exception]
    ) -> Callable[[Connection], int]:
        """A call that notes something, then fails so many times."""

        def call(connection: Connection) -> int:
            self.tries += 1
            if job is write:
                connection.execute(text("INSERT INTO notes VALUES (1)"))
            if self.tries <= times:
                raise error()
            return self.tries

        job = self.job
        return call

    job: Callable[[Engine, Any], list[Any]] = staticmethod(write)

    def result(self, times: int, error: Callable[[], Exception]) -> Any:
        self.tries = 0
        [result] = self.job(self.engine, [self.failing(times, error)])
        return result.value if isinstance(result, Failure) else result

    def notes(self) -> int:
        with self.engine.connect() as connection:
            count = connection.execute(text("SELECT count(*) FROM notes"))
            return int(count.scalar_one())

    def test_conflict(self) -> None:
        """
        What others undid is made again, after a pause, and counts once.
        """
        for number, kind in enumerate(CONFLICTS, start=1):
            self.assertEqual(self.result(2, lambda kind=kind: trouble(kind)), 3)  # type: ignore[misc]
            self.assertEqual(self.notes(), number)
        self.assertEqual(len(self.pauses), 4)

    def test_bounded(self) -> None:
        """
        At last it is given up, nothing is kept, and the reason is plain.
        """
        error = self.result(TRIES, lambda: trouble(CONFLICTS[0]))
        self.assertIsInstance(error, CatalogueUnavailable)
        self.assertIn("too many others", str(error))
        self.assertEqual((self.tries, self.notes()), (TRIES, 0))
        self.assertLess(sum(self.pauses), 5)

    def test_lost(self) -> None:
        """
        A call that lost its connection before the commit is made again.
        """
        lost = trouble(errors.AdminShutdown, lost=True)
        self.assertEqual(self.result(1, lambda: lost), 2)
        self.job = read
        self.assertEqual(self.result(1, lambda: lost), 2)
        self.assertIsInstance(self.result(2, lambda: lost), CatalogueUnavailable)

    def test_lost_again(self) -> None:
        """
        One that loses each connection is made twice, and nobody waits behind it.
        """
        lost = trouble(errors.AdminShutdown, lost=True)
        for self.job in (write, read):
            self.tries = 0
            calls = [self.failing(9, lambda: lost)] * 5
            results = self.job(self.engine, calls)
            self.assertEqual((self.tries, len(results)), (2, 5))
            for result in results:
                self.assertIsInstance(result.value, CatalogueUnavailable)

    def test_lost_in_commit(self) -> None:
        """
        A call that lost it in the commit is not: it may have been done.
        """

        def commit(connection: Any) -> None:
            raise trouble(errors.AdminShutdown, lost=True)

        self.patch(self.engine.dialect, "do_commit", commit)
        self.assertIsInstance(self.result(0, Exception), CatalogueUnavailable)
        self.assertEqual(self.tries, 1)

    def test_other_errors(self) -> None:
        """
        What would be so again is not tried again.
        """
        for error in (
            trouble(errors.QueryCanceled),
            IntegrityError("INSERT", {}, errors.UniqueViolation("twice")),
            KeyError("a mistake"),
        ):
            self.assertIsInstance(self.result(1, lambda e=error: e), Exception)  # type: ignore[misc]
            self.assertEqual(self.tries, 1)

    def test_facts(self) -> None:
        """
        Callers are not told where the database is, the operator is.
        """
        error = errors.ConnectionFailure("connection to 10.0.0.1 failed")
        fact = as_fact(OperationalError("", {}, error))
        assert isinstance(fact, CatalogueUnavailable)
        self.assertNotIn("10.0.0.1", str(fact))
        self.assertIn("10.0.0.1", fact.detail)

    def test_shown(self) -> None:
        """
        A URL is shown without its password and options.
        """
        url = "postgresql://me:secret@db:5433/x?sslpassword=secret&host=other"
        self.assertEqual(shown(url), "postgresql://me:***@db:5433/x")
        self.assertRaises(ConfigError, shown, "postgresql://me:secret@db:port/x")
