# Copyright glancetx contributors. See LICENSE for details.

"""
The file of tokens: what is known of each, but not the secret itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from glancetx.errors import ConfigError
from glancetx.keys import Checker, Key
from glancetx.private import locked, read_private_toml, write_private
from glancetx.times import format_time

__all__ = [
    "NewToken",
    "Token",
    "add_token",
    "parse_token",
    "read_tokens",
    "revoke_token",
    "secret_digest",
]

VERSION = 1

_TOKEN = re.compile(r"gtx_([0-9a-f]{16})_([0-9a-f]{64})")
_ID = re.compile(r"[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_KEYS = (
    Key("sha256", str, required=True),
    Key("user", str, required=True),
    Key("project", str, required=True),
    Key("roles", list, required=True),
    Key("created", datetime, required=True),
    Key("expires", datetime),
)

_HEAD = """\
# Tokens of glancetx. "glancetx token" changes this file; the server reads it when it
# starts and on SIGHUP. The tokens themselves are not in it.
"""


@frozen
class Token:
    """
    What is known of one token.

    :ivar sha256: of its secret, in hexadecimal digits.
    :ivar expires: when it is no longer good; ``None`` for never.
    """

    id: str
    sha256: str = field(repr=False)
    user: str
    project: str
    roles: tuple[str, ...]
    created: datetime
    expires: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


@frozen
class NewToken:
    """
    A token that was just made.

    :ivar text: what its bearer shows; it is told once, and kept nowhere.
    """

    token: Token
    text: str = field(repr=False)


def parse_token(text: str) -> tuple[str, str] | None:
    """The id and the secret of ``gtx_ID_SECRET``; ``None`` for every other text."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else (match[1], match[2])


def secret_digest(secret: str) -> str:
    """What the file has in place of a secret."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def read_tokens(path: str) -> dict[str, Token]:
    """
    All tokens of a file, by their ids.

    :raises ConfigError: if it cannot be read, others can read it, or it makes no sense.
    """
    try:
        values = read_private_toml(path)
    except ValueError as error:
        raise ConfigError(path, "tokens", str(error)) from error
    return _Reader(path).tokens(values)


def add_token(
    path: str,
    user: str,
    project: str,
    roles: tuple[str, ...],
    expires: datetime | None,
    now: datetime,
) -> NewToken:
    """
    Make a token, and put it into a file, which is made if it is not there.

    :raises ConfigError: if the file cannot be used, or a value not be put there.
    :raises OSError: if the file cannot be written; nothing was changed then.
    """
    secret = secrets.token_hex(32)
    with locked(path):
        tokens = read_tokens(path) if os.path.exists(path) else {}
        token = Token(
            id=secrets.token_hex(8),
            sha256=secret_digest(secret),
            user=user,
            project=project,
            roles=roles,
            created=now.replace(microsecond=0),
            expires=expires and expires.replace(microsecond=0),
        )
        _Reader(path).check(token)
        write_private(path, _text({**tokens, token.id: token}))
    return NewToken(token, f"gtx_{token.id}_{secret}")


def revoke_token(path: str, token_id: str) -> Token:
    """
    Take a token out of a file.

    :raises KeyError: if it is not there.
    :raises ConfigError: if the file cannot be used.
    :raises OSError: if the file cannot be written; nothing was changed then.
    """
    with locked(path):
        tokens = read_tokens(path)
        token = tokens.pop(token_id)
        write_private(path, _text(tokens))
    return token


class _Reader(Checker):
    """Turns the tables of the file into tokens."""

    def tokens(self, values: Mapping[str, Any]) -> dict[str, Token]:
        if values.get("version") != VERSION:
            self.fail("version", f"must be {VERSION}; is this a file of tokens at all?")
        for name in values:
            if name not in ("version", "tokens"):
                self.fail(name, "unknown key; there are version and tokens")
        tables = values.get("tokens", {})
        if not isinstance(tables, dict):
            self.fail("tokens", "must be tables, each under [tokens.ID]")
        return {name: self.token(name, table) for name, table in tables.items()}

    def token(self, name: str, table: Any) -> Token:
        values = self.table(f"tokens.{name}", table, _KEYS)
        token = Token(id=name, **{**values, "roles": tuple(values["roles"])})
        self.check(token)
        return token

    def check(self, token: Token) -> None:
        key = f"tokens.{token.id}"
        if _ID.fullmatch(token.id) is None:
            self.fail(key, "an id has 16 hexadecimal digits, in lower case")
        if _DIGEST.fullmatch(token.sha256) is None:
            self.fail(f"{key}.sha256", "must be 64 hexadecimal digits, in lower case")
        for name in ("user", "project"):
            if _NAME.fullmatch(getattr(token, name)) is None:
                self.fail(
                    f"{key}.{name}", "must have letters, digits and . _ @ -, at most 64"
                )
        if not token.roles or not all(map(_ROLE.fullmatch, token.roles)):
            self.fail(f"{key}.roles", "must be words in lower case, one at least")
        for name in ("created", "expires"):
            time = getattr(token, name)
            if time is not None and time.tzinfo is None:
                self.fail(f"{key}.{name}", "must say its time zone, for example with Z")


def _text(tokens: Mapping[str, Token]) -> bytes:
    """The file that has these tokens."""
    lines = [_HEAD, f"version = {VERSION}\n"]
    for token in tokens.values():
        lines.append(f"\n[tokens.{token.id}]\n")
        lines.append(f'sha256 = "{token.sha256}"\n')
        lines.append(f'user = "{token.user}"\nproject = "{token.project}"\n')
        lines.append(f"roles = {json.dumps(token.roles)}\n")
        lines.append(f"created = {format_time(token.created)}\n")
        if token.expires is not None:
            lines.append(f"expires = {format_time(token.expires)}\n")
    return "".join(lines).encode("ascii")
