# Copyright glancetx contributors. See LICENSE for details.

"""
How a route is declared, and what happens before its handler runs: who asks is found
out at the end of the headers, before a byte of the body is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve, frozen
from klein import Klein

from glancetx.caller import Caller
from glancetx.errors import Forbidden, NoSuchImage, NotAuthenticated
from glancetx.identity.signatures import Signatures, is_signed
from glancetx.interfaces import Credentials, IIdentity

from .request import Request

__all__ = ["Route", "Routes"]

Handler = Callable[..., Awaitable[bytes | None]]

_BEARER = "bearer "


@frozen
class Route:
    """
    One method of one address.

    :ivar method: of requests; ``GET`` serves ``HEAD``, too.
    :ivar path: as werkzeug has it, e.g. ``/v2/images/<image_id>``.
    :ivar handler: called with the request and the variables of the path.
    :ivar rule: of the policy that decides; ``None`` where there is nothing to decide.
    :ivar statuses: of its answers, beside those that every route may give.
    :ivar body: the schema of the request's JSON.
    :ivar anonymous: those who show no identity are not turned away; the rule decides.
    """

    method: str
    path: str
    handler: Handler
    rule: str | None
    statuses: tuple[int, ...] = (200,)
    body: str | None = None
    anonymous: bool = False


class Routes:
    """
    The routes of a server.

    :ivar all: as they were declared.
    """

    def __init__(
        self,
        app: Klein,
        identity: IIdentity,
        signatures: Signatures,
    ) -> None:
        """:param signatures: of signed URLs."""
        self.all: list[Route] = []
        self._app = app
        self._identity = identity
        self._signatures = signatures

    def add(self, route: Route) -> None:
        """Serve a route."""
        self.all.append(route)
        endpoint = f"{route.method} {route.path}"
        self._app.route(route.path, methods=[route.method], endpoint=endpoint)(
            self._answering(route)
        )

    def _answering(self, route: Route) -> Handler:
        async def answer(request: Request, **variables: Any) -> bytes | None:
            request.challenge = self._identity.challenge
            request.caller = caller = await self._identify(request)
            if not (caller.is_known or caller.grant or route.anonymous):
                raise NotAuthenticated("this needs a token: send it as X-Auth-Token")
            try:
                return await route.handler(request, **variables)
            except (Forbidden, NoSuchImage):
                if caller.is_known or caller.grant:
                    raise
                raise NotAuthenticated(
                    "without a token this cannot be had; send one as X-Auth-Token"
                ) from None

        return answer

    async def _identify(self, request: Request) -> Caller:
        caller = await self._identity.identify(_credentials(request))
        if not is_signed(request.args):
            return caller
        grant = self._signatures.verify(
            request.method.decode("ascii"), request.path.decode("ascii"), request.args
        )
        return evolve(caller, grant=grant)


def _credentials(request: Request) -> Credentials:
    """
    What a request shows; of headers that claim an identity nothing else is read.

    :raises NotAuthenticated: if it shows several.
    """
    token = _header(request, b"X-Auth-Token")
    if token is None:
        token = _bearer(_header(request, b"Authorization"))
    return Credentials(
        token=token,
        service_token=_header(request, b"X-Service-Token"),
        method=request.method.decode("ascii"),
        path=request.path.decode("ascii"),
    )


def _header(request: Request, name: bytes) -> str | None:
    values = request.requestHeaders.getRawHeaders(name, [])
    if len(values) > 1:
        raise NotAuthenticated(f"{name.decode('ascii')} is given more than once")
    return values[0].decode("latin-1").strip(" \t") or None if values else None


def _bearer(value: str | None) -> str | None:
    if value is None or not value.lower().startswith(_BEARER):
        return None
    return value[len(_BEARER) :].strip(" \t") or None
