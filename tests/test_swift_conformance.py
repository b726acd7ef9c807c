# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift``, by the rules for all backends.
"""

from __future__ import annotations

from typing import Any

from glancetx.backends.swift.backend import SwiftBackend
from glancetx.testing import BackendTests, Fault

from .swift_case import SwiftCase


class SwiftTests(BackendTests, SwiftCase):
    """``SwiftBackend``"""

    timeout = 30.0

    def make_backend(self) -> SwiftBackend:
        return self.new_backend()

    async def leftovers(self) -> list[str]:
        await self.settled()
        return self.left()

    def kill(self, writer: Any) -> None:
        writer._cut()

    def inject(self, fault: Fault) -> bool:
        self.swift.fault = fault
        return True

    def shorten(self, count: int) -> bool:
        self.swift.short = count
        return True

    def expire(self) -> bool:
        self.swift.tokens.clear()
        return True

    def lag(self) -> bool:
        swift = self.swift
        swift.lagging = swift.ghosts = swift.haunted = True
        return True
