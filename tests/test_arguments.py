# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.arguments`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue
from glancetx.web.arguments import Arguments, read_force, read_texts


class TextsTests(SynchronousTestCase):
    """``read_texts``"""

    def test_read(self) -> None:
        """
        Names and values are texts; some names may be repeated.
        """
        arguments = {"ö".encode(): ["ü".encode()], b"tag": [b"a", b"b"]}
        found = read_texts(arguments, {"tag"})
        self.assertEqual(found, {"ö": ["ü"], "tag": ["a", "b"]})

    def test_refused(self) -> None:
        """
        What is repeated, no UTF-8 or has a NUL is refused by its name.
        """
        for name, values, field in [
            (b"name", [b"a", b"a"], "name"),
            (b"name", [b"\xff"], "name"),
            (b"\xff", [b"a"], "\\xff"),
            (b"name", [b"a\0"], "name"),
            (b"na\0me", [b"a"], "na\0me"),
            (b"tag", [b"a", b"\0"], "tag"),
        ]:
            arguments: Arguments = {name: values}
            with self.assertRaises(BadValue) as caught:
                read_texts(arguments, {"tag"})
            self.assertEqual(caught.exception.field, field)


class ForceTests(SynchronousTestCase):
    """``read_force``"""

    def test_read(self) -> None:
        """
        Only what is said in so many words is forced.
        """
        self.assertIs(read_force({}), False)
        self.assertIs(read_force({b"force": [b"false"]}), False)
        self.assertIs(read_force({b"force": [b"true"]}), True)

    def test_refused(self) -> None:
        """
        Any other word, and two of them, are refused.
        """
        for values in ([b"True"], [b"1"], [b""], [b"true", b"true"]):
            with self.assertRaises(BadValue) as caught:
                read_force({b"force": values})
            self.assertEqual(caught.exception.field, "force")
