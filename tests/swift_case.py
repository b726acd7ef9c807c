# Copyright glancetx contributors. See LICENSE for details.

"""
Test cases that have a store in a :class:`~.fake_swift.FakeSwift`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from glancetx.backends.swift import calls, writing
from glancetx.backends.swift.account import Account
from glancetx.backends.swift.backend import SwiftBackend
from glancetx.backends.swift.calls import Calls
from glancetx.backends.swift.options import OPTIONS, read_options
from glancetx.limits import Limits
from glancetx.outbound import Outbound, Peer
from glancetx.streaming import relay
from glancetx.testing import threaded_tools

from .fake_swift import FakeSwift

__all__ = ["KEY", "MIB", "StoreCase", "SwiftCase", "hurry"]

KEY = "ab" + "0" * 30
MIB = 1024 * 1024


def hurry(case: TestCase) -> None:
    """Let nothing that failed wait long before it is tried again."""
    case.patch(calls, "BACKOFF", 0.001)
    case.patch(relay, "BACKOFF", 0.001)
    case.patch(writing, "MANIFEST_PAUSE", 0.001)


class StoreCase(TestCase):
    """A store in some Swift, with segments of 1 MiB."""

    def setUp(self) -> None:
        hurry(self)
        self.outbound = Outbound(reactor, Limits())
        self.addCleanup(self.outbound.stop)
        self.agent = self.outbound.agent(Peer("swift"))
        self.tools = threaded_tools(self, agent=self.agent)
        self.backends: list[SwiftBackend] = []

    def new_backend(self, **more: Any) -> SwiftBackend:
        """A backend as a process that starts makes it."""
        given = {
            **{option.name: option.default for option in OPTIONS},
            "auth": "v1",
            "auth_url": self.auth_url(),
            "user": "test:tester",
            "key": "testing",
            "proxies": self.proxies(),
            "segment_size": MIB,
            **more,
        }
        settings = read_options(given, "swift")
        account = Account(settings, self.agent, self.tools)
        door = Calls(account, self.agent, self.tools)
        backend = SwiftBackend(door, settings, self.tools)
        self.backends.append(backend)
        return backend

    def auth_url(self) -> str:
        """Where tokens are had."""
        raise NotImplementedError

    def proxies(self) -> list[str]:
        """The URLs of the proxies."""
        raise NotImplementedError

    async def settled(self) -> None:
        """Wait for what backends do in the background."""
        for backend in self.backends:
            await backend.settled()


class SwiftCase(StoreCase):
    """A store in a fake cluster of two proxies."""

    def setUp(self) -> None:
        self.swift = FakeSwift(2).start(self)
        super().setUp()

    def auth_url(self) -> str:
        return self.swift.auth_url

    def proxies(self) -> list[str]:
        return self.swift.urls

    def left(self) -> list[str]:
        """
        What is in the cluster: a name for each piece, and for all that belongs to none.

        What goes by itself does not count.
        """
        objects = {
            path: stored
            for path, stored in self.swift.objects().items()
            if stored.delete_at is None
        }
        owned = {
            entry["name"][1:]
            for stored in objects.values()
            for entry in stored.manifest or ()
        }
        return sorted(set(objects) - owned)
