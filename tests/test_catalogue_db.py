# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of migrations: an empty place, an old, a newer and a damaged database.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from glancetx.catalogue import db
from glancetx.catalogue.db import check, current, upgrade
from glancetx.catalogue.engines import make_engine
from glancetx.catalogue.schema import metadata
from glancetx.errors import CatalogueUnavailable, ConfigError

from .catalogues import Program

UPGRADE = """
import sys
from glancetx.catalogue import db
from glancetx.catalogue.db import upgrade
print("ready", flush=True)
sys.stdin.readline()
print(upgrade(sys.argv[1]), flush=True)
"""


class UpgradeTests(SynchronousTestCase):
    """``upgrade``, ``current`` and ``check``"""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "deep" / "catalogue.sqlite"
        self.url = f"sqlite:///{self.path}"

    def execute(self, statement: str) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(statement)
        connection.close()

    def refused(self, words: str) -> None:
        with self.assertRaises(CatalogueUnavailable) as caught:
            check(self.url)
        self.assertIn(words, str(caught.exception))

    def test_from_nothing(self) -> None:
        """
        Where nothing is, a folder for this user alone and a sound database are made.
        """
        self.assertIsNone(current(self.url))
        self.assertFalse(self.path.exists())
        self.refused("does not exist yet")
        revision = upgrade(self.url)
        self.assertEqual(current(self.url), revision)
        check(self.url)
        mode = stat.S_IMODE(os.stat(self.path.parent).st_mode)
        self.assertEqual(mode, 0o700)

    def test_folder_that_is_there(self) -> None:
        """
        A folder that was there keeps its mode.
        """
        self.path.parent.mkdir(parents=True)
        self.path.parent.chmod(0o755)
        upgrade(self.url)
        mode = stat.S_IMODE(os.stat(self.path.parent).st_mode)
        self.assertEqual(mode, 0o755)

    def test_again(self) -> None:
        """
        A database that is up to date is left as it is, with what is in it.
        """
        upgrade(self.url)
        self.execute("INSERT INTO ids VALUES ('x', NULL)")
        self.assertEqual(upgrade(self.url), current(self.url))
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("SELECT id FROM ids").fetchall(), [("x",)])

    def test_empty_file(self) -> None:
        """
        An empty file is a database to be made.
        """
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        self.assertIsNone(current(self.url))
        upgrade(self.url)
        check(self.url)

    def test_newer(self) -> None:
        """
        A database of a newer version is refused, left alone, and told what to do.
        """
        upgrade(self.url)
        self.execute("UPDATE alembic_version SET version_num = '9876'")
        for verb in (upgrade, current, check):
            with self.assertRaises(CatalogueUnavailable) as caught:
                verb(self.url)
            self.assertIn("9876", str(caught.exception))
            self.assertIn("newer", str(caught.exception))

    def test_fails_half_way(self) -> None:
        """
        A migration that fails changes nothing, and can be done again.
        """
        self.path.parent.mkdir(parents=True)
        self.execute("CREATE TABLE intents (x INTEGER)")  # made after the others
        with self.assertRaises(CatalogueUnavailable):
            upgrade(self.url)
        self.assertIsNone(current(self.url))
        self.execute("DROP TABLE intents")
        upgrade(self.url)
        check(self.url)

    def test_other_tables(self) -> None:
        """
        Tables that another program changed are noticed.
        """
        upgrade(self.url)
        self.execute("ALTER TABLE images DROP COLUMN checksum")
        self.refused("changed")

    def test_astray(self) -> None:
        """
        Rows that refer to nothing are noticed.
        """
        upgrade(self.url)
        self.execute("INSERT INTO properties VALUES ('nobody', 'a', 'b')")
        self.refused("properties")

    def test_damaged(self) -> None:
        """
        Damage in the file is noticed.
        """
        upgrade(self.url)
        with open(self.path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (os.path.getsize(self.path) - 4096))
        with self.assertRaises(CatalogueUnavailable):
            check(self.url)

    def test_strange_folder(self) -> None:
        """
        Any folder will do, whatever characters its name has.
        """
        self.path = Path(self.mktemp()).absolute() / "50% of an ä b#c" / "x.sqlite"
        self.url = f"sqlite:///{self.path}"
        upgrade(self.url)
        check(self.url)
        self.assertTrue(self.path.exists())

    def test_strange_package_folder(self) -> None:
        """
        The package too may be installed in any folder.
        """
        self.patch(db, "__file__", "/opt/50% of it/catalogue/db.py")
        place = db._config().get_main_option("script_location")
        self.assertEqual(place, "/opt/50% of it/catalogue/migrations")

    def test_wrong_url(self) -> None:
        """
        Each verb refuses what is neither a file nor a PostgreSQL.
        """
        for verb in (upgrade, current, check):
            with self.assertRaises(ConfigError):
                verb("mysql://me:secret@db/x")

    def test_agree(self) -> None:
        """
        The migrations make exactly the tables that the code speaks of.
        """
        upgrade(self.url)
        engine = make_engine(self.url, writes=False)
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            self.assertEqual(compare_metadata(context, metadata), [])


class TogetherTests(TestCase):
    """Several that start at once."""

    def setUp(self) -> None:
        path = Path(self.mktemp()).absolute() / "catalogue.sqlite"
        self.url = f"sqlite:///{path}"

    async def test_processes(self) -> None:
        """
        Processes that start together all find the database made, once.
        """
        programs = [Program(UPGRADE, self.url) for _ in range(3)]
        for program in programs:
            self.addCleanup(program.kill)
        for program in programs:
            self.assertEqual(await program.line(), "ready")
        for program in programs:
            program.say("go")
        revisions = {await program.line() for program in programs}
        self.assertEqual(revisions, {current(self.url)})
        for program in programs:
            self.assertEqual(await program.ended, 0)
        check(self.url)

    async def test_threads(self) -> None:
        """
        Servers in one process may start together, on one file or on several.
        """
        urls = [self.url, self.url, f"{self.url}.2", f"{self.url}.3"]
        await gatherResults([deferToThread(upgrade, url) for url in urls])
        for url in urls:
            check(url)
