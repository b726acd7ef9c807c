# Copyright glancetx contributors. See LICENSE for details.

"""
That ``docs/keystone.md`` says what is so.
"""

from __future__ import annotations

import re
from pathlib import Path

from glancetx import keystone_login
from glancetx.identity import accessrules, keystone, keystone_calls
from glancetx.identity import own_token as own
from glancetx.limits import Limits

from .configs import LoadCase
from .pages import names_in, read_blocks, read_table

PAGE = Path(__file__).parent.parent / "docs" / "keystone.md"


class PageTests(LoadCase):
    """The page, against the code."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def test_configurations(self) -> None:
        """
        Both ways to be somebody are configurations that can be used.
        """
        secret = Path(self.folder) / "keystone-secret"
        secret.write_text("a-secret\n", encoding="ascii")
        secret.chmod(0o600)
        application, user = read_blocks(PAGE, "toml")
        found = self.load(application).identity
        self.assertEqual(found.application_credential_secret, "a-secret")
        self.assertEqual(self.load(user).identity.password, "a-secret")

    def test_numbers(self) -> None:
        """
        Every number is the code's.
        """
        text = " ".join(PAGE.read_text(encoding="utf-8").split())
        limits = Limits()
        for sentence in (
            f"longer than {keystone_login.LONGEST_TOKEN} characters",
            f"Beyond {accessrules.MOST_RULES} rules for images, "
            f"{accessrules.MOST_WILDCARDS} wildcards in one, or a path of "
            f"{accessrules.LONGEST_PATH} bytes",
            f"{limits.identity_cache_seconds} seconds from when Keystone was asked",
            f"that a token is not good | {keystone.BAD_SECONDS} seconds",
            f"server's own credential | {own.RETRY_SECONDS} seconds",
            f"of {limits.identity_cache_entries:,} tokens",
            f"At most {keystone_calls.AT_ONCE} questions",
            f"`limits.identity_seconds` ({limits.identity_seconds})",
        ):
            self.assertIn(sentence, text)
        self.assertEqual(own.RENEWED_AT, 4 / 5)

    def test_troubles(self) -> None:
        """
        What callers read is what they are told.
        """
        source = "".join(
            Path(str(module.__file__)).read_text(encoding="utf-8")
            for module in (keystone, keystone_calls, own)
        )
        source = re.sub(r'"\n\s+f?"', "", source).replace("{self._seconds}", "5")
        rows = read_table(PAGE, "| what is wrong | callers read | the log says, once |")
        for _, callers, _ in rows:
            for text in names_in(callers):
                self.assertIn(f'"{text}', source)
