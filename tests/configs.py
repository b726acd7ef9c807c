# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of the configuration share.
"""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from glancetx.config import Config, OriginConfig, ServerConfig, load
from glancetx.errors import ConfigError

__all__ = ["KEYSTONE", "ORIGIN", "STORE", "LoadCase"]

STORE = '[stores.main]\nbackend = "filesystem"\n'
ORIGIN = '[[origins]]\nname = "global"\nurl = "http://g.example.com"\n'
KEYSTONE = """
[identity]
kind = "keystone"
auth_url = "http://keystone.example.com/identity"
application_credential_id = "an id"
application_credential_secret = "a secret"
"""


class LoadCase(SynchronousTestCase):
    """Loads configurations from texts."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "glancetx.toml")

    def load(self, text: str, store: str = STORE) -> Config:
        Path(self.path).write_text(f"{dedent(text)}\n{store}", encoding="utf-8")
        return load(self.path)

    def server(self, text: str) -> ServerConfig:
        return self.load(f"[server]\n{dedent(text)}").server

    def origin(self, text: str) -> OriginConfig:
        return self.load(ORIGIN + dedent(text)).origins[0]

    def assert_wrong(self, text: str, problem: str, store: str = STORE) -> None:
        """The text is refused with exactly this message behind the file's name."""
        with self.assertRaises(ConfigError) as caught:
            self.load(text, store)
        self.assertEqual(str(caught.exception), f"{self.path}: {problem}")
