# Copyright glancetx contributors. See LICENSE for details.

"""
An agent whose requests a test answers, one by one.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from glancetx.backends.swift.options import OPTIONS, Settings, read_options
from glancetx.errors import OriginUnavailable
from glancetx.interfaces import Tools
from glancetx.testing import inline_tools

from .responses import FakeResponse

__all__ = ["DoorCase", "Request", "ScriptedAgent", "settings_v1", "settings_v3"]

V1: dict[str, Any] = {
    "auth": "v1",
    "auth_url": "http://auth.example/auth/v1.0",
    "user": "test:tester",
    "key": "a-key",
}
V3: dict[str, Any] = {
    "auth": "v3",
    "auth_url": "https://keystone.example:5000/v3",
    "application_credential_id": "an-id",
    "application_credential_secret": "a-secret",
}


def settings_v1(**more: Any) -> Settings:
    """A store with the cluster's own tokens."""
    return _settings({**V1, **more})


def settings_v3(**more: Any) -> Settings:
    """A store with tokens of Keystone."""
    return _settings({**V3, **more})


def _settings(given: dict[str, Any]) -> Settings:
    defaults = {option.name: option.default for option in OPTIONS}
    return read_options({**defaults, **given}, "main")


@define(eq=False)
class Request:
    """
    A request that an agent was given.

    :ivar answered: what the agent's caller waits for.
    :ivar cancelled: he waits no more.
    """

    method: bytes
    url: str
    headers: Headers
    body: IBodyProducer | None
    answered: Deferred[IResponse] = field(init=False)
    cancelled: bool = False

    def __attrs_post_init__(self) -> None:
        self.answered = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def header(self, name: bytes) -> str | None:
        """The value of a header."""
        values = self.headers.getRawHeaders(name)
        return values[0].decode("ascii") if values else None

    def answer(
        self, code: int = 200, body: bytes | None = b"", **headers: str
    ) -> FakeResponse:
        """
        Answer it.

        :param body: ``None`` if the test brings it.
        :param headers: with ``_`` for ``-``.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = FakeResponse(code, named, None if body is None else len(body))
        self.answered.callback(response)
        if body is not None:
            response.feed(body)
            response.end()
        return response

    def give(self, token: str, life: int | None = None) -> None:
        """Answer it with one of the cluster's own tokens."""
        more: dict[str, Any] = {}
        if life is not None:
            more["X_Auth_Token_Expires"] = str(life)
        url = "http://swift.example/v1/AUTH_t"
        self.answer(200, b"", X_Auth_Token=token, X_Storage_Url=url, **more)

    def tell(self, value: Any, code: int = 200, **headers: str) -> None:
        """Answer it in JSON."""
        self.answer(code, json.dumps(value).encode("ascii"), **headers)

    def fail(self, error: Exception | None = None) -> None:
        """Let it have no answer."""
        self.answered.errback(error or OriginUnavailable("swift", "it is gone"))

    def send(self) -> bytes:
        """Have the body sent, as far as there is one; what was sent."""
        assert self.body is not None
        transport = StringTransport()
        self.body.startProducing(transport)
        sent: bytes = transport.value()
        return sent

    def document(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.send())


@implementer(IAgent)
@frozen
class ScriptedAgent:
    """:ivar asked: all requests that are not answered yet, and those that were."""

    asked: list[Request] = field(factory=list)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        asked = Request(method, uri.decode("ascii"), headers or Headers(), bodyProducer)
        self.asked.append(asked)
        return asked.answered


class DoorCase(SynchronousTestCase):
    """Has an agent to answer for, and a clock to turn."""

    def setUp(self) -> None:
        self.agent = ScriptedAgent()
        self.tools: Tools = inline_tools("main")
        clock = self.tools.clock
        assert isinstance(clock, Clock)
        self.clock = clock

    @property
    def last(self) -> Request:
        """The request that came last."""
        return self.agent.asked[-1]

    @property
    def urls(self) -> list[str]:
        """Where requests went."""
        return [asked.url for asked in self.agent.asked]
