# Copyright glancetx contributors. See LICENSE for details.

"""
That the real servers of these tests fail as they are told to.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep

from twisted.trial.unittest import SynchronousTestCase

from .postgres import missing_postgres, shared_postgres
from .swift import missing_swift, shared_swift


class PostgresTests(SynchronousTestCase):
    """:class:`RealPostgres`"""

    skip = missing_postgres()

    def setUp(self) -> None:
        self.postgres = shared_postgres()
        self.database = self.postgres.fresh_database().rpartition("/")[2]

    def run_sql(self, statement: str) -> str:
        return self.postgres.run(statement, self.database)

    def test_restarted(self) -> None:
        """
        What was written is there after a restart, and after a crash.
        """
        self.run_sql("CREATE TABLE kept (number integer)")
        ends: list[Callable[[], None]] = [self.postgres.stop, self.postgres.crash]
        for number, end in enumerate(ends):
            self.run_sql(f"INSERT INTO kept VALUES ({number})")
            end()
            with self.assertRaisesRegex(AssertionError, "refused"):
                self.run_sql("SELECT 1")
            self.postgres.start()
            self.assertEqual(
                self.run_sql("SELECT count(*) FROM kept"), f"{number + 1}\n"
            )


class SwiftTests(SynchronousTestCase):
    """:class:`RealSwift`"""

    skip = missing_swift()
    body = b"bytes" * 10_000

    def setUp(self) -> None:
        self.swift = shared_swift()
        self.path = f"/lab/{self.id()}"
        self.addCleanup(self.swift.ask, "DELETE", self.path)
        self.assertIn(self.swift.ask("PUT", "/lab").code, (201, 202))
        self.put(201)

    def put(self, code: int) -> None:
        self.assertEqual(self.swift.ask("PUT", self.path, body=self.body).code, code)

    def get(self, code: int) -> bytes:
        answer = self.swift.ask("GET", self.path)
        self.assertEqual(answer.code, code)
        return answer.body

    def test_killed(self) -> None:
        """
        With two of four object servers it goes on, with one nothing can be written.
        """
        self.swift.kill_object(1, 2)
        try:
            self.assertEqual(self.get(200), self.body)
            self.put(201)
            self.swift.kill_object(3)
            try:
                self.put(503)
            finally:
                self.swift.start_object(3)
        finally:
            self.swift.start_object(1, 2)
        self.put(201)

    def test_lost(self) -> None:
        """
        An object whose files were removed from three disks is gone, its name is not.
        """
        self.assertIn(self.path[1:], self.swift.names("lab"))
        self.assertEqual(self.swift.lose("lab", self.id()), 3)
        self.assertNotIn(self.path[1:], self.swift.names("lab"))
        self.get(404)
        self.assertIn(self.id(), self.swift.listing("lab"))

    def test_full(self) -> None:
        """
        A full disk is no matter, and four of them are.
        """
        self.swift.fill_disk(1)
        self.put(201)
        self.swift.fill_disk(2, 3, 4)
        self.put(503)
        self.assertEqual(self.get(200), self.body)
        self.swift.free_disk(1, 2, 3, 4)
        self.put(201)

    def test_no_disk(self) -> None:
        """
        A server without its disk is no matter.
        """
        self.swift.fail_disk(2)
        self.put(201)
        self.assertEqual(self.get(200), self.body)
        self.swift.heal_disk(2)

    def test_silent(self) -> None:
        """
        A proxy that is paused answers when it goes on.
        """
        self.swift.pause("object3", "proxy2")
        self.swift.resume("object3", "proxy2")
        answer = self.swift.ask("GET", self.path, proxy=2)
        self.assertEqual(answer.body, self.body)

    def test_tokens(self) -> None:
        """
        Tokens can be made worthless.
        """
        token = {"X-Auth-Token": self.swift.token()}
        self.assertEqual(self.swift.ask("GET", self.path, token).code, 200)
        self.swift.expire_tokens()
        self.assertEqual(self.swift.ask("GET", self.path, token).code, 401)

    def test_ghost(self) -> None:
        """
        What is deleted while servers are away comes back with them, and goes when
        they are told.
        """
        self.swift.kill_object(1, 2)
        try:
            self.assertEqual(self.swift.ask("DELETE", self.path).code, 204)
        finally:
            self.swift.start_object(1, 2)
        self.assertIn(self.path[1:], self.swift.names("lab"))
        self.swift.replicate()
        self.assertNotIn(self.path[1:], self.swift.names("lab"))

    def test_expired(self) -> None:
        """
        An object whose time is over has a name until the expirer takes it.
        """
        self.swift.ask("POST", self.path, {"X-Delete-After": "1"})
        while self.swift.ask("HEAD", self.path).code == 200:
            sleep(0.05)
        self.get(404)
        self.assertIn(self.id(), self.swift.listing("lab"))
        self.swift.expire()
        self.assertNotIn(self.id(), self.swift.listing("lab"))
