# Copyright glancetx contributors. See LICENSE for details.

"""
Other programs in processes of their own, waited for without a reactor.

These outlive a test, which nothing in trial's reactor may.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Condition, Thread

__all__ = ["Program", "interpreter", "missing", "quiet_port"]

SECONDS = 60
ROOT = Path(sys.prefix, "real")
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def interpreter(name: str) -> str:
    """The Python of a venv that ``tests/real/install-openstack`` made."""
    return str(ROOT / name / "bin" / "python")


def missing(*names: str) -> str | None:
    """Why tests that need these venvs are skipped, or ``None``."""
    lacking = [name for name in names if not (ROOT / name / "installed").is_file()]
    if not lacking:
        return None
    return f"no {' and no '.join(lacking)} in {ROOT}; see tests/real/install-openstack"


def quiet_port() -> int:
    """
    A port of 127.0.0.1 that nobody listens at, and no connection begins at.

    So a server finds it free again when it is started anew, and who asks for it
    meanwhile is refused, rather than connected with himself.
    """
    first = int(EPHEMERAL.read_text("ascii").split()[0])
    while True:
        port = random.SystemRandom().randrange(20_000, max(first, 30_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Program:
    """
    One process, ended when the interpreter ends at the latest.

    :ivar output: all that it wrote so far.
    """

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> None:
        """
        Start it.

        :param environ: what is added to the environment of this process.
        :param folder: its working directory.
        """
        self.output = ""
        self._ended = False
        self._more = Condition()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        atexit.register(self.stop)

    def says(self, pattern: str) -> re.Match[str]:
        """
        Wait until it has written what a pattern matches.

        :raises AssertionError: if it ends without, or takes too long.
        """
        with self._more:
            self._more.wait_for(
                lambda: self._ended or re.search(pattern, self.output), SECONDS
            )
            match = re.search(pattern, self.output)
        assert match is not None, f"it did not say {pattern}:\n{self.output}"
        return match

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def signal(self, name: str) -> None:
        """Send a signal, e.g. ``STOP``."""
        self._process.send_signal(signal.Signals[f"SIG{name}"])

    def stop(self) -> None:
        """End it, if it still runs."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self.signal("TERM")
            self.signal("CONT")
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(SECONDS)
        assert not self._reader.is_alive(), f"it left processes behind:\n{self.output}"
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self.output += line
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()
