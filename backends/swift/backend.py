# Copyright glancetx contributors. See LICENSE for details.

"""
A store in OpenStack Swift.
"""

from __future__ import annotations

import re
from typing import Any

from zope.interface import implementer

from glancetx.interfaces import IBackend, Tools

from .calls import Calls
from .containers import Containers
from .names import Names
from .options import Settings
from .plan import Bounds, Plan
from .readers import Readers
from .reading import Piece
from .removing import Remover
from .tempurl import LocatedPiece
from .writing import Writer

__all__ = ["SwiftBackend"]

KEY = re.compile("[0-9a-f]{32}")


@implementer(IBackend)
class SwiftBackend:
    """Keeps pieces as objects."""

    def __init__(self, calls: Calls, settings: Settings, tools: Tools) -> None:
        self._calls = calls
        self._settings = settings
        self._tools = tools
        self._names = Names(settings.container)
        self._readers = Readers(tools.clock)
        self._containers = Containers(calls, self._names, tools, settings.policy)
        self._remover = Remover(
            calls, self._names, self._readers, tools, settings.grace_seconds
        )
        self._bounds: Bounds | None = None

    async def start(self) -> None:
        """Make what is missing before it is needed. Never fails."""
        await self._containers.make_all()

    async def settled(self) -> None:
        """Wait for removals that wait for readers."""
        await self._remover.settled()

    def piece(self, key: str, size: int) -> Piece:
        _require_key(key)
        path = self._names.piece(key)
        found = self._calls, self._readers, self._tools, path, key, size
        secret, seconds = self._settings.tempurl_key, self._settings.tempurl_seconds
        if self._settings.tempurl_redirect and secret is not None:
            return LocatedPiece(*found, secret=secret, seconds=seconds)
        return Piece(*found)

    async def create(self, key: str, size: int | None) -> Writer:
        _require_key(key)
        await self._containers.need(self._names.container(key))
        plan = Plan(size, self._settings.segment_size, await self._find_bounds())
        return Writer(
            self._calls, self._names, self._containers, self._tools, key, plan
        )

    async def remove(self, key: str) -> None:
        _require_key(key)
        await self._remover.remove(key)

    async def _find_bounds(self) -> Bounds:
        if self._bounds is None:
            self._bounds = _bounds(await self._calls.info())
        return self._bounds


def _bounds(info: dict[str, Any]) -> Bounds:
    """What a cluster says that it allows; Swift's defaults where it says nothing."""
    usual = Bounds()
    return Bounds(
        _number(info, "swift", "max_file_size", usual.object_size),
        # not more, though it may be allowed: a manifest's bytes have a bound, too
        min(
            _number(info, "slo", "max_manifest_segments", usual.entries), usual.entries
        ),
    )


def _number(info: dict[str, Any], part: str, name: str, usual: int) -> int:
    found = info.get(part)
    number = found.get(name) if isinstance(found, dict) else None
    return number if type(number) is int and number > 1 else usual


def _require_key(key: str) -> None:
    if KEY.fullmatch(key) is None:
        raise ValueError(f"not a key: {key!r}")
