# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.bodies}.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue, BodyLost, TooMany
from glancetx.strict_json import MOST_DIGITS
from glancetx.web.bodies import read_json
from glancetx.web.body import Body

MOST = 10_000


class ReadTests(SynchronousTestCase):
    """``read_json``"""

    def read(self, data: bytes, length: int | None = None) -> Deferred[Any]:
        body = Body(length, MOST, None)
        request: Any = SimpleNamespace(body=body)
        reading = Deferred.fromCoroutine(read_json(request, MOST))
        body.feed(data)
        body.end()
        return reading

    def test_read(self) -> None:
        """
        A body is the document that it says, whether its length was announced or not.
        """
        data = '{"name": "gölden", "size": 1, "tags": [null, true, 1.5]}'.encode()
        expected = {"name": "gölden", "size": 1, "tags": [None, True, 1.5]}
        for length in (None, len(data)):
            self.assertEqual(self.successResultOf(self.read(data, length)), expected)

    def test_refused(self) -> None:
        """
        What is no JSON is refused in a sentence.
        """
        for data, sentence in [
            (b"", "must be JSON: Expecting value"),
            (b"{", "must be JSON: Expecting property name"),
            (b"{} {}", "must be JSON: Extra data"),
            (b"\xff", "must be UTF-8"),
            (b"NaN", "must be JSON: NaN is no number"),
            (b"[-Infinity]", "must be JSON: -Infinity is no number"),
            (b"1" * (MOST_DIGITS + 1), "must be JSON: a number has too many digits"),
            (b'{"a": 1, "a": 1}', "must be JSON: a key stands twice in an object"),
            (b'"\\ud800"', "has half of a surrogate pair"),
            (b'{"\\udfff": 1}', "has half of a surrogate pair"),
            (b"[" * 5000, "is nested too deeply"),
            (b'{"a":' * 1500 + b"1" + b"}" * 1500, "is nested too deeply"),
        ]:
            problem = self.failureResultOf(self.read(data), BadValue).value
            self.assertEqual(problem.field, "body")
            self.assertTrue(problem.problem.startswith(sentence), problem)

    def test_large(self) -> None:
        """
        What is too large is not read to its end, nor at all if that was announced.
        """
        data = b" " * (MOST + 1)
        self.failureResultOf(self.read(data), TooMany)
        body = Body(len(data), MOST, None)
        request: Any = SimpleNamespace(body=body)
        reading = Deferred.fromCoroutine(read_json(request, MOST))
        self.failureResultOf(reading, TooMany)
        self.assertEqual(body.received, 0)

    def test_lost(self) -> None:
        """
        Of a body that breaks off nothing is taken.
        """
        body = Body(100, MOST, None)
        request: Any = SimpleNamespace(body=body)
        reading = Deferred.fromCoroutine(read_json(request, MOST))
        body.feed(b"{}")
        body.lose(BodyLost())
        self.failureResultOf(reading, BodyLost)
