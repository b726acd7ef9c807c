# Copyright glancetx contributors. See LICENSE for details.

"""
A server that knows callers by a file of tokens: ``[identity] kind = "tokens"``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from datetime import datetime

from twisted.logger import Logger
from zope.interface import implementer

from glancetx.caller import NOBODY, Caller
from glancetx.errors import ConfigError, NotAuthenticated
from glancetx.interfaces import Credentials, IIdentity
from glancetx.times import utcnow

from .tokenfile import parse_token, read_tokens, secret_digest

__all__ = ["Tokens", "with_implied"]

_IMPLIED = {"admin": "member", "member": "reader"}

_NO_DIGEST = "0" * 64
"""Compared with where an id is unknown, so that this takes no less time."""


def with_implied(roles: Iterable[str]) -> frozenset[str]:
    """Roles and those that they imply: an admin is a member, a member a reader."""
    found = set(roles)
    for role, implied in _IMPLIED.items():
        if role in found:
            found.add(implied)
    return frozenset(found)


@implementer(IIdentity)
class Tokens:
    """
    Knows whoever shows a token of the file.

    A token may be revoked or run out at any time, so nothing is remembered of one
    that was good before.
    """

    log = Logger()
    challenge = b'Bearer realm="glancetx"'

    def __init__(self, path: str, now: Callable[[], datetime] = utcnow) -> None:
        """
        :raises ConfigError: if the file cannot be used, or has no token.
        """
        self._path = path
        self._now = now
        self._tokens = read_tokens(path)
        if not self._tokens:
            raise ConfigError(
                path, "tokens", 'there are none; make one with "glancetx token new"'
            )

    async def identify(self, credentials: Credentials) -> Caller:
        if credentials.token is None:
            return NOBODY
        token_id, secret = parse_token(credentials.token) or ("", "")
        token = self._tokens.get(token_id)
        expected = _NO_DIGEST if token is None else token.sha256
        same = hmac.compare_digest(secret_digest(secret), expected)
        if token is None or not same:
            raise NotAuthenticated("the token is not known to this server")
        if token.is_expired(self._now()):
            raise NotAuthenticated(f"token {token.id} expired at {token.expires}")
        return Caller(
            user=token.user, project=token.project, roles=with_implied(token.roles)
        )

    async def own_token(self) -> str | None:
        return None

    def reload(self) -> None:
        """Read the file again; now it may be without tokens: all may be revoked."""
        self._tokens = read_tokens(self._path)
        self.log.info(
            "{count} tokens read from {path}", count=len(self._tokens), path=self._path
        )
