# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift`` in a real Swift, by the rules for all backends.
"""

from __future__ import annotations

from typing import Any

from glancetx.backends.swift.backend import SwiftBackend
from glancetx.testing import BackendTests
from tests.swift_case import MIB, StoreCase

from .swift import missing_swift, shared_swift

OK = 200
PREFIX, SHARD = "conformance-", "ab"
CONTAINER = PREFIX + SHARD


class RealSwiftTests(BackendTests, StoreCase):
    """``SwiftBackend``"""

    skip = missing_swift()

    def setUp(self) -> None:
        self.swift = shared_swift()
        self.swift.ask("PUT", f"/{CONTAINER}")
        self._before = set(self.swift.listing(CONTAINER))
        super().setUp()

    def auth_url(self) -> str:
        return self.swift.auth_url

    def proxies(self) -> list[str]:
        return self.swift.proxies

    def new_key(self) -> str:
        return SHARD + super().new_key()[len(SHARD) :]  # containers are slow to make

    def make_backend(self) -> SwiftBackend:
        return self.new_backend(container=PREFIX, segment_size=2 * MIB)

    async def leftovers(self) -> list[str]:
        await self.settled()
        names = set(self.swift.listing(CONTAINER)) - self._before
        return sorted({name.split("/")[0] for name in names if self._stays(name)})

    def kill(self, writer: Any) -> None:
        writer._cut()

    def expire(self) -> bool:
        self.swift.expire_tokens()
        return True

    def _stays(self, name: str) -> bool:
        """Whether there is an object that does not go by itself."""
        headers = {"X-Newest": "true"}
        answer = self.swift.ask("HEAD", f"/{CONTAINER}/{name}", headers)
        return answer.code == OK and "X-Delete-At" not in answer.headers
