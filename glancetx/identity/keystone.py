# Copyright glancetx contributors. See LICENSE for details.

"""
Callers as OpenStack's Keystone knows them: ``[identity] kind = "keystone"``.

When Keystone cannot be asked, nobody is let in but those of whom it spoke within the
last minute; and nobody is told that his token is bad.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent
from zope.interface import implementer

from glancetx.caller import NOBODY, Caller
from glancetx.credentials import IdentityConfig
from glancetx.errors import Forbidden, NotAuthenticated
from glancetx.flights import Flights
from glancetx.interfaces import Credentials, IIdentity
from glancetx.keystone_login import is_token
from glancetx.limits import Limits

from .accessrules import allow
from .documents import Described
from .keystone_calls import Calls, OwnRefused
from .own_token import OwnToken
from .recent import Recent

__all__ = ["Keystone"]

#: Seconds that a token is known to be bad without asking again.
BAD_SECONDS = 10

#: The role of those who may send other people's tokens with their own beside them.
SERVICE_ROLE = "service"

T = TypeVar("T")


@implementer(IIdentity)
class Keystone:
    """
    Asks Keystone whose a token is, and remembers that for a while.

    Neither tokens nor their plain digests are kept: answers are found by an HMAC,
    the key of which nobody knows but this process.
    """

    def __init__(
        self,
        config: IdentityConfig,
        agent: IAgent,
        clock: IReactorTime,
        now: Callable[[], datetime],
        limits: Limits,
    ) -> None:
        """
        :param config: its ``auth_url``, and one way to be somebody there.
        :param agent: by which it is asked.
        :param now: the time of day, aware.
        """
        assert config.auth_url is not None
        self.challenge = f'Keystone uri="{config.auth_url}"'.encode("ascii")
        self._clock = clock
        self._now = now
        self._seconds = limits.identity_seconds
        self._cache_seconds = limits.identity_cache_seconds
        self._calls = Calls(config.auth_url, agent)
        self._own = OwnToken(config, self._calls, clock, now, self._seconds)
        self._secret = secrets.token_bytes(32)
        self._flights: Flights[Described | None] = Flights()
        self._good: Recent[Described] = Recent(limits.identity_cache_entries, clock)
        # Apart, so that rubbish does not push out what is good.
        self._bad: Recent[bool] = Recent(limits.identity_cache_entries, clock)

    async def identify(self, credentials: Credentials) -> Caller:
        """
        :raises Forbidden: also, if the token is for no project.
        """
        token = credentials.token
        if token is None:
            return NOBODY
        if credentials.service_token is None:
            found = await self._find(token)
            _check_rules(found, credentials)
        else:
            found = await self._within(self._find_for_service(token, credentials))
        if found.project is None:
            raise Forbidden(
                "images belong to projects, and this token is for none; "
                "get one that is scoped to a project"
            )
        return Caller(found.user, found.project, found.roles, token)

    async def own_token(self) -> str | None:
        return await self._own.get()

    def reload(self) -> None:
        self._own.reload()

    async def _find_for_service(
        self, token: str, credentials: Credentials
    ) -> Described:
        """
        Whose token a service has passed on.

        It may have expired since, and its rules were for the request to that service.
        """
        assert credentials.service_token is not None
        service = await self._find(credentials.service_token)
        if SERVICE_ROLE not in service.roles:
            raise NotAuthenticated(
                f"the token in X-Service-Token must have the role {SERVICE_ROLE}"
            )
        _check_rules(service, credentials)
        return await self._find(token, late=True)

    async def _find(self, token: str, late: bool = False) -> Described:
        """
        Whose a token is.

        :param late: it may have expired a while ago.
        """
        if not is_token(token):
            raise NotAuthenticated("this is no token: it is too long, or not ASCII")
        key = hmac.digest(self._secret, f"{late:d}{token}".encode("ascii"), "sha256")
        found = self._good.get(key)
        if found is None and not self._bad.get(key):
            found = await self._flights.join(key, partial(self._ask, key, token, late))
        if found is None or not (late or self._now() < found.expires):
            raise NotAuthenticated("the token is not good, or has expired")
        return found

    async def _ask(self, key: bytes, token: str, late: bool) -> Described | None:
        """Ask Keystone, and remember what it said from when it was asked."""
        asked = self._clock.seconds()
        found = await self._within(self._describe(token, late))
        if found is None:
            self._bad.put(key, True, asked + BAD_SECONDS)
        else:
            left = (found.expires - self._now()).total_seconds()
            self._good.put(key, found, asked + min(self._cache_seconds, left))
        return found

    async def _describe(self, token: str, late: bool) -> Described | None:
        own = await self._own.get()
        try:
            return await self._calls.describe(own, token, late, self._own.ids)
        except OwnRefused:
            again = self._own.doubt(own)
        if again:
            own = await self._own.get()
            try:
                return await self._calls.describe(own, token, late, self._own.ids)
            except OwnRefused:
                pass
        raise self._calls.trouble("Keystone does not accept this server's own token")

    async def _within(self, call: Coroutine[Deferred[Any], Any, T]) -> T:
        """Give a call up when it takes too long."""
        try:
            return await Deferred.fromCoroutine(call).addTimeout(
                self._seconds, self._clock
            )
        except TimeoutError:
            reason = f"Keystone did not answer within {self._seconds} seconds"
            raise self._calls.trouble(reason) from None


def _check_rules(found: Described, credentials: Credentials) -> None:
    """:raises NotAuthenticated: if the token is good, but not for this request."""
    method, path = credentials.method, credentials.path
    if found.rules is not None and not allow(found.rules, method, path):
        raise NotAuthenticated(
            f"the access rules of this application credential do not allow {method} "
            f"{path} of the service image"
        )
