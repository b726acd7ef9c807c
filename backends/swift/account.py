# Copyright glancetx contributors. See LICENSE for details.

"""
The account that pieces are kept in: a token for it, and the URLs that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from glancetx import __version__
from glancetx.errors import BadValue, StoreUnavailable
from glancetx.flights import Flights
from glancetx.interfaces import Tools
from glancetx.json_body import JsonBody
from glancetx.keystone_login import (
    by_application,
    by_password,
    is_token,
    read_moment,
    tokens_url,
)
from glancetx.uris import parse_base

from .circuits import Circuits
from .exchange import Lost, Response, Source, exchange
from .options import Settings

__all__ = ["Account", "Session"]

#: How much of a token's life is over when another is asked for.
RENEWED_AT = 0.8
#: But not more often than this: tempauth gives the same token until it ends.
LEAST_SECONDS = 60.0
#: So long before its end a token is used no more: a request may take its time.
MARGIN = 5.0
#: The life of a token that does not say it, which is tempauth's default.
LIFE = 86400.0
#: No longer than this is believed.
LONGEST = 10**9
#: Seconds until the cluster is asked again for what it refused.
REFUSED_SECONDS = 10.0
#: How often each URL is asked, and seconds before it is asked again.
ROUNDS = 2
PAUSE = 1.0
#: Seconds that a server of tokens may be silent.
IDLE_SECONDS = 10.0

_REFUSALS = {400, 401, 403, 404}
_ISSUED_V1 = {200, 204}
_ISSUED_V3 = 201
_REFUSED = "Swift's servers of tokens do not accept this server's credential"


@frozen
class Session:
    """
    What requests are sent with.

    :ivar urls: the account's URL, at each proxy.
    :ivar read_urls: where it may be read besides, in another region.
    """

    token: str = field(repr=False)
    urls: tuple[str, ...]
    read_urls: tuple[str, ...] = ()


@frozen
class _Issued:
    """
    A token as it came.

    :ivar url: of the account, as the cluster has it.
    :ivar life: seconds from now.
    """

    token: str = field(repr=False)
    url: str
    life: float
    read_url: str | None = None


@frozen
class _Held:
    session: Session
    renewed_at: float
    ends_at: float


class _Refused(Exception):
    """The credential is not accepted."""


class Account:
    """
    Gets tokens before they are needed, one for all who wait for it.
    """

    def __init__(self, settings: Settings, agent: IAgent, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self._clock = tools.clock
        self._log = tools.log
        self._circuits = Circuits(tools.clock, tools.log)
        issuer = _V1 if settings.auth == "v1" else _V3
        self._issuer = issuer(settings, agent, tools)
        self._flights: Flights[Session] = Flights()
        self._held: _Held | None = None
        self._refused_until = 0.0

    async def session(self) -> Session:
        """
        What to send a request with: good now, as far as one can tell.

        :raises StoreUnavailable: if there is none.
        """
        held, now = self._held, self._clock.seconds()
        if held is None or held.ends_at - MARGIN <= now:
            return await self._renew()
        if held.renewed_at <= now:
            self._renew().addErrback(_leave)  # the present one is good for a while
        return held.session

    def doubt(self, session: Session) -> None:
        """The cluster does not accept a token that it gave: have another."""
        if self._held is not None and self._held.session.token == session.token:
            self._held = None

    def _renew(self) -> Deferred[Session]:
        return self._flights.join("token", self._get)

    async def _get(self) -> Session:
        if self._clock.seconds() < self._refused_until:
            raise self._unavailable(_REFUSED)
        issued = await self._issue()
        if issued.life <= MARGIN:  # and there is no other before it ended
            await deferLater(self._clock, max(issued.life, 0) + 1)
            issued = await self._issue()
        session = self._session(issued)
        now = self._clock.seconds()
        renewed = max(issued.life * RENEWED_AT, LEAST_SECONDS)
        self._held = _Held(session, now + renewed, now + issued.life)
        return session

    def _session(self, issued: _Issued) -> Session:
        settings = self._settings
        further = [] if issued.read_url is None else [issued.read_url]
        return Session(
            issued.token,
            _moved(issued.url, settings.proxies) or (issued.url,),
            _moved(issued.url, settings.read_proxies) or tuple(further),
        )

    async def _issue(self) -> _Issued:
        """
        Ask one server after the other.

        :raises StoreUnavailable: if none gives a token.
        """
        for number in range(ROUNDS * len(self._settings.auth_urls)):
            if number and number % len(self._settings.auth_urls) == 0:
                await deferLater(self._clock, PAUSE)
            url = self._circuits.choose([self._settings.auth_urls])
            if url is None:
                break
            issued = await self._ask(url)
            if issued is not None:
                return issued
        raise self._unavailable("none of its servers of tokens answers")

    async def _ask(self, url: str) -> _Issued | None:
        reason: str | None = None
        try:
            issued = await self._issuer.issue(url)
            self._circuits.worked(url)
            return issued
        except (Lost, ValueError) as problem:
            reason = str(problem)
            self._log.warn("no token from {url}: {reason}", url=url, reason=reason)
            return None
        except _Refused:
            self._circuits.worked(url)
            self._refused_until = self._clock.seconds() + REFUSED_SECONDS
            self._log.error("{url} does not accept the store's credential", url=url)
            raise self._unavailable(_REFUSED) from None
        finally:
            if reason is not None:
                self._circuits.failed(url, reason)
            self._circuits.left(url)

    def _unavailable(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(self._tools.store, reason)


class _Issuer:
    """Asks for tokens in one of two ways."""

    def __init__(self, settings: Settings, agent: IAgent, tools: Tools) -> None:
        self._settings = settings
        self._agent = agent
        self._clock = tools.clock

    async def issue(self, url: str) -> _Issued:
        """
        :raises Lost: if there is no answer.
        :raises _Refused: if the credential is not accepted.
        :raises ValueError: if the answer has no token that can be used.
        """
        raise NotImplementedError

    async def _exchange(
        self, method: bytes, url: str, headers: Headers, source: Source | None = None
    ) -> Response:
        headers.setRawHeaders(b"User-Agent", [b"glancetx/" + __version__.encode()])
        response = await exchange(
            self._agent,
            self._clock,
            method,
            url,
            headers,
            source,
            idle_seconds=IDLE_SECONDS,
        )
        if response.code in _REFUSALS:
            raise _Refused
        return response


class _V1(_Issuer):
    """The cluster's own tokens (Object Storage API v1, "Authentication")."""

    async def issue(self, url: str) -> _Issued:
        user, key = self._settings.user or "", self._settings.key or ""
        headers = Headers()
        headers.setRawHeaders(b"X-Auth-User", [user.encode("ascii")])
        headers.setRawHeaders(b"X-Auth-Key", [key.encode("ascii")])
        response = await self._exchange(b"GET", url, headers)
        if response.code not in _ISSUED_V1:
            raise ValueError(f"it answered {response.code}")
        token = _token(response.header(b"X-Auth-Token"))
        storage = (response.header(b"X-Storage-Url") or b"").decode("latin-1")
        expires = response.header(b"X-Auth-Token-Expires")
        life = LIFE if expires is None else float(min(int(expires), LONGEST))
        return _Issued(token, _account_url(storage), life)


