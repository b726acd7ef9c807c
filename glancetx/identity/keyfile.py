# Copyright glancetx contributors. See LICENSE for details.

"""
The file of keys that signed URLs are signed with.
"""

from __future__ import annotations

import os
import re
import secrets

from attrs import field, frozen

from glancetx.errors import ConfigError
from glancetx.private import locked, read_private_toml, write_private

__all__ = ["SigningKey", "add_key", "read_keys"]

KEPT = 2
"""The new key and the one before it, which signed what is still good."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SECRET = re.compile(r"[0-9a-f]{64}")

_HEAD = """\
# Keys of glancetx for signed URLs: the first signs, each may have signed.
# "glancetx sign --new-key" puts a new one first. A server reads them when it starts
# and on SIGHUP.
"""


@frozen
class SigningKey:
    """
    A key, by a name that signed URLs show.

    :ivar secret: 256 bits.
    """

    id: str
    secret: bytes = field(repr=False)


def read_keys(path: str) -> list[SigningKey]:
    """
    The keys of a file, in its order.

    :raises ConfigError: if it cannot be read, others can read it, or there is no key.
    """
    try:
        values = read_private_toml(path)
    except ValueError as error:
        raise ConfigError(path, "keys", str(error)) from error
    if not values:
        raise ConfigError(
            path, "keys", 'there are none; make one with "glancetx sign --new-key"'
        )
    return [_key(path, name, value) for name, value in values.items()]


def add_key(path: str) -> list[SigningKey]:
    """
    Put a new key first, and keep but the one before; make the file if there is none.

    :returns: the keys that are in the file now.
    :raises ConfigError: if the file cannot be used.
    :raises OSError: if it cannot be written.
    """
    with locked(path):
        old = read_keys(path) if os.path.exists(path) else []
        new = SigningKey(secrets.token_hex(4), secrets.token_bytes(32))
        keys = [new, *old][:KEPT]
        lines = [f'{key.id} = "{key.secret.hex()}"\n' for key in keys]
        write_private(path, "".join([_HEAD, *lines]).encode("ascii"))
    return keys


def _key(path: str, name: str, value: object) -> SigningKey:
    if _ID.fullmatch(name) is None:
        raise ConfigError(
            path, name, "a key's name has letters, digits, - and _, at most 32"
        )
    if not isinstance(value, str) or _SECRET.fullmatch(value) is None:
        raise ConfigError(
            path, name, "must be 64 hexadecimal digits in quotes, in lower case"
        )
    return SigningKey(name, bytes.fromhex(value))
