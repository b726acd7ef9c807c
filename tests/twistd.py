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
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.failure import Failure

__all__ = ["Twistd", "log_to_descriptor", "twistd_script"]

LOG = 3
_LISTENING = re.compile(r"listening at (\S+)")


def twistd_script() -> str:
    """The ``twistd`` that was installed with this interpreter."""
    return os.path.join(os.path.dirname(sys.executable), "twistd")


def log_to_descriptor() -> ILogObserver:
    """For ``twistd --logger``: writes the log to the descriptor ``LOG``."""
    return textFileLogObserver(open(LOG, "a", encoding="utf-8"))


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

    def start(self, *arguments: str) -> None:
        """Run ``twistd -n glancetx`` in the folder, with these arguments behind."""
        self._spawn("-n", "--pidfile=", "glancetx", *arguments)

    def start_by(self, interpreter: str, *arguments: str) -> None:
        """Run ``twistd -n glancetx`` by another Python, and what it has."""
        script = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
        command = [interpreter, "-P", "-c", script, "-n", "--pidfile=", "glancetx"]
        self._run([*command, *arguments], "r")

    def start_daemon(self, *arguments: str) -> None:
        """
        Run ``twistd glancetx``, which puts itself into the background.

        The log comes by a descriptor that the daemon inherits, so that :meth:`ended`
        waits for the daemon; its process id is in ``twistd.pid``.
        """
        logger = f"--logger={__name__}.log_to_descriptor"
        self._spawn(logger, "glancetx", *arguments)

    def start_with_socket(self, descriptor: int, *arguments: str) -> None:
        """Run ``twistd -n glancetx`` with a listening socket, as systemd would."""
        script = 'LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec "$@"'
        command = [twistd_script(), "-n", "--pidfile=", "glancetx", *arguments]
        self._run(["/bin/sh", "-c", script, "sh", *command], descriptor)

    def _spawn(self, *arguments: str) -> None:
        self._run([twistd_script(), *arguments], "r")

    def _run(self, command: list[str], third: str | int) -> None:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._reactor.spawnProcess(
            self,
            command[0],
            command,
            env={**os.environ, "PYTHONPATH": here},
            path=self.folder,
            childFDs={0: "w", 1: "r", 2: "r", LOG: third},
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

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data.decode("utf-8", "replace")
        waiting, self._waiting = self._waiting, []
        for pattern, said in waiting:
            match = pattern.search(self.output)
            if match is None:
                self._waiting.append((pattern, said))
            else:
                said.callback(match)

    def processEnded(self, reason: Failure) -> None:
        status = reason.value
        assert isinstance(status, Exception)
        self._status = status  # type: ignore[assignment]
        for pattern, said in self._waiting:
            text = f"it ended without {pattern.pattern}:\n{self.output}"
            said.errback(Failure(AssertionError(text)))
        self._ended.callback(None)