class _V3(_Issuer):
    """Keystone's tokens, which bring the catalogue of services along."""

    async def issue(self, url: str) -> _Issued:
        headers = Headers()
        headers.setRawHeaders(b"Content-Type", [b"application/json"])
        headers.setRawHeaders(b"Accept", [b"application/json"])
        document = {"auth": self._auth()}
        source = Source(lambda: JsonBody(document), True)
        response = await self._exchange(b"POST", tokens_url(url), headers, source)
        if response.code != _ISSUED_V3:
            raise ValueError(f"it answered {response.code}")
        answer = response.json()
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, dict):
            raise ValueError("token is no object")
        return _Issued(
            _token(response.header(b"X-Subject-Token")),
            self._url(token, self._settings.region),
            _life(token),
            self._read_url(token),
        )

    def _auth(self) -> Mapping[str, Any]:
        settings = self._settings
        if settings.application_credential_id is not None:
            return by_application(
                settings.application_credential_id,
                settings.application_credential_secret,
            )
        return by_password(
            settings.username,
            settings.user_domain_name,
            settings.password,
            settings.project_name,
            settings.project_domain_name,
        )

    def _read_url(self, token: Mapping[str, Any]) -> str | None:
        region = self._settings.read_region
        return None if region is None else self._url(token, region)

    def _url(self, token: Mapping[str, Any], region: str | None) -> str:
        """The first public URL of Swift in the catalogue, of a region if it is said."""
        for endpoint in _endpoints(token):
            if endpoint.get("interface") != "public":
                continue
            if region in (None, endpoint.get("region"), endpoint.get("region_id")):
                return _account_url(endpoint.get("url"))
        where = "" if region is None else f" in the region {region}"
        raise ValueError(f"the catalogue has no public URL of object-store{where}")


def _endpoints(token: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    catalogue = token.get("catalog")
    services = catalogue if isinstance(catalogue, list) else []
    return [
        endpoint
        for service in services
        if isinstance(service, dict) and service.get("type") == "object-store"
        for endpoint in service.get("endpoints") or []
        if isinstance(endpoint, dict)
    ]


def _life(token: Mapping[str, Any]) -> float:
    """Told by Keystone's clock alone, since ours may be wrong."""
    expires: datetime = read_moment(token, "expires_at")
    return (expires - read_moment(token, "issued_at")).total_seconds()


def _token(value: bytes | None) -> str:
    text = (value or b"").decode("latin-1")
    if not is_token(text):
        raise ValueError("its answer has no token")
    return text


def _account_url(value: Any) -> str:
    """
    Check a URL of the account that a server gave.

    :raises ValueError: if it is none.
    """
    try:
        base = parse_base(value if isinstance(value, str) else "")
    except BadValue as error:
        raise ValueError(f"the account's URL {error.problem}") from None
    if not base.path:
        raise ValueError("the account's URL has no path")
    return base.url


def _moved(url: str, proxies: Sequence[str]) -> tuple[str, ...]:
    """The account's URL at each of some proxies."""
    path = "".join(f"/{part}" for part in parse_base(url).path)
    return tuple(proxy + path for proxy in proxies)


def _leave(failure: Failure) -> None:
    """It was logged, and is tried again when a token is wanted again."""
    failure.trap(StoreUnavailable)
