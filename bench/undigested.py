# Copyright glancetx contributors. See LICENSE for details.

"""
A server that makes no digests, to measure the rest of an upload by itself.

No option of the product: the images that it takes have digests of nothing. Run it as
``python -m bench.undigested --config FILE``.
"""

from __future__ import annotations

import sys
from typing import Any, cast
from unittest.mock import patch

from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.threadpool import ThreadPool

from glancetx import parts
from glancetx.config import Config, load
from glancetx.parts import Parts
from glancetx.service import Options, Server
from glancetx.streaming.digest import Hashing

__all__ = ["NoDigests", "compose_undigested", "main"]


class _NoHashing:
    """Does nothing with bytes."""

    lagging = False

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._algorithms = algorithms

    def update(self, data: bytes) -> None:
        """Look away."""

    async def ready(self) -> None:
        """Always."""

    async def finish(self) -> dict[str, str]:
        """Digests of the right length."""
        return {name: "0" * (32 if name == "md5" else 64) for name in self._algorithms}


class NoDigests:
    """What :class:`glancetx.streaming.digest.Digests` would be without its work."""

    def __init__(self, reactor: Any, threads: ThreadPool) -> None:
        """Takes what the real one takes."""

    def start(self, *algorithms: str) -> Hashing:
        """Begin to do nothing."""
        return cast(Hashing, _NoHashing(algorithms))


def compose_undigested(config: Config, reactor: Any) -> Parts:
    """The parts of a server, but for the digests."""
    with patch.object(parts, "Digests", NoDigests):
        return parts.compose(config, reactor)


def main() -> None:
    """Serve until a signal comes."""
    from twisted.internet import reactor as running  # noqa: PLC0415

    reactor: Any = running
    options = Options()
    options.parseOptions(sys.argv[1:])
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
    server = Server(load(options["config"]), reactor, compose_undigested)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    server.startService()
    reactor.run()


if __name__ == "__main__":
    main()
