# Copyright glancetx contributors. See LICENSE for details.

"""
The token by which this server asks Keystone: it has one before it needs the next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from glancetx.credentials import IdentityConfig
from glancetx.errors import ConfigError, IdentityUnavailable
from glancetx.flights import Flights
from glancetx.keystone_login import by_application, by_password
from glancetx.private import read_secret

from .keystone_calls import Calls, OwnRefused

__all__ = ["OwnToken"]

#: How much of a token's life is over when another is asked for.
RENEWED_AT = 0.8
#: Seconds until Keystone is asked again for what it refused.
RETRY_SECONDS = 10


@frozen
class _Own:
    """
    :ivar renewed_at: the time of the clock at which another is asked for.
    """

    text: str
    expires: datetime
    renewed_at: float


class OwnToken:
    """
    Gets a token by an application credential or by a user's password.

    :ivar ids: of what the last one stands on: its user, project and credential.
    """

    def __init__(
        self,
        config: IdentityConfig,
        calls: Calls,
        clock: IReactorTime,
        now: Callable[[], datetime],
        seconds: float,
    ) -> None:
        """:param seconds: until Keystone must have given one."""
        self._config = config
        self._secret = config.application_credential_secret or config.password
        self._calls = calls
        self._clock = clock
        self._now = now
        self._seconds = seconds
        self._own: _Own | None = None
        self._flights: Flights[str] = Flights()
        self._refused_until = 0.0
        self._doubted_until = 0.0
        self.ids: frozenset[str] = frozenset()

    async def get(self) -> str:
        """
        A token that is good now, as far as one can tell.

        :raises IdentityUnavailable: if there is none.
        """
        own = self._own
        if own is None or own.expires <= self._now():
            return await self._renew()
        if own.renewed_at <= self._clock.seconds():
            self._renew().addErrback(_leave)  # the present one is good for a while
        return own.text

    def doubt(self, text: str) -> bool:
        """
        Keystone does not accept a token that it gave, which may have been revoked.

        :returns: whether there is, or may be, another.
        """
        if self._own is None or self._own.text != text:
            return True
        now = self._clock.seconds()
        if now < self._doubted_until:
            return False  # it gives tokens and does not accept them
        self._doubted_until = now + RETRY_SECONDS
        self._own = None
        return True

    def reload(self) -> None:
        """
        Read the secret again, if it is in a file.

        :raises ConfigError: if it cannot be; what was read before stays.
        """
        path = self._config.secret_file
        if path is not None:
            try:
                self._secret = read_secret(path)
            except ValueError as error:
                raise ConfigError(path, "identity", str(error)) from error
        self._refused_until = self._doubted_until = 0.0

    def _renew(self) -> Deferred[str]:
        return self._flights.join("own", self._ask)

    async def _ask(self) -> str:
        if self._clock.seconds() < self._refused_until:
            raise IdentityUnavailable(_REFUSED)
        issuing = Deferred.fromCoroutine(self._calls.issue(self._auth()))
        try:
            text, found = await issuing.addTimeout(self._seconds, self._clock)
        except TimeoutError:
            reason = f"Keystone did not answer within {self._seconds} seconds"
            raise self._calls.trouble(reason) from None
        except OwnRefused:
            self._refused_until = self._clock.seconds() + RETRY_SECONDS
            raise self._calls.trouble(_REFUSED) from None
        life = (found.expires - self._now()).total_seconds()
        if life <= 0:
            raise self._calls.trouble(
                "Keystone gives tokens that have expired; its clock or this server's "
                "is wrong"
            )
        renewed_at = self._clock.seconds() + life * RENEWED_AT
        self._own = _Own(text, found.expires, renewed_at)
        ids = (found.user, found.project, self._config.application_credential_id)
        self.ids = frozenset(one for one in ids if one)
        return text

    def _auth(self) -> dict[str, Any]:
        config = self._config
        if config.application_credential_id is not None:
            return by_application(config.application_credential_id, self._secret)
        return by_password(
            config.username,
            config.user_domain_name,
            self._secret,
            config.project_name,
            config.project_domain_name,
        )


_REFUSED = "Keystone does not accept this server's own credential"


def _leave(failure: Failure) -> None:
    """It was logged, and is tried again when the token is wanted again."""
    failure.trap(IdentityUnavailable)
