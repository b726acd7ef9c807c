# Copyright glancetx contributors. See LICENSE for details.

"""
The whole of glancetx on one machine, in a few seconds.

Starts a global and a zone server, keeps a golden disk in the one and a running
machine's snapshot in the other, restores the snapshot through the zone's one stream,
and compares the disks. Every step is shown as the command that a person would type.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.request import ProxyHandler, build_opener

HERE = Path(__file__).resolve().parent
MIB = 1024 * 1024
START_SECONDS = 20
STOP_SECONDS = 10
RECORD = 12
"""Bytes before each run of a raw difference: its offset and its length."""


ask = build_opener(ProxyHandler({})).open
"""Asks a server on this machine, whatever proxies the environment names."""


class Failed(Exception):
    """A step did not do what it should."""


def say(text: str) -> None:
    """Say something to whoever watches."""
    print(text, flush=True)


class Shell:
    """
    Types commands into a folder.

    :ivar folder: where they run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = os.path.dirname(sys.executable)
        path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
        self.environment = {**os.environ, "PATH": path, "GLANCETX_PROGRESS": "1"}
        self._bold = "\033[1m%s\033[0m" if sys.stdout.isatty() else "%s"

    def type(self, *words: str) -> str:
        """
        Show a command and run it; what it writes is shown, and returned.

        :raises Failed: if its exit status is not 0.
        """
        self.show(shlex.join(words))
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.stdout:
            say(done.stdout.rstrip())
        if done.returncode != 0:
            raise Failed(f"{words[0]} ended with status {done.returncode}")
        return done.stdout.strip()

    def show(self, line: str) -> None:
        """Show a command."""
        say("\n" + self._bold % f"$ {line}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """
    A server in a process of its own.

    :ivar url: where it listens.
    """

    def __init__(self, name: str, shell: Shell, origin: Server | None = None) -> None:
        """:param origin: the server that it may ask."""
        self.name = name
        self.url = f"http://127.0.0.1:{free_port()}"
        self._shell = shell
        self._log = shell.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        port = self.url.rpartition(":")[2]
        lines = [
            "[server]",
            f'listen = ["tcp:{port}:interface=127.0.0.1"]',
            "[catalogue]",
            f'url = "sqlite:///{name}/catalogue.sqlite"',
            "[stores.main]",
            'backend = "filesystem"',
            f'path = "{name}/pieces"',
        ]
        if origin is not None:
            lines += ["[[origins]]", f'name = "{origin.name}"', f'url = "{origin.url}"']
        (shell.folder / f"{name}.toml").write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Run it meanwhile."""
        words = (
            "twistd",
            "-n",
            "--pidfile=",
            "glancetx",
            "--config",
            f"{self.name}.toml",
        )
        self._shell.show(f"{shlex.join(words)} > {self._log.name} 2>&1 &")
        with open(self._log, "wb") as log:
            # in a session of its own, so that an interrupt reaches us alone
            self._process = subprocess.Popen(
                words,
                cwd=self._shell.folder,
                env=self._shell.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield self
        finally:
            self._stop(self._process)

    def wait(self) -> None:
        """
        Wait until it answers.

        :raises Failed: if it does not.
        """
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with ask(f"{self.url}/healthcheck"):
                    say(f"the {self.name} server is at {self.url}")
                    return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"the {self.name} server did not start:\n{self._log.read_text()}")

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stored(self) -> int:
        """The bytes of the pieces that it keeps."""
        pieces = self._shell.folder / self.name / "pieces"
        return sum(one.stat().st_size for one in pieces.rglob("*") if one.is_file())

    def count(self, metric: str) -> int:
        """What it counted, from its metrics."""
        with ask(f"{self.url}/metrics") as answer:
            return read_metric(answer.read().decode("utf-8"), metric)


def read_metric(text: str, metric: str) -> int:
    """The sum of one metric over all its labels."""
    total = 0.0
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == metric or name.startswith(metric + "{"):
            total += float(value)
    return int(total)


class QemuDisks:
    """Disks as machines have them: qcow2, by qemu."""

    end = "qcow2"

    def __init__(self, shell: Shell, size: int) -> None:
        """:param size: MiB of data in the golden disk."""
        self._shell = shell
        self._third = max(1, size // 3)

    def make_golden(self) -> None:
        """Make ``golden.qcow2``."""
        third = self._third
        virtual = f"{third * 3 * 2 + 32}M"
        self._shell.type(
            "qemu-img", "create", "-q", "-f", "qcow2", "golden.qcow2", virtual
        )
        self._write(
            "golden.qcow2",
            f"write -P 11 0 {third}M",
            f"write -P 12 {third * 2}M {third}M",
            f"write -P 13 {third * 4}M {third}M",
        )

    def make_machine(self) -> None:
        """Make ``machine.qcow2``: a machine that runs on the golden disk."""
        overlay = ("create", "-q", "-f", "qcow2", "-b", "golden.qcow2", "-F", "qcow2")
        self._shell.type("qemu-img", *overlay, "machine.qcow2")
        self._write(
            "machine.qcow2",
            "write -P 21 512k 2M",
            f"write -P 22 {self._third * 2}M 1M",
            f"write -z {self._third * 4}M 1M",
            f"write -P 23 {self._third * 6}M 3M",
        )

    def _write(self, path: str, *commands: str) -> None:
        options = [word for one in commands for word in ("-c", one)]
        self._shell.type("qemu-io", "-f", "qcow2", *options, path)

    def make_snapshot(self) -> None:
        """Make ``snapshot.qcow2``: what differs, without the name of its backing."""
        self._shell.type("cp", "machine.qcow2", "snapshot.qcow2")
        blank = ("rebase", "-u", "-f", "qcow2", "-b", "")
        self._shell.type("qemu-img", *blank, "snapshot.qcow2")

    def compare(self) -> None:
        """:raises Failed: unless the restored disk is the machine's."""
        self._shell.type("qemu-img", "compare", "machine.qcow2", "restored/0.qcow2")


class RawDisks:
    """Disks where there is no qemu: plain bytes, and a difference of our own."""

    end = "raw"

    def __init__(self, shell: Shell, size: int) -> None:
        """:param size: MiB of the golden disk."""
        self._folder = shell.folder
        self._size = size
        say("There is no qemu-img here: raw disks, and a raw difference, must do.")
        say("(apt-get install qemu-utils, for disks as machines have them)")

    def make_golden(self) -> None:
        """Make ``golden.raw``."""
        say(f"\nmaking golden.raw: {self._size} MiB")
        with open(self._folder / "golden.raw", "wb") as disk:
            for _ in range(self._size):
                disk.write(os.urandom(MIB))

    def make_machine(self) -> None:
        """Make ``machine.raw``: the golden disk, written to here and there."""
        say("making machine.raw: a copy of golden.raw, written to at four places")
        shutil.copy(self._folder / "golden.raw", self._folder / "machine.raw")
        with open(self._folder / "machine.raw", "r+b") as disk:
            for quarter in range(4):
                disk.seek(self._size * MIB * quarter // 4)
                disk.write(os.urandom(MIB // 4))

    def make_snapshot(self) -> None:
        """Make ``snapshot.raw``: the places that differ."""
        say("making snapshot.raw: offset, length and bytes of every place that differs")
        machine = self._folder / "machine.raw"
        golden = self._folder / "golden.raw"
        write_difference(machine, golden, self._folder / "snapshot.raw")

    def compare(self) -> None:
        """:raises Failed: unless the restored disk is the machine's."""
        restored = self._folder / "restored"
        say("\nwriting restored/0.raw, the difference, into restored/1.raw, the disk")
        apply_difference(restored / "0.raw", restored / "1.raw")
        machine = (self._folder / "machine.raw").read_bytes()
        if (restored / "1.raw").read_bytes() != machine:
            raise Failed("the disks differ")
        say("Disks are identical.")


def write_difference(disk: Path, base: Path, path: Path, block: int = 65536) -> None:
    """
    Write what differs between two disks of one size.

    :param block: what is compared at once.
    """
    with open(disk, "rb") as above, open(base, "rb") as below, open(path, "wb") as out:
        offset = 0
        while data := above.read(block):
            if below.read(block) != data:
                out.write(offset.to_bytes(8, "big") + len(data).to_bytes(4, "big"))
                out.write(data)
            offset += len(data)


def apply_difference(path: Path, disk: Path) -> None:
    """
    Write a difference into a disk.

    :raises Failed: if it is no difference.
    """
    with open(path, "rb") as difference, open(disk, "r+b") as target:
        while head := difference.read(RECORD):
            length = int.from_bytes(head[8:], "big")
            data = difference.read(length)
            if len(head) < RECORD or len(data) < length:
                raise Failed(f"{path} ends in the middle of a record")
            target.seek(int.from_bytes(head[:8], "big"))
            target.write(data)


def size_text(size: int) -> str:
    """Bytes in MiB."""
    return f"{size / MIB:.1f} MiB"


def run(folder: Path, size: int, raw: bool) -> None:
    """
    Everything, in a folder.

    :param size: MiB of data in the golden disk.
    :param raw: do as if there were no qemu.
    """
    shell = Shell(folder)
    qemu = not raw and shutil.which("qemu-img") and shutil.which("qemu-io")
    world = Server("global", shell)
    zone = Server("zone", shell, world)
    say("Two servers, on one machine; the zone may ask the global one:")
    shell.type("tail", "-n", "3", "zone.toml")
    with world.running(), zone.running():
        disks = QemuDisks(shell, size) if qemu else RawDisks(shell, size)
        disks.make_golden()
        disks.make_machine()
        for server in (world, zone):
            server.wait()

        say("\nThe golden image goes to the global server, for all zones.")
        golden = shell.type(
            *("glancetx", "upload", f"golden.{disks.end}", "--public"),
            *("--server", world.url),
        )
        say("\nA snapshot of the machine is only what differs; it stays in its zone.")
        disks.make_snapshot()
        snapshot = shell.type(
            *("glancetx", "upload", f"snapshot.{disks.end}", "--parent", golden),
            *("--server", zone.url),
        )
        shell.type("glancetx", "chain", snapshot, "--server", zone.url)

        say("\nTo restore it, only the zone is asked: both pieces come in one stream.")
        shell.type("glancetx", "restore", snapshot, "restored", "--server", zone.url)
        disks.compare()
        report(world, zone)


def report(world: Server, zone: Server) -> None:
    """Say how many bytes lie where, and how far they went."""
    stream = zone.count("glancetx_sent_bytes_total")
    across = zone.count("glancetx_parent_bytes_total")
    golden, snapshot = world.stored(), zone.stored()
    lines = [
        ("stored by the global server", golden, "the golden image, once"),
        ("stored in the zone", snapshot, f"{snapshot / golden:.0%} of it"),
        ("sent to whoever restored", stream, "snapshot and golden image, one stream"),
        ("sent by the global server", across, "straight through the zone, not kept"),
    ]
    say("")
    for what, size, note in lines:
        say(f"{what:<28} {size_text(size):>10}   {note}")


def install_qemu() -> None:
    """Install qemu's tools where they are missing and we may; else say how."""
    installer = HERE.parent / "tests" / "real" / "install"
    if shutil.which("qemu-img") is None and installer.exists():
        subprocess.run([str(installer), "qemu-utils"], check=False)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave all files there")
    parser.add_argument("--raw", action="store_true", help="as if there were no qemu")
    parser.add_argument(
        "--size", type=int, default=112, help="MiB of data in the golden disk"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="glancetx-demo-"))
        if not options.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            if not options.raw:
                install_qemu()
                began = time.monotonic()
            run(folder, options.size, options.raw)
        except (Failed, OSError) as problem:
            say(f"\nThe demonstration failed: {problem}")
            return 1
        except KeyboardInterrupt:
            say("\nInterrupted; both servers were stopped.")
            return 130
    say(f"\nDone in {time.monotonic() - began:.0f} s; both servers were stopped.")
    if options.keep:
        say(f"Everything is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
