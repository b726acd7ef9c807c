# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the small rooms of ``glancetx.backends.swift``: readers, reports.
"""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.backends.swift.exchange import Response
from glancetx.backends.swift.readers import Readers
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
        readers = Readers()
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
        self.successResultOf(Deferred.fromCoroutine(Readers().gone(NAME)))


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
