# Copyright glancetx contributors. See LICENSE for details.

"""
Real servers: ``twistd -n glancetx`` in a process of its own.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["Twistd", "twistd_script"]

_LISTENING = re.compile(r"listening at (\S+)")


def twistd_script() -> str:
    """The ``twistd`` that was installed with this interpreter."""
    return os.path.join(os.path.dirname(sys.executable), "twistd")


class Twistd(ProcessProtocol):
    """
    One server process.

    :ivar folder: its working directory.
    :ivar output: all that it wrote so far, its log included.
    """

    def __init__(self, reactor: Any, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        self.output = ""
        self._reactor = reactor
        self._waiting: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._ended: Deferred[None] = Deferred()
        self._status: ProcessDone | None = None
        os.makedirs(self.folder, exist_ok=True)

    def start(self, *arguments: str, options: tuple[str, ...] = ()) -> None:
        """
        Run ``twistd -n glancetx``.

        :param arguments: behind ``glancetx``.
        :param options: of twistd itself.
        """
        script = twistd_script()
        command = [script, "-n", "--pidfile=", *options, "glancetx", *arguments]
        self._reactor.spawnProcess(
            self, script, command, env=dict(os.environ), path=self.folder
        )

    def configure(self, text: str) -> str:
        """Write ``glancetx.toml`` into the folder; returns its path."""
        path = Path(self.folder, "glancetx.toml")
        path.write_text(text, encoding="utf-8")
        return str(path)

    async def url(self) -> str:
        """Wait until it listens; where it does."""
        return (await self.says(_LISTENING))[1]

    async def says(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """
        Wait until its output has what a pattern matches.

        :raises AssertionError: if it ends without.
        """
        compiled = re.compile(pattern)
        match = compiled.search(self.output)
        if match is not None:
            return match
        assert self._status is None, f"it ended without {pattern}:\n{self.output}"
        said: Deferred[re.Match[str]] = Deferred()
        self._waiting.append((compiled, said))
        return await said

    async def ended(self) -> int:
        """Wait until it has ended; its exit status, or the signal's number below 0."""
        if self._status is None:
            await self._ended
        assert self._status is not None
        if self._status.signal is not None:
            return -int(self._status.signal)
        return int(self._status.exitCode or 0)

    def signal(self, name: str) -> None:
        """Send a signal, e.g. ``TERM``."""
        assert self.transport is not None
        self.transport.signalProcess(name)

    async def stop(self) -> None:
        """End it now, if it still runs."""
        if self.transport is not None and self._status is None:
            try:
                self.signal("KILL")
            except ProcessExitedAlready:
                pass
            await self.ended()

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode("utf-8", "replace")
        waiting, self._waiting = self._waiting, []
        for pattern, said in waiting:
            match = pattern.search(self.output)
            if match is None:
                self._waiting.append((pattern, said))
            else:
                said.callback(match)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        status = reason.value
        assert isinstance(status, Exception)
        self._status = status  # type: ignore[assignment]
        for pattern, said in self._waiting:
            text = f"it ended without {pattern.pattern}:\n{self.output}"
            said.errback(Failure(AssertionError(text)))
        self._ended.callback(None)
