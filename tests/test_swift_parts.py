# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the small rooms of ``glancetx.backends.swift``: readers, reports.
"""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.backends.swift import readers as readers_module
from glancetx.backends.swift.exchange import Response
from glancetx.backends.swift.readers import SEEN_SECONDS, Readers, Seen
from glancetx.backends.swift.reports import read_report
from glancetx.errors import StoreUnavailable

from .responses import FakeResponse

NAME = "piece"


class ReadersTests(SynchronousTestCase):
    """``Readers``"""

    def test_count(self) -> None:
        """
        A piece is busy until its last reader is done; others do not matter.
        """
        readers = Readers(Clock())
        self.assertFalse(readers.busy(NAME))
        for _ in range(2):
            readers.begin(NAME)
        readers.begin("other")
        gone = Deferred.fromCoroutine(readers.gone(NAME))
        readers.end(NAME)
        self.assertTrue(readers.busy(NAME))
        self.assertNoResult(gone)
        readers.end(NAME)
        self.assertFalse(readers.busy(NAME))
        self.successResultOf(gone)

    def test_nobody(self) -> None:
        """
        Nobody waits for readers that are not there.
        """
        self.successResultOf(Deferred.fromCoroutine(Readers(Clock()).gone(NAME)))


class SeenTests(SynchronousTestCase):
    """``Seen``"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.seen = Seen(self.clock)

    def test_for_a_while(self) -> None:
        """
        What was there is taken to be there for a while.
        """
        self.assertFalse(self.seen.lately(NAME))
        self.seen.note(NAME)
        self.clock.advance(SEEN_SECONDS - 1)
        self.assertTrue(self.seen.lately(NAME))
        self.clock.advance(1)
        self.assertFalse(self.seen.lately(NAME))

    def test_removed(self) -> None:
        """
        What is removed here is not taken to be there.
        """
        self.seen.note(NAME)
        self.seen.forget(NAME)
        self.seen.forget(NAME)
        self.assertFalse(self.seen.lately(NAME))

    def test_bounded(self) -> None:
        """
        Only so many are remembered, those that were noted last.
        """
        self.patch(readers_module, "MOST_SEEN", 2)
        for name in ("a", "b", "a", "c"):
            self.seen.note(name)
        found = [name for name in "abc" if self.seen.lately(name)]
        self.assertEqual(found, ["a", "c"])


class ReportTests(SynchronousTestCase):
    """``read_report``"""

    def answer(self, body: bytes, code: int = 202) -> Response:
        return Response(code, Headers(), len(body), "proxy", body, FakeResponse())

    def test_status_in_the_body(self) -> None:
        """
        The body has the last word, behind however many blanks.
        """
        said = {"Response Status": "400 Bad Request", "Errors": [["/a/b", "404"]]}
        body = b" \r\n\r\n" + json.dumps(said).encode("ascii")
        report = read_report(self.answer(body), "swift")
        self.assertEqual(report.code, 400)
        self.assertEqual(report.errors, [["/a/b", "404"]])

    def test_no_body(self) -> None:
        """
        Without a body the status is what it is.
        """
        self.assertEqual(read_report(self.answer(b"", 201), "swift").code, 201)

    def test_no_report(self) -> None:
        """
        A body that is no report says nothing: neither success nor failure.
        """
        for body in (b" \r\n", b"<html>", b"[]", b"{}", b'{"Errors": []}', b"3"):
            with self.assertRaises(StoreUnavailable):
                read_report(self.answer(body), "swift")
