# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the way from each revision of the catalogue to the next, and back.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import UUID

from alembic import command
from twisted.trial.unittest import SynchronousTestCase

from glancetx.catalogue import db
from glancetx.catalogue.db import check, current, upgrade

#: A catalogue of revision 0001: two images here, and a child of the first that has a
#: grandparent elsewhere.
FIRST = """
INSERT INTO ids VALUES ('golden', NULL), ('child', NULL), ('gone', '2026-01-01');
INSERT INTO images
    (id, status, visibility, created_at, updated_at, name, min_disk, min_ram, size)
    VALUES ('golden', 'active', 'public', '2026-01-02', '2026-01-02', 'g', 1, 2, 3),
           ('child', 'queued', 'private', '2026-01-03', '2026-01-03', NULL, 0, 0, NULL);
INSERT INTO properties VALUES ('golden', 'os', 'debian');
INSERT INTO pins
    (image_id, depth, origin, parent_id, path, disk_format, size, digest_algorithm,
     digest_value)
    VALUES ('child', 1, NULL, 'golden', '', 'raw', 3, 'sha256', 'ab'),
           ('child', 2, 'http://o.invalid', 'x', '/images/x', 'raw', 3, 'sha256', 'ab');
INSERT INTO processes VALUES ('p', 'here', 1, '/lock', '2026-01-03');
INSERT INTO intents VALUES ('main', 'key', 'child', 'p', 0);
"""


class UpgradeTests(SynchronousTestCase):
    """From 0001 to 0002"""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "catalogue.sqlite"
        self.path.parent.mkdir()
        self.url = f"sqlite:///{self.path}"

    def go(self, verb: str, revision: str) -> None:
        """Let Alembic go to a revision."""
        config = db._config()
        with db.connected(self.url, True) as connection:
            config.attributes["connection"] = connection
            getattr(command, verb)(config, revision)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        return connection.execute(statement).fetchall()

    def fill(self) -> None:
        """Make a catalogue as the first release left it."""
        self.go("upgrade", "0001")
        connection = sqlite3.connect(self.path)
        connection.executescript(FIRST)
        connection.close()
        self.assertEqual(current(self.url), "0001")

    def kept(self) -> list[list[tuple[object, ...]]]:
        """What both revisions have."""
        return [
            self.rows(statement)
            for statement in (
                "SELECT * FROM ids ORDER BY id",
                "SELECT id, status, visibility, created_at, name, min_disk, min_ram,"
                " size FROM images ORDER BY id",
                "SELECT * FROM properties",
                "SELECT image_id, depth, origin, parent_id, path, digest_value"
                " FROM pins ORDER BY depth",
                "SELECT * FROM processes",
                "SELECT * FROM intents",
            )
        ]

    def test_kept(self) -> None:
        """
        All rows are there afterwards, and the tables are those of this version.
        """
        self.fill()
        before = self.kept()
        self.assertEqual(upgrade(self.url), "0002")
        self.assertEqual(self.kept(), before)
        check(self.url)

    def test_images(self) -> None:
        """
        Images belong to nobody, and are neither protected nor hidden.
        """
        self.fill()
        upgrade(self.url)
        found = self.rows("SELECT owner, protected, hidden FROM images")
        self.assertEqual(found, [(None, 0, 0)] * 2)

    def test_pins(self) -> None:
        """
        What was read from elsewhere anyone could read; of parents here it is not known.
        """
        self.fill()
        upgrade(self.url)
        found = self.rows("SELECT visibility, anonymous FROM pins ORDER BY depth")
        self.assertEqual(found, [("private", 0), ("public", 1)])

    def test_server(self) -> None:
        """
        The server gets a name.
        """
        self.fill()
        upgrade(self.url)
        [(name,)] = self.rows("SELECT id FROM server")
        self.assertEqual(str(UUID(str(name))), name)

    def test_back(self) -> None:
        """
        The way back keeps all that the first revision knew, and can be gone again.
        """
        self.fill()
        before = self.kept()
        upgrade(self.url)
        self.go("downgrade", "0001")
        self.assertEqual(self.kept(), before)
        self.assertEqual(current(self.url), "0001")
        made = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        after = sorted(self.rows(made))
        self.path = self.path.with_name("fresh.sqlite")
        self.url = f"sqlite:///{self.path}"
        self.go("upgrade", "0001")
        self.assertEqual(after, sorted(self.rows(made)))

    def test_there_and_back(self) -> None:
        """
        A catalogue that went back comes forth again.
        """
        self.fill()
        before = self.kept()
        upgrade(self.url)
        self.go("downgrade", "0001")
        upgrade(self.url)
        self.assertEqual(self.kept(), before)
        check(self.url)

    def test_to_nothing(self) -> None:
        """
        From the first revision the way back leads to an empty database.
        """
        self.fill()
        upgrade(self.url)
        self.go("downgrade", "base")
        self.assertIsNone(current(self.url))
