# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.keyfile}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import ConfigError
from glancetx.identity.keyfile import SigningKey, add_key, read_keys


class KeyFileTests(SynchronousTestCase):
    """``read_keys`` and ``add_key``"""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def write(self, text: str, mode: int = 0o600) -> None:
        Path(self.path).write_text(text, encoding="utf-8")
        os.chmod(self.path, mode)

    def assert_refused(self, key: str, problem: str) -> None:
        with self.assertRaises(ConfigError) as caught:
            read_keys(self.path)
        self.assertEqual(caught.exception.source, self.path)
        self.assertEqual(caught.exception.key, key)
        self.assertIn(problem, caught.exception.problem)

    def test_first(self) -> None:
        """
        The first key makes the file, which nobody else can read.
        """
        keys = add_key(self.path)
        self.assertEqual(read_keys(self.path), keys)
        self.assertEqual([len(key.secret) for key in keys], [32])
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_kept(self) -> None:
        """
        A new key goes first, and the one before it is kept; those before are not.
        """
        (first,) = add_key(self.path)
        second = add_key(self.path)
        self.assertEqual(second[1:], [first])
        third = add_key(self.path)
        self.assertEqual(third[1:], second[:1])
        self.assertEqual(read_keys(self.path), third)

    def test_by_hand(self) -> None:
        """
        A person may write the file, with as many keys as he likes, in his order.
        """
        self.write(f'# keys\nb = "{"00" * 32}"\na-1_X = "{"ff" * 32}"\n')
        found = [SigningKey("b", bytes(32)), SigningKey("a-1_X", b"\xff" * 32)]
        self.assertEqual(read_keys(self.path), found)

    def test_refused(self) -> None:
        """
        What is no file of keys is refused, and it is said why; no key is repeated.
        """
        secret = "0" * 64
        for text, key, problem in (
            ("", "keys", "there are none; make one"),
            ("# nothing", "keys", "there are none; make one"),
            ("a = ", "keys", "is not TOML"),
            ("a = \xff", "keys", "is not TOML"),
            ("[a]\nb = 1", "a", "must be 64 hexadecimal digits"),
            ("a = 1", "a", "must be 64 hexadecimal digits"),
            (f'a = "{secret}0"', "a", "must be 64 hexadecimal digits"),
            (f'a = "{"A" * 64}"', "a", "must be 64 hexadecimal digits"),
            (f'"" = "{secret}"', "", "a key's name has letters"),
            (f'"a b" = "{secret}"', "a b", "a key's name has letters"),
        ):
            self.write(text)
            self.assert_refused(key, problem)

    def test_not_utf8(self) -> None:
        """
        Bytes that are not UTF-8 are no keys.
        """
        Path(self.path).write_bytes(b"\xff")
        os.chmod(self.path, 0o600)
        self.assert_refused("keys", "is not UTF-8")

    def test_open(self) -> None:
        """
        Keys that others can read sign nothing, and are not replaced silently.
        """
        add_key(self.path)
        os.chmod(self.path, 0o640)
        self.assert_refused("keys", "has mode 0640")
        self.assertRaises(ConfigError, add_key, self.path)

    def test_missing(self) -> None:
        """
        A file that is not there is said to be not there.
        """
        self.assert_refused("keys", "No such file")

    def test_not_shown(self) -> None:
        """
        No key is in what a log or a traceback might show.
        """
        (key,) = add_key(self.path)
        self.assertNotIn(key.secret.hex(), repr(key))
        self.assertNotIn(repr(key.secret), repr(key))
