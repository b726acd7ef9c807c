# Copyright glancetx contributors. See LICENSE for details.

"""
``twistd`` with one planted bug, or one place to die at::

    python -m tests.faults.broken_twistd NAME -n glancetx --config FILE

Tests of kills show by it that they would see such a bug.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.scripts import twistd

from glancetx.backends.filesystem import _Temporary
from glancetx.caller import ANYONE
from glancetx.catalogue import Catalogue
from glancetx.image import Image, Location
from glancetx.library.images import Images
from glancetx.library.presence import Presence
from glancetx.library.uploads import Received
from glancetx.stores import Store

__all__ = ["BUGS", "DEATHS"]

SLOW_DISK = 0.05
"""Seconds that a planted bug takes for what it does too late."""


class _Late:
    """A writer whose bytes are made durable when it is too late."""

    waiting: dict[str, _Late] = {}

    def __init__(self, key: str, writer: Any) -> None:
        self.waiting[key] = self
        self._writer = writer
        self.write = writer.write
        self.abort = writer.abort

    def finish(self) -> Deferred[None]:
        return succeed(None)

    async def finish_at_last(self) -> None:
        await deferLater(reactor, SLOW_DISK)
        await self._writer.finish()


def active_too_early() -> None:
    """An image becomes active before its bytes are where they belong."""
    create, commit = Store.create, Images._commit

    async def late_create(self: Store, key: str, size: int | None) -> Any:
        return _Late(key, await create(self, key, size))

    async def early_commit(
        self: Images, image_id: str, location: Location, received: Received
    ) -> Image:
        image = await commit(self, image_id, location, received)
        await _Late.waiting.pop(location.key).finish_at_last()
        return image

    _replace(Store, "create", late_create)
    _replace(Images, "_commit", early_commit)


def acknowledged_too_early() -> None:
    """A client is told that its image is active before it is."""
    commit = Images._commit

    async def later(*args: Any) -> None:
        await deferLater(reactor, SLOW_DISK)
        await commit(*args)

    async def hasty_commit(
        self: Images, image_id: str, location: Location, received: Received
    ) -> Image:
        Deferred.fromCoroutine(later(self, image_id, location, received))
        image = await self.find(ANYONE, image_id)
        return evolve(
            image.stored(
                self._now(),
                location,
                received.size,
                received.digest,
                received.checksum,
            )
        )

    _replace(Images, "_commit", hasty_commit)


def leftovers_forgotten() -> None:
    """A scrub does not know what was left."""

    async def no_leftovers(self: Catalogue) -> list[Any]:
        return []

    _replace(Catalogue, "leftovers", no_leftovers)


def neighbours_taken_for_dead() -> None:
    """A scrub takes every other process for dead."""

    def is_dead(self: Presence, process: Any, now: Any = None) -> bool:
        return bool(process.id != self.process_id)

    async def bury(self: Catalogue, process: Any) -> bool:
        return False

    _replace(Presence, "is_dead", is_dead)
    _replace(Catalogue, "bury", bury)


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        active_too_early,
        acknowledged_too_early,
        leftovers_forgotten,
        neighbours_taken_for_dead,
    )
}

DEATHS: dict[str, tuple[type, str, bool]] = {
    "intent written": (Catalogue, "begin", True),
    "bytes written": (_Temporary, "keep", False),
    "bytes durable": (Catalogue, "commit", False),
    "row active": (Catalogue, "commit", True),
    "upload failed": (Catalogue, "abandon", False),
    "upload given up": (Catalogue, "abandon", True),
    "row deleted": (Catalogue, "delete", True),
    "bytes removed": (Catalogue, "forget", False),
}
"""Where to die: at which method, and whether after it."""


def plant(name: str) -> None:
    """Change the code of this process."""
    if name in BUGS:
        BUGS[name]()
        return
    kind, method, after = DEATHS[name]
    usual = getattr(kind, method)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_before(*args: Any) -> None:
        die()

    async def dying_after(*args: Any) -> None:
        await usual(*args)
        die()

    _replace(kind, method, dying_after if after else dying_before)


def _replace(kind: type, name: str, value: Any) -> None:
    setattr(kind, name, value)


if __name__ == "__main__":
    plant(sys.argv.pop(1))
    twistd.run()
