# Copyright glancetx contributors. See LICENSE for details.

"""
The processes of a benchmark: started, asked what they cost, and always ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO

from bench.client import Order, Result

__all__ = [
    "BenchError",
    "Process",
    "Processes",
    "cpu_seconds",
    "free_port",
    "kernel_seconds",
]

START_SECONDS = 30
STOP_SECONDS = 20
POLL = 0.05


class BenchError(Exception):
    """A sentence for a person: why there is nothing to measure."""


def free_port() -> int:
    """A port of loopback that nobody listens to now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process took, all its threads together, in nanoseconds."""
    # The number of another process's clock: clock_getcpuclockid(3), as Linux does it.
    return time.clock_gettime(~pid << 3 | 2)


def kernel_seconds() -> float:
    """
    Seconds of CPU of the kernel's own threads that finish what sockets began.

    Which part of sending they do, and which the sender, is by chance.
    """
    return sum(cpu_seconds(pid) for pid in _kernel_threads())


@cache
def _kernel_threads() -> list[int]:
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            if name.read_text().startswith("ksoftirqd/"):
                found.append(int(name.parent.name))
    return found


class Process:
    """A server under test."""

    def __init__(self, pid: int, log: Path) -> None:
        """:param pid: of the process that does the work."""
        self.pid = pid
        self.log = log

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return cpu_seconds(self.pid)

    def pin(self, cpus: set[int]) -> None:
        """Let it run on these CPUs only, and its threads that are still to come."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cpus)

    def resident(self) -> int:
        """Bytes of memory that are its own now."""
        return self._status("VmRSS")

    def forget_peak(self) -> None:
        """Count the peak from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", "ascii")

    def peak(self) -> int:
        """The most bytes of memory that it had since :meth:`forget_peak`."""
        return self._status("VmHWM")

    def settle(self) -> None:
        """Wait until it has nothing to do."""
        used, quiet = self.cpu(), 0.0
        while quiet < 0.5:
            time.sleep(POLL)
            now = self.cpu()
            quiet = quiet + POLL if now - used < POLL / 50 else 0.0
            used = now

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"the kernel does not tell {name}")


class Processes:
    """Everything that was started; all of it ends with the ``with`` block."""

    def __init__(self, folder: Path) -> None:
        """:param folder: takes the logs."""
        self._folder = folder
        self._client_cpus = os.sched_getaffinity(0)
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            self._end(process)

    def start(self, name: str, command: Sequence[str], port: int) -> Process:
        """
        Start a server, and wait until it listens.

        :raises BenchError: if it does not; the message has the end of its log.
        """
        log = self._folder / f"{name}.log"
        with log.open("w", encoding="utf-8") as written:
            process = self._popen(command, stdout=written, stderr=written)
        limit = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > limit:
                tail = "".join(log.read_text("utf-8").splitlines(True)[-15:])
                raise BenchError(f"{name} did not start: {tail}")
            time.sleep(POLL)
        return Process(process.pid, log)

    @contextmanager
    def apart(self, *servers: Process) -> Iterator[None]:
        """
        Meanwhile clients have the last CPU, and these servers all others.

        Where a scheduler may choose, it puts both on one CPU in some rounds, and they
        take twice the time.
        """
        cpus = os.sched_getaffinity(0)
        if len(cpus) == 1:
            yield
            return
        self._client_cpus = {max(cpus)}
        for server in servers:
            server.pin(cpus - self._client_cpus)
        try:
            yield
        finally:
            self._client_cpus = cpus
            for server in servers:
                server.pin(cpus)

    def order(self, order: Order) -> Result:
        """
        Have a client do something, and wait for it.

        :raises BenchError: if it failed.
        """
        client = self.begin(order)
        try:
            return self.wait(client)
        finally:
            self._end(client)
            self._running.remove(client)

    def begin(self, order: Order) -> subprocess.Popen[str]:
        """Have a client do something meanwhile."""
        client = self._popen(
            [sys.executable, "-P", "-m", "bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.sched_setaffinity(client.pid, self._client_cpus)
        assert client.stdin is not None
        client.stdin.write(json.dumps(asdict(order)))
        client.stdin.close()
        client.stdin = None
        return client

    def wait(self, client: subprocess.Popen[str]) -> Result:
        """What came of a client's work."""
        out, err = client.communicate()
        if client.returncode:
            raise BenchError(f"the client failed: {err.strip().splitlines()[-1:]}")
        return Result(**json.loads(out))

    def end(self, client: subprocess.Popen[str]) -> None:
        """Break a client off."""
        self._end(client)
        self._running.remove(client)

    def _popen(
        self,
        command: Sequence[str],
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C is for the bench, which then ends them all.
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            cwd=self._folder,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
