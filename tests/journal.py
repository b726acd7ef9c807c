# Copyright glancetx contributors. See LICENSE for details.

"""
A server made of parts that only keep a journal, upon a reactor in memory.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glancetx.config import Config, ServerConfig, load
from glancetx.service import Server
from glancetx.web.site import Drained

__all__ = ["ENDS", "STARTS", "Parts", "Reactor", "ServerCase"]

STARTS = [
    "files.start",
    "digests.start",
    "log.open",
    "catalogue.start",
    "presence.start",
    "catalogue.leftovers",
    "catalogue.processes",
    "catalogue.processes",
    "presence.sweep",
    "holding.start",
]
ENDS = [
    "drain 600",
    "images.settled",
    "holding.stop",
    "outbound.stop",
    "presence.stop",
    "catalogue.stop",
    "log.close",
    "digests.stop",
    "files.stop",
]


class Reactor(MemoryReactorClock):
    """Runs what comes from a signal at once, and notes when a port is closed."""

    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self.journal = journal
        self.taken: set[int] = set()

    def callFromThread(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        f(*args, **kwargs)

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        if port in self.taken:
            error = OSError(98, "Address already in use")
            raise CannotListenError(interface, port, error)
        self.journal.append(f"listen {port}")
        listening = super().listenTCP(port, factory, backlog, interface)
        listening.stopListening = lambda: self.journal.append(f"close {port}")
        return listening


class Part:
    """Every call is noted; ``failing`` and ``waiting`` ones fail or wait."""

    def __init__(self, name: str, tests: ServerCase) -> None:
        self._name = name
        self._tests = tests

    def note(self, call: str) -> Deferred[Any]:
        name = f"{self._name}.{call}"
        self._tests.journal.append(name)
        if name in self._tests.failing:
            raise self._tests.failing[name]
        return self._tests.waiting.get(name) or succeed([])

    def __getattr__(self, call: str) -> Callable[..., Deferred[Any]]:
        return lambda *arguments: self.note(call)


class Log:
    """An access log."""

    def __init__(self, part: Part) -> None:
        self.open = lambda: part.note("open") and None
        self.close = lambda: part.note("close") and None
        self.reopen = lambda: part.note("reopen") and None


class Site:
    """A site whose drain ends when it is told to, or at once if nothing runs."""

    def __init__(self, journal: list[str], log: Log) -> None:
        self.journal = journal
        self.access_log = log
        self.transfers: set[str] = set()
        self.drained: Deferred[Drained] = Deferred()

    def drain(self, seconds: float) -> Deferred[Drained]:
        self.journal.append(f"drain {seconds}")
        if not self.drained.called and (not self.transfers or not seconds):
            self.drained.callback(Drained(0, len(self.transfers)))
        return self.drained


class Parts:
    """What a server is made of."""

    def __init__(self, tests: ServerCase) -> None:
        for name in ("catalogue", "presence", "stores", "outbound", "images"):
            setattr(self, name, Part(name, tests))
        for name in ("holding", "identity", "signatures"):
            setattr(self, name, Part(name, tests))
        self.presence.now = lambda: None
        self.pools = [Part("files", tests), Part("digests", tests)]
        self.site = Site(tests.journal, Log(Part("log", tests)))

    presence: Any


class ServerCase(SynchronousTestCase):
    """Runs a server upon a reactor in memory."""

    def setUp(self) -> None:
        self.journal: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.waiting: dict[str, Deferred[Any]] = {}
        self.failed: list[str] = []
        self.parts = Parts(self)
        self.reactor = Reactor(self.journal)
        self.config = load(None)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def make(self, config: Config | None = None) -> Server:
        def compose(config: Config, reactor: Any) -> Any:
            if "compose" in self.failing:
                raise self.failing["compose"]
            return self.parts

        fail = lambda: self.failed.append("failed")  # noqa: E731
        self.server = Server(config or self.config, self.reactor, compose, fail)
        return self.server

    def start(self, config: Config | None = None) -> list[Any]:
        """Start; returns what was logged."""
        with capturedLogs() as events:
            self.make(config).startService()
            self.reactor.run()
        self.addCleanup(self.stop)
        return list(events)

    def stop(self) -> None:
        stopping = self.server.stopService()
        self.parts.site.drain(0)
        self.successResultOf(stopping)

    def listen(self, *endpoints: str, insecure: bool = False) -> Config:
        server = ServerConfig(endpoints, "http://zone.example.com", insecure=insecure)
        return evolve(self.config, server=server)

    def reason(self, events: list[Any]) -> str:
        """The one line that says why a start failed."""
        found = [e for e in events if e["log_level"] is LogLevel.critical]
        self.assertEqual(len(found), 1, found)
        self.assertNotIn("log_failure", found[0])
        return str(found[0]["reason"])
