# Copyright glancetx contributors. See LICENSE for details.

"""
Other programs in processes of their own, waited for without a reactor.

These outlive a test, which nothing in trial's reactor may.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Condition, Thread

__all__ = ["Program", "interpreter", "missing"]

SECONDS = 60
ROOT = Path(sys.prefix, "real")


def interpreter(name: str) -> str:
    """The Python of a venv that ``tests/real/install-openstack`` made."""
    return str(ROOT / name / "bin" / "python")


def missing(*names: str) -> str | None:
    """Why tests that need these venvs are skipped, or ``None``."""
    lacking = [name for name in names if not (ROOT / name / "installed").is_file()]
    if not lacking:
        return None
    return f"no {' and no '.join(lacking)} in {ROOT}; see tests/real/install-openstack"


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
        self._reader.join()
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
