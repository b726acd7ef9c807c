# Copyright glancetx contributors. See LICENSE for details.

"""
Whole servers in the test's own process, on loopback, with files of their own.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from glancetx.config import (
    Config,
    IdentityConfig,
    OriginConfig,
    ServerConfig,
    StoreConfig,
)
from glancetx.limits import Limits
from glancetx.parts import Parts, compose
from glancetx.service import Server

from .wire import Client

__all__ = ["Reply", "RunningServer", "ServerCase", "free_port", "reactor"]

reactor: Any = _reactor
T = TypeVar("T")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@frozen
class Reply:
    """An answer, read to its end."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    async def of(cls, response: IResponse) -> Reply:
        headers = {
            name.decode("ascii").lower(): b", ".join(values).decode("utf-8")
            for name, values in response.headers.getAllRawHeaders()
        }
        body = await response.content()  # type: ignore[attr-defined]
        return cls(response.code, headers, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningServer:
    """
    One server that runs until the test is over.

    :ivar url: where it listens.
    :ivar folder: where its files are.
    :ivar parts: what it is made of.
    """

    def __init__(self, config: Config, client: HTTPClient) -> None:
        self.config = config
        self.port = int(config.server.listen[0].split(":")[1])
        self.url = _url(self.port)
        self.folder = config.folder
        self.parts: Parts
        self._client = client
        self._server = Server(config, reactor, self._compose, self._fail)
        self._failed = False

    async def start(self) -> None:
        await deferLater(reactor, 0)  # trial begins a test before its reactor runs
        self._server.startService()
        assert self._server.starting is not None
        await self._server.starting
        assert not self._failed, "the server did not start; see the log"

    async def stop(self) -> None:
        await self._server.stopService()

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request, and read the answer to its end."""
        response = await self._client.request(
            method,
            self.url + path,
            headers=_encoded(headers or {}),
            data=body,
            allow_redirects=False,
            unbuffered=False,
        )
        return await Reply.of(response)

    async def add(
        self, body: bytes | None, parent: str | None = None, **metadata: str
    ) -> str:
        """Upload an image; returns its id."""
        facts = {"disk_format": "raw", **metadata}
        if parent is not None:
            facts["parent_id"] = parent
        headers = {f"x-image-meta-{name}": value for name, value in facts.items()}
        reply = await self.ask("POST", "/images", headers, body)
        assert reply.code == 201, reply
        image_id: str = reply.json["image"]["id"]
        return image_id

    def uri(self, image_id: str) -> str:
        """How other servers name an image of this one."""
        return f"{self.config.server.public_url}/images/{image_id}"

    def pieces(self) -> list[str]:
        """The files in its store, temporary ones included."""
        return sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(os.path.join(self.folder, "pieces"))
            for name in names
        )

    def _compose(self, config: Config, reactor: Any) -> Parts:
        self.parts = compose(config, reactor)
        return self.parts

    def _fail(self) -> None:
        self._failed = True


class ServerCase(TestCase):
    """A test with servers that are stopped at its end."""

    def setUp(self) -> None:
        self._pool = HTTPConnectionPool(reactor)
        self.http = HTTPClient(Agent(reactor, pool=self._pool))

    async def serve(
        self,
        origins: Sequence[OriginConfig | RunningServer] = (),
        limits: Limits | None = None,
        folder: str | None = None,
        port: int | None = None,
        identity: IdentityConfig | None = None,
        **server: Any,
    ) -> RunningServer:
        """
        Start a server on a free port, or the given one.

        :param origins: servers that it may ask.
        :param folder: of another one, to share its catalogue and store.
        :param identity: how it knows its callers.
        :param server: further keys of ``[server]``.
        """
        config = self.config(origins, limits, folder, port, identity, **server)
        running = RunningServer(config, self.http)
        self.addCleanup(lambda: Deferred.fromCoroutine(self._stop(running)))
        await running.start()
        return running

    def raw(
        self, server: RunningServer, work: Callable[[Client], T], **options: Any
    ) -> Deferred[T]:
        """Do a raw client's work in a thread."""

        def run() -> T:
            with Client(server.port, **options) as client:
                return work(client)

        return deferToThread(run)

    async def _stop(self, running: RunningServer) -> None:
        await self._pool.closeCachedConnections()  # or the drain gives them 2 s
        await running.stop()

    async def serve_circle(self, count: int) -> list[RunningServer]:
        """Start servers of which each may ask all others."""
        ports = [free_port() for _ in range(count)]
        origins = {port: OriginConfig(f"at{port}", _url(port)) for port in ports}
        return [
            await self.serve([o for p, o in origins.items() if p != port], port=port)
            for port in ports
        ]

    def config(
        self,
        origins: Sequence[OriginConfig | RunningServer] = (),
        limits: Limits | None = None,
        folder: str | None = None,
        port: int | None = None,
        identity: IdentityConfig | None = None,
        **server: Any,
    ) -> Config:
        """The configuration of :meth:`serve`."""
        folder = folder or os.path.abspath(self.mktemp())
        port = port or free_port()
        listen = (f"tcp:{port}:interface=127.0.0.1",)
        server.setdefault("public_url", _url(port))
        return Config(
            source="(test)",
            folder=folder,
            server=ServerConfig(listen=listen, **server),
            catalogue_url=f"sqlite:///{folder}/catalogue.sqlite",
            stores=(
                StoreConfig("main", "filesystem", {"path": "pieces"}, default=True),
            ),
            origins=tuple(
                OriginConfig(f"origin{number}", one.url)
                if isinstance(one, RunningServer)
                else one
                for number, one in enumerate(origins)
            ),
            identity=identity or IdentityConfig(),
            limits=limits or Limits(),
        )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _encoded(headers: Mapping[str, str]) -> Headers:
    return Headers(
        {name.encode("ascii"): [text.encode()] for name, text in headers.items()}
    )
