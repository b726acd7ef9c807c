# Copyright glancetx contributors. See LICENSE for details.

"""
That ``docs/swift.md`` says what the code does.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.swift import account, calls, circuits, tempurl
from glancetx.backends.swift.options import OPTIONS, TEMPURL_SECONDS, read_options

from .pages import names_in, read_blocks, read_table

PAGE = Path(__file__).parent.parent / "docs" / "swift.md"


class PageTests(SynchronousTestCase):
    """The page about stores in Swift."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def test_keys(self) -> None:
        """
        The table has all keys in their order, with their defaults.
        """
        rows = read_table(PAGE, "| key | default | |")
        self.assertEqual(
            [names_in(row[0]) for row in rows], [[option.name] for option in OPTIONS]
        )
        for row, option in zip(rows, OPTIONS, strict=True):
            expected = "none" if option.default is None else json.dumps(option.default)
            if option.required:
                expected = "required"
            self.assertEqual(row[1].strip("`"), expected, option.name)

    def test_secrets(self) -> None:
        """
        All keys that may be in a file are named as such.
        """
        text = PAGE.read_text(encoding="utf-8").partition("\nInstead of ")[2]
        named = names_in(text.partition(" a file may")[0])
        self.assertEqual(named, [option.name for option in OPTIONS if option.secret])

    def test_example(self) -> None:
        """
        The example can be used.
        """
        (block,) = read_blocks(PAGE, "toml")
        table = tomllib.loads(block)["stores"]["golden"]
        del table["backend"]
        table["application_credential_secret"] = table.pop(
            "application_credential_secret_file"
        )
        defaults = {option.name: option.default for option in OPTIONS}
        settings = read_options({**defaults, **table}, "golden")
        self.assertEqual(len(settings.proxies), 2)

    def test_numbers(self) -> None:
        """
        Every number is the code's.
        """
        text = " ".join(PAGE.read_text(encoding="utf-8").split())
        least = calls.BACKOFF * 0.5
        most = calls.BACKOFF * 2 ** (calls.TRIES - 2) * 1.5
        self.assertEqual(
            (account.RENEWED_AT, calls.TRIES, circuits.FAILURES), (0.8, 5, 3)
        )
        self.assertEqual(tempurl.BUCKET, 300)
        for sentence in (
            f"tried again after {account.REFUSED_SECONDS:g} seconds",
            f"growing pauses of {least + 0.001:.2f} to {most:g} seconds",
            f"says nothing for {calls.IDLE_SECONDS:g} seconds",
            f"not asked for {circuits.OPEN_SECONDS:g} seconds",
            f"at least, {TEMPURL_SECONDS[0]} to {TEMPURL_SECONDS[1]};",
            ", ".join(str(code) for code in sorted(calls.BUSY)) + ", 5xx",
        ):
            self.assertIn(sentence, text)
