# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.accesslog}.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glancetx.web.accesslog import AccessLog, Entry

ENTRY = Entry(
    peer="127.0.0.1",
    method=b"GET",
    path=b"/images/a",
    protocol=b"HTTP/1.1",
    code=206,
    sent=1234,
    agent=b"curl/8",
    request_id=b"req-1",
    seconds=0.5,
    cut=False,
)
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LINE = (
    '127.0.0.1 - - [23/Nov/2026:10:00:00 +0000] "GET /images/a HTTP/1.1" 206 1234 '
    '"-" "curl/8" req-1 0.500 complete'
)


class AccessLogTests(SynchronousTestCase):
    """``AccessLog``"""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.access_log = AccessLog(self.path, lambda: NOW)
        self.addCleanup(self.access_log.close)

    def lines(self, path: str | None = None) -> list[str]:
        return Path(path or self.path).read_text("ascii").splitlines()

    def test_line(self) -> None:
        """
        An entry is a line in the combined format, with more behind it.
        """
        self.access_log.write(ENTRY)
        self.access_log.write(evolve(ENTRY, cut=True))
        self.assertEqual(self.lines(), [LINE, LINE.replace("complete", "cut")])

    def test_escaped(self) -> None:
        """
        What a client sent cannot end a field or a line.
        """
        odd = b'a"b\\c\r\n\0\x1b\xc3\xa9'
        self.access_log.write(evolve(ENTRY, agent=odd, path=odd))
        [line] = self.lines()
        self.assertEqual(line.count('"'), 6)
        escaped = r"a\x22b\x5cc\x0d\x0a\x00\x1b\xc3\xa9"
        self.assertEqual(line.count(escaped), 2)

    def test_reopen(self) -> None:
        """
        After the file was moved away, a new one of the same name is written.
        """
        self.access_log.write(ENTRY)
        os.rename(self.path, self.path + ".1")
        self.access_log.write(ENTRY)
        self.access_log.reopen()
        self.access_log.write(ENTRY)
        self.assertEqual(self.lines(self.path + ".1"), [LINE, LINE])
        self.assertEqual(self.lines(), [LINE])

    def test_append(self) -> None:
        """
        A file that is there is appended to.
        """
        Path(self.path).write_text("before\n")
        self.access_log.open()
        self.access_log.write(ENTRY)
        self.assertEqual(self.lines(), ["before", LINE])

    def test_unwritable_at_start(self) -> None:
        """
        A file that cannot be opened is an error at the start.
        """
        self.assertRaises(OSError, AccessLog(self.path + "/none/log").open)

    def test_full_disk(self) -> None:
        """
        A disk that is full stops no answer, and is complained of once.
        """
        access_log = AccessLog("/dev/full", lambda: NOW)
        self.addCleanup(access_log.close)
        with capturedLogs() as events:
            access_log.write(ENTRY)
            access_log.write(ENTRY)
        [event] = events
        self.assertEqual(event["path"], "/dev/full")

    def test_without_file(self) -> None:
        """
        Without a file the entry is an event.
        """
        with capturedLogs() as events:
            AccessLog(None).write(ENTRY)
        [event] = events
        self.assertEqual((event["code"], event["outcome"]), (206, "complete"))
        self.assertEqual(event["path"], "/images/a")
