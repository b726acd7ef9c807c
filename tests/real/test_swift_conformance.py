# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift`` in a real Swift, by the rules for all backends.
"""

from __future__ import annotations

from typing import Any

from glancetx.backends.swift.backend import SwiftBackend
from glancetx.testing import BackendTests
from tests.swift_case import StoreCase

from .swift import missing_swift, shared_swift

CONTAINER = "conformance-"


class RealSwiftTests(BackendTests, StoreCase):
    """``SwiftBackend``"""

    skip = missing_swift()

    def setUp(self) -> None:
        self.swift = shared_swift()
        self._before = set(self.swift.names(CONTAINER))
        super().setUp()

    def auth_url(self) -> str:
        return self.swift.auth_url

    def proxies(self) -> list[str]:
        return self.swift.proxies

    def make_backend(self) -> SwiftBackend:
        return self.new_backend(container=CONTAINER)

    async def leftovers(self) -> list[str]:
        await self.settled()
        names = set(self.swift.names(CONTAINER)) - self._before
        return sorted({name.split("/")[1] for name in names if self._stays(name)})

    def kill(self, writer: Any) -> None:
        writer._cut()

    def expire(self) -> bool:
        self.swift.expire_tokens()
        return True

    def _stays(self, name: str) -> bool:
        """Whether an object does not go by itself."""
        answer = self.swift.ask("HEAD", f"/{name}", {"X-Newest": "true"})
        return "X-Delete-At" not in answer.headers
