# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of what is particular to a catalogue in PostgreSQL: how it is made, what it rides
on, and what comes of its troubles.
"""

from __future__ import annotations

import os
import signal
from datetime import datetime
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

from alembic import command
from attrs import evolve
from sqlalchemy import Connection, create_engine, event, insert, text
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import SynchronousTestCase, TestCase

from glancetx.catalogue import SORT_KEYS, Catalogue, postgresql, purging
from glancetx.catalogue import catalogue as catalogue_module
from glancetx.catalogue.copying import copy
from glancetx.catalogue.db import (
    _config,
    check,
    connected,
    current,
    differences,
    newest,
    upgrade,
)
from glancetx.catalogue.engines import as_fact, make_engine
from glancetx.catalogue.listing import list_images
from glancetx.catalogue.purging import purge
from glancetx.catalogue.schema import ids
from glancetx.errors import BadValue, CatalogueUnavailable
from tests import test_catalogue_copying
from tests.catalogues import CatalogueTestCase, Program, new_image, reactor
from tests.test_catalogue_copying import rows_of
from tests.test_catalogue_db import UPGRADE
from tests.test_catalogue_plans import ADMIN, LIMIT, MEMBER, fill

from .postgres import missing_postgres, shared_postgres
from .postgres_case import ENGLISH, OnPostgres, fresh_url, numbered


class DbTests(TestCase):
    """``upgrade``, ``current`` and ``check``"""

    skip = missing_postgres()

    def setUp(self) -> None:
        self.url = numbered()

    def execute(self, *statements: str) -> None:
        engine = create_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def refused(self, words: str) -> None:
        with self.assertRaises(CatalogueUnavailable) as caught:
            check(self.url)
        self.assertIn(words, str(caught.exception))

    def go(self, verb: str, revision: str) -> None:
        """Let Alembic go to a revision."""
        config = _config()
        with connected(self.url, True, alone=True) as connection:
            config.attributes["connection"] = connection
            getattr(command, verb)(config, revision)

    def test_sound(self) -> None:
        """
        A database is made, is as the code speaks of it, and is left as it is then.
        """
        self.assertIsNone(current(self.url))
        self.refused("does not exist yet")
        for _ in range(2):
            self.assertEqual(upgrade(self.url), newest())
        self.assertEqual(current(self.url), newest())
        check(self.url)
        with connected(self.url, False) as connection:
            self.assertEqual(differences(connection), [])

    def test_there_and_back(self) -> None:
        """
        Rows of the first revision are kept on the way to this one, and on the way back.
        """
        self.go("upgrade", "0001")
        self.execute("INSERT INTO ids VALUES ('gone', '2026-01-01')")
        for verb, revision in (("upgrade", "head"), ("downgrade", "0001")):
            self.go(verb, revision)
            with connected(self.url, False) as connection:
                found = connection.execute(text("SELECT id FROM ids")).scalars().all()
            self.assertEqual(found, ["gone"])
        upgrade(self.url)
        check(self.url)

    def test_changed(self) -> None:
        """
        What others did to it is noticed: tables, rows, a revision that is not known.
        """
        upgrade(self.url)
        self.execute(
            "SET session_replication_role = replica",
            "INSERT INTO properties VALUES ('nobody', 'a', 'b')",
        )
        self.refused("1 rows of properties refer to rows that are not there")
        self.execute("DELETE FROM properties", "ALTER TABLE images DROP checksum")
        self.refused("changed by another program")
        self.execute("DROP TABLE tags")
        self.refused('"tags" does not exist; its tables are not those')
        self.execute("INSERT INTO alembic_version VALUES ('0001')")
        self.refused("several revisions")
        self.execute("DELETE FROM alembic_version WHERE version_num = '0001'")
        self.execute("UPDATE alembic_version SET version_num = '9876'")
        self.refused("newer")

    def test_half_way(self) -> None:
        """
        A migration that fails changes nothing.
        """
        self.execute("CREATE TABLE intents (x integer)")
        with self.assertRaises(CatalogueUnavailable) as caught:
            upgrade(self.url)
        self.assertIn('"intents" already exists', str(caught.exception))
        self.assertIsNone(current(self.url))
        self.execute("DROP TABLE intents")
        upgrade(self.url)

    def test_encoding(self) -> None:
        """
        A database that cannot keep every text is refused, and told what to do.
        """
        url = numbered("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        with self.assertRaises(CatalogueUnavailable) as caught:
            upgrade(url)
        self.assertIn("ENCODING 'UTF8'", str(caught.exception))

    def test_no_rights(self) -> None:
        """
        Who may not make tables is told so.
        """
        self.execute("DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN PASSWORD 'p'")
        whole, _, place = self.url.partition("@")
        url = f"{whole.rpartition('/')[0]}/poor:p@{place}"
        with self.assertRaises(CatalogueUnavailable) as caught:
            upgrade(url)
        self.assertIn("permission denied", str(caught.exception))

    def test_wrong_password(self) -> None:
        """
        Why there is no connection is told to the operator, without the password.
        """
        user, _, place = self.url.partition("@")
        with self.assertRaises(CatalogueUnavailable) as caught:
            current(f"{user}-not@{place}")
        self.assertIn("password authentication failed", str(caught.exception))
        self.assertNotIn(user.rpartition(":")[2], str(caught.exception))

    async def test_together(self) -> None:
        """
        Processes and threads that start together find the tables made, once.
        """
        program = Program(UPGRADE, self.url)
        self.addCleanup(program.kill)
        self.assertEqual(await program.line(), "ready")
        program.say("go")
        made = await gatherResults(
            [deferToThread(upgrade, self.url) for _ in range(2)], consumeErrors=True
        )
        self.assertEqual({*made, await program.line()}, {newest()})
        check(self.url)


class PurgeTests(OnPostgres, test_catalogue_copying.PurgeTests):
    """``purge``"""

    async def test_beside_a_server(self) -> None:
        """
        What others write meanwhile undoes it, but it is done again.
        """
        gone = await self.queued()
        await self.catalogue.delete(gone.id)
        then, forgetting = self.pass_seconds(1), purging._forget_deletions
        busy = [True]

        def forget(connection: Connection, before: datetime) -> int:
            if busy:
                connection.execute(text("SELECT 1")).all()
                with connected(self.url, True) as other:
                    other.execute(text("UPDATE ids SET deleted_at = deleted_at"))
                busy.clear()
            return forgetting(connection, before)

        self.patch(purging, "_FORGETTING", (forget, purging._forget_processes))
        purged = await deferToThread(purge, self.url, then)
        self.assertEqual(purged.deletions, 1)


class CopyTests(test_catalogue_copying.CopyTests):
    """``copy``, from SQLite to PostgreSQL and back"""

    skip = missing_postgres()

    def target(self) -> str:
        return numbered()

    async def test_back(self) -> None:
        """
        There and back, all is as it was.
        """
        await self.fill()
        target, last = self.target(), f"sqlite:///{Path(self.mktemp()).absolute()}"
        copy(self.url, target)
        copy(target, last)
        self.assertEqual(rows_of(last), rows_of(self.url))


class PlanTests(SynchronousTestCase):
    """What lists ride on."""

    skip = missing_postgres()

    def setUp(self) -> None:
        url = fresh_url("plans", ENGLISH)
        self.addCleanup(shared_postgres().run, "DROP DATABASE plans")
        upgrade(url)
        self.engine = make_engine(url, writes=True)
        self.addCleanup(self.engine.dispose)
        fill(self.engine, 3000)
        with self.engine.begin() as connection:
            connection.execute(text("ANALYZE"))

    def plan(self, query: Any) -> str:
        """How the page is read; the first statement of a list without a marker."""
        told: list[tuple[str, Any]] = []
        with self.engine.connect() as connection:

            @event.listens_for(connection, "before_cursor_execute")
            def tell(*facts: Any) -> None:
                told.append((facts[2], facts[3]))

            list_images(connection, query)
            statement, values = told[1 if query.marker else 0]
            cursor: Any = connection.connection.cursor()
            cursor.execute(f"EXPLAIN {statement}", values)
            return "\n".join(line for (line,) in cursor.fetchall())

    def marker(self, query: Any) -> str:
        with self.engine.connect() as connection:
            return list_images(connection, evolve(query, limit=4 * LIMIT))[-1].id

    def test_rides_on_indexes(self) -> None:
        """
        No list looks at every image, whoever asks, in whichever order, on any page; an
        admin's comes sorted from its indexes.
        """
        for viewer, key, down in product((ADMIN, MEMBER), SORT_KEYS, (False, True)):
            query = evolve(viewer, sort=((key, down),))
            for asked in (query, evolve(query, marker=self.marker(query))):
                plan = self.plan(asked)
                self.assertNotIn("Seq Scan on images", plan, asked)
                if viewer.project is None:
                    below = plan.splitlines()[2:]
                    self.assertNotIn("Sort  (", "\n".join(below), asked)


class TroubleTests(OnPostgres, CatalogueTestCase):
    """Others who write, a server that stands still, and one that is gone."""

    async def test_readers_cannot_write(self) -> None:
        """
        What is called as a read cannot change anything.
        """
        with self.assertRaises(CatalogueUnavailable) as caught:
            await self.catalogue._reads.call(
                lambda c: c.execute(insert(ids), {"id": "x"})
            )
        self.assertIn("read-only transaction", str(caught.exception))

    async def test_settings(self) -> None:
        """
        Every connection gives up what takes too long, and knows only UTC.
        """
        for calls in (self.catalogue._reads, self.catalogue._writes):
            for name, value in (
                ("statement_timeout", "10s"),
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "10s"),
                ("timezone", "UTC"),
                ("application_name", "glancetx"),
            ):
                found = await calls.call(_setting, name)
                self.assertEqual(found, value, name)

    async def test_locked(self) -> None:
        """
        A write that waits too long for another fails; reads go on.
        """
        image = await self.queued()
        impatient = await self.open(busy_seconds=0.1)
        with connected(self.url, True) as other:
            other.execute(text("SELECT id FROM images FOR UPDATE")).all()
            with self.assertRaises(CatalogueUnavailable) as caught:
                await impatient.delete(image.id)
            self.assertEqual(await impatient.find(image.id), image)
        self.assertIn("timeout", caught.exception.reason)
        await impatient.delete(image.id)

    def test_standby(self) -> None:
        """
        A server that only follows another is one that is not available.
        """
        with connected(self.url, False) as connection:
            with self.assertRaises(DBAPIError) as caught:
                connection.execute(
                    text("DO $$ BEGIN RAISE feature_not_supported; END $$")
                )
            fact = as_fact(caught.exception)
        self.assertIsInstance(fact, CatalogueUnavailable)

    async def test_nul(self) -> None:
        """
        A text that cannot be kept is refused as one.
        """
        with self.assertRaises(BadValue):
            await self.catalogue.add(new_image(name="a\0b"))

    async def test_connections(self) -> None:
        """
        A server has no more connections than it may have.
        """
        catalogue = Catalogue(self.url, reactor, connections=2)
        await catalogue.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(catalogue.stop()))
        await self.catalogue.stop()
        finding = [Deferred.fromCoroutine(catalogue.processes()) for _ in range(9)]
        await gatherResults(finding)
        await catalogue.beat("nobody")
        counted = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'emptied'"
        with connected(self.url, False) as connection:
            count = connection.execute(
                text(f"{counted} AND application_name = 'glancetx'")
            ).scalar_one()
        self.assertEqual(count - 1, 2)

    async def test_lost(self) -> None:
        """
        A connection that is cut while it is idle is not noticed by anybody.
        """
        image = await self.queued()
        await self.catalogue.find(image.id)
        shared_postgres().run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'glancetx'"
        )
        self.assertEqual(await self.catalogue.find(image.id), image)
        await self.catalogue.delete(image.id)

    async def test_cut_while_writing(self) -> None:
        """
        A call whose connection is cut before its commit is made again.
        """
        image, seen = await self.queued(), list[int]()

        def alter(old: Any) -> Any:
            if not seen:
                shared_postgres().run(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE state = 'idle in transaction'"
                )
            seen.append(old.min_disk)
            return evolve(old, min_disk=old.min_disk + 1)

        changed = await self.catalogue.change(image.id, alter)
        self.assertEqual((changed.min_disk, seen), (1, [0, 0]))

    async def test_stands_still(self) -> None:
        """
        A server that says nothing keeps nobody waiting.
        """
        image = await self.queued()
        impatient = await self.open(busy_seconds=0.2)
        await impatient.find(image.id)
        pid = await impatient._reads.call(_backend)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        begun = monotonic()
        self.assertEqual(await impatient.find(image.id), image)
        self.assertLess(monotonic() - begun, 5)

    async def test_says_nothing(self) -> None:
        """
        One that lets everybody in and answers nobody keeps nobody waiting for long:
        neither who asks first, nor who asks behind others.
        """
        self.patch(catalogue_module, "GRACE_SECONDS", 0.1)
        image, silence = await self.queued(), Silence(shared_postgres().port)
        port = reactor.listenTCP(0, silence, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(silence.end)
        where, _, database = self.url.rpartition("/")
        url = f"{where.rpartition(':')[0]}:{port.getHost().port}/{database}"
        catalogue = Catalogue(url, reactor, busy_seconds=0.2)
        await catalogue.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(catalogue.stop()))
        silence.fallen = True
        begun = monotonic()
        calls = [catalogue.find(image.id), *(catalogue.beat("") for _ in range(9))]
        for call in [Deferred.fromCoroutine(call) for call in calls]:
            with self.assertRaises(CatalogueUnavailable):
                await call
        self.assertLess(monotonic() - begun, 5)
        for part in (catalogue._reads, catalogue._writes):
            self.assertFalse(postgresql._told[part._engine], "kept for ever")
        silence.fallen = False
        self.assertEqual(await catalogue.find(image.id), image)

    async def test_away(self) -> None:
        """
        While it is away all calls fail at once, none says where it should be, the log
        says it once; when it is back, all go on.
        """
        image = await self.queued()
        with capturedLogs() as events:
            await deferToThread(shared_postgres().stop)
            try:
                for _ in range(2):
                    for call in (
                        self.catalogue.find(image.id),
                        self.catalogue.beat(""),
                    ):
                        with self.assertRaises(CatalogueUnavailable) as caught:
                            await call
                        self.assertNotIn("127.0.0.1", str(caught.exception))
            finally:
                await deferToThread(shared_postgres().start)
            self.assertEqual(await self.catalogue.find(image.id), image)
            self.assertTrue(await self.catalogue.beat(self.process))
        told = [event["log_format"] for event in events if "detail" in event]
        self.assertEqual(len(told), 2, "readers and the writer, each once")
        back = [e for e in events if e.get("log_format") == "the catalogue is back"]
        self.assertEqual(len(back), 2)


class Whispering(ProxyServer):
    """A client of :class:`Silence`."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.clients.append(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """What begins with none of these is said by who is in already."""
        if not self.factory.fallen or data[:1] in (b"\0", b"p"):
            super().dataReceived(data)


class Silence(ProxyFactory):
    """
    Stands before PostgreSQL.

    :ivar fallen: whether only who logs in is heard.
    """

    protocol = Whispering
    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.fallen = False
        self.clients: list[Any] = []

    def end(self) -> None:
        for client in self.clients:
            client.transport.abortConnection()


def _setting(connection: Connection, name: str) -> object:
    return connection.execute(text(f"SHOW {name}")).scalar_one()


def _backend(connection: Connection) -> int:
    pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid
