# Copyright glancetx contributors. See LICENSE for details.

"""
A Keystone for tests: it gives tokens and says whose they are, or fails as it is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from glancetx.credentials import IdentityConfig
from glancetx.times import utcnow

__all__ = ["Asked", "FakeKeystone", "Token"]

reactor: Any = _reactor

APPLICATION = {"id": "glance's credential", "secret": "a-secret"}
USER = {"name": "glance", "domain": {"name": "Default"}, "password": "a-password"}
PROJECT = {"name": "service", "domain": {"name": "Default"}}

#: What Keystone still describes if asked with ``allow_expired``.
LATE = timedelta(days=2)


@define
class Token:
    """
    One token that the fake gave.

    :ivar scope: what of a token's description says what it is for.
    :ivar rules: of the application credential that it was got by.
    """

    text: str
    user: str
    scope: dict[str, Any]
    roles: Sequence[str]
    expires: datetime
    rules: Sequence[dict[str, str]] | None = None
    application: bool = False

    def describe(self) -> dict[str, Any]:
        """As ``GET /v3/auth/tokens`` does."""
        domain = {"id": "default", "name": "Default"}
        found: dict[str, Any] = {
            "methods": ["password"],
            "user": {"domain": domain, "id": self.user, "name": self.user},
            "roles": [{"id": f"id-{name}", "name": name} for name in self.roles],
            "expires_at": self.expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "issued_at": "2026-11-23T08:00:00.000000Z",
            "audit_ids": ["Dl7v3WrBTfG1FKuPyDXsvA"],
            **self.scope,
        }
        if self.application:
            found["application_credential"] = {
                "id": "ac",
                "name": "ac",
                "restricted": True,
            }
            if self.rules is not None:
                found["application_credential"]["access_rules"] = list(self.rules)
        return {"token": found}


@frozen
class Asked:
    """One request that came; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class _Connections(WrappingFactory[ProtocolWrapper]):
    noisy = False


@define(eq=False, slots=False)
class FakeKeystone(Resource):
    """
    Answers ``/v3/auth/tokens``.

    :ivar now: the time of day.
    :ivar url: where it listens, or what an agent in memory calls it.
    :ivar asked: what came.
    :ivar tokens: those that are good, or were until they expired.
    :ivar trusts: it accepts the server's own credential.
    :ivar gone: what the server's own tokens stood on. Keystone names it in a 404
        then, as Keystone 30 does for credentials and projects.
    :ivar roles: of the server itself.
    :ivar seconds: that the server's own tokens live.
    :ivar hang: it takes requests and never answers.
    :ivar status: of all its answers.
    :ivar rubbish: what its answers hold instead.
    :ivar methods: of requests that the three are for.
    :ivar hanging: what it did not answer yet.
    """

    now: Callable[[], datetime] = utcnow
    url: str = "http://keystone.invalid:5000"
    asked: list[Asked] = field(factory=list)
    tokens: dict[str, Token] = field(factory=dict)
    trusts: bool = True
    gone: str | None = None
    roles: Sequence[str] = ("service",)
    seconds: float = 3600
    hang: bool = False
    status: int | None = None
    rubbish: bytes | None = None
    methods: Sequence[str] = ("GET", "POST")
    hanging: list[tuple[Request, Asked]] = field(factory=list)
    _count: int = 0
    _port: int = 0
    _listening: IListeningPort | None = None
    _connections: Any = None

    isLeaf = True

    def __attrs_pre_init__(self) -> None:
        Resource.__init__(self)

    # What a test does

    def config(self, **changes: Any) -> IdentityConfig:
        """An ``[identity]`` table by which a server gets its tokens here."""
        given = IdentityConfig(
            kind="keystone",
            auth_url=self.url,
            application_credential_id=APPLICATION["id"],
            application_credential_secret=APPLICATION["secret"],
        )
        return evolve(given, **changes)

    def config_of_user(self, **changes: Any) -> IdentityConfig:
        """The same, by a user's password."""
        given = IdentityConfig(
            kind="keystone",
            auth_url=self.url,
            username="glance",
            password="a-password",
            project_name="service",
            user_domain_name="Default",
            project_domain_name="Default",
        )
        return evolve(given, **changes)

    def give(
        self,
        user: str = "alice",
        project: str | None = "alpha",
        roles: Sequence[str] = ("member", "reader"),
        seconds: float = 3600,
        **more: Any,
    ) -> str:
        """Make a token; ``scope`` may say that it is for something else."""
        self._count += 1
        text = f"gAAAAAB-{user}-{self._count}"
        scope: dict[str, Any] = {}
        if project is not None:
            domain = {"id": "default", "name": "Default"}
            scope = {"project": {"domain": domain, "id": project, "name": project}}
            scope["is_domain"] = False
        expires = self.now() + timedelta(seconds=seconds)
        given = Token(text, user, more.pop("scope", scope), roles, expires, **more)
        self.tokens[text] = given
        return text

    def revoke(self, text: str) -> None:
        """Make a token bad."""
        del self.tokens[text]

    def revoke_own(self) -> None:
        """Make all tokens of the server itself bad."""
        for text in [t.text for t in self.tokens.values() if t.user == "glance"]:
            self.revoke(text)

    def release(self, count: int | None = None) -> None:
        """Answer what hangs, all of it or so many."""
        self.hang = False
        released = self.hanging[:count]
        del self.hanging[:count]
        for request, asked in released:
            request.write(self._say(request, *self._answer(asked)))
            request.finish()

    def count(self, method: str) -> int:
        """How many requests of a method came."""
        return sum(one.method == method for one in self.asked)

    async def start(self, case: TestCase) -> FakeKeystone:
        """Listen on loopback until the test is over, or :meth:`stop`."""
        self._connections = _Connections(Site(self))
        self._listening = reactor.listenTCP(
            self._port, self._connections, interface="127.0.0.1"
        )
        host: Any = self._listening.getHost()
        self._port = host.port
        self.url = f"http://127.0.0.1:{self._port}"
        case.addCleanup(self.stop)
        return self

    async def stop(self) -> None:
        """End at once; :meth:`start` begins again at the same port."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        stopped: Any = listening.stopListening()
        if stopped is not None:
            await stopped
        for protocol in list(self._connections.protocols):
            protocol.transport.abortConnection()

    # What a server sees

    def render(self, request: Request) -> int | bytes:
        asked = _read(request)
        self.asked.append(asked)
        if asked.method in self.methods:
            if self.hang:
                self.hanging.append((request, asked))
                return NOT_DONE_YET
            if self.status is not None:
                return self._say(request, self.status, {}, _error(self.status))
        return self._say(request, *self._answer(asked))

    def _say(
        self, request: Request, code: int, headers: dict[str, str], answer: Any
    ) -> bytes:
        body = json.dumps(answer).encode("utf-8")
        if request.method.decode("ascii") in self.methods and self.rubbish is not None:
            body = self.rubbish
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.encode("ascii"), value.encode("ascii"))
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        return body

    def _answer(self, asked: Asked) -> tuple[int, dict[str, str], Any]:
        path, _, query = asked.target.partition("?")
        if path != "/v3/auth/tokens":
            return 404, {}, _error(404)
        if asked.method == "POST":
            return self._issue(json.loads(asked.body))
        return self._describe(asked.headers, query.split("&"))

    def _issue(self, wanted: Any) -> tuple[int, dict[str, str], Any]:
        if not self.trusts or wanted not in (_by_application(), _by_password()):
            return 401, {}, _error(401)
        text = self.give("glance", "service", self.roles, self.seconds)
        return 201, {"x-subject-token": text}, self.tokens[text].describe()

    def _describe(
        self, headers: dict[str, str], query: list[str]
    ) -> tuple[int, dict[str, str], Any]:
        asker = self.tokens.get(headers["x-auth-token"])
        if asker is None or asker.expires <= self.now():
            return 401, {}, _error(401)
        if self.gone is not None:
            return 404, {}, _error(404, f"Could not find {self.gone}.")
        if "service" not in asker.roles:
            return 403, {}, _error(403)
        token = self.tokens.get(headers["x-subject-token"])
        late = LATE if "allow_expired=1" in query else timedelta()
        if token is None or token.expires + late <= self.now():
            return 404, {}, _error(404)
        known = float(headers.get("openstack-identity-access-rules", "0")) >= 1
        if token.rules is not None and not known:
            return 404, {}, _error(404)
        found = token.describe()
        if "nocatalog" not in query:
            found["token"]["catalog"] = []
        return 200, {"x-subject-token": token.text}, found


def _read(request: Request) -> Asked:
    assert request.content is not None
    headers = {
        name.decode("ascii").lower(): b",".join(values).decode("ascii")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }
    method, target = request.method.decode("ascii"), request.uri.decode("ascii")
    return Asked(method, target, headers, request.content.read())


def _error(code: int, message: str = "No.") -> Any:
    return {"error": {"code": code, "message": message, "title": "No"}}


def _by_application() -> Any:
    method = "application_credential"
    return {"auth": {"identity": {"methods": [method], method: APPLICATION}}}


def _by_password() -> Any:
    identity = {"methods": ["password"], "password": {"user": USER}}
    return {"auth": {"identity": identity, "scope": {"project": PROJECT}}}
