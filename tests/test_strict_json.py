# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.strict_json`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.strict_json import MOST_DIGITS, loads


class LoadsTests(SynchronousTestCase):
    """``loads``"""

    def test_read(self) -> None:
        """
        A document is read out of a text and out of bytes.
        """
        text = '{"ö": [1, -1.5, null, true, {"ö": "1e3"}]}'
        expected = {"ö": [1, -1.5, None, True, {"ö": "1e3"}]}
        self.assertEqual(loads(text), expected)
        self.assertEqual(loads(text.encode("utf-8")), expected)

    def test_longest_number(self) -> None:
        """
        A number may have so many digits, and not one more.
        """
        digits = "1" * MOST_DIGITS
        self.assertEqual(loads(digits), int(digits))
        self.assertRaises(ValueError, loads, digits + "1")

    def test_refused(self) -> None:
        """
        What Python would read and others would not, or in another way, is refused.
        """
        for text in (
            '{"a": 1, "a": 1}',
            '[{"b": {"a": 1, "\\u0061": 2}}]',
            "NaN",
            "[Infinity]",
            '{"a": -Infinity}',
            "{} {}",
            "",
        ):
            self.assertRaises(ValueError, loads, text)
