# Copyright glancetx contributors. See LICENSE for details.

"""
What is measured: two servers with images, an nginx with the same bytes, and rounds.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Order, Result, Transfer
from bench.nginx import Nginx, find_nginx, start_nginx
from bench.processes import BenchError, Process, Processes, kernel_seconds
from bench.report import GIB, MIB, Line, Sample, amount
from bench.servers import Server, start_server

__all__ = [
    "Contestants",
    "Findings",
    "Scene",
    "play",
    "prepare",
    "require_room",
    "tell",
]

ROOM = 6
"""Golden images that must fit on the disk at once."""

SNAPSHOT = 16
"""The golden image has so many times the bytes of the snapshot."""

Contestants = Mapping[str, Callable[[], Sample]]


@dataclass
class Findings:
    """What a comparison gives: lines of the table, and sentences below it."""

    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """
    Everything that runs.

    :ivar main: the server with the golden image.
    :ivar zone: the server with the snapshot, whose parent is the golden image.
    :ivar golden: the path of the golden image at ``main``; ``snapshot`` at ``zone``.
    :ivar bytes: a file with the bytes of the golden image.
    """

    folder: Path
    processes: Processes
    rounds: int
    size: int
    main: Server
    zone: Server
    nginx: Nginx
    golden: str
    snapshot: str
    bytes: Path

    def sample(self, server: Process, *transfers: Transfer) -> Sample:
        """Let a client make transfers, and see what they cost a server."""
        return self.measure(server, Order("transfer", list(transfers)))[0]

    def measure(self, server: Process, order: Order) -> tuple[Sample, Result]:
        """The same with what came of it."""
        before = server.cpu() + kernel_seconds()
        result = self.processes.order(order)
        used = server.cpu() + kernel_seconds() - before
        _require_success(result, order)
        return Sample(result.seconds, result.moved, used), result

    def digest(self, transfer: Transfer) -> str:
        """The SHA-256 of what a server sends."""
        order = Order("transfer", [transfer], sha256=True)
        found: str = self.processes.order(order).answers[0]["sha256"]
        return found

    def require_same(self, *transfers: Transfer) -> None:
        """
        Nothing is compared that does not send the same bytes.

        :raises BenchError: if they differ.
        """
        found = {self.digest(transfer) for transfer in transfers}
        if len(found) > 1:
            paths = " and ".join(transfer.path for transfer in transfers)
            raise BenchError(f"{paths} have different bytes")


def play(contestants: Contestants, rounds: int) -> dict[str, list[Sample]]:
    """
    Each contestant once for nothing, then all of them in each round, in any order.

    :returns: what each did, round by round.
    """
    for run in contestants.values():
        run()
    found: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants)
        random.shuffle(order)
        for name in order:
            sample = contestants[name]()
            found[name].append(sample)
            tell(
                f"  round {number + 1}/{rounds}  {name:34}"
                f"{sample.rate:6.2f} GiB/s  {sample.cpu_per_gib:6.3f} CPU s/GiB"
            )
    return found


def tell(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def prepare(processes: Processes, folder: Path, size: int, rounds: int) -> Scene:
    """
    Start the servers and give them their images.

    :param folder: empty, on the disk that is to be measured.
    :param size: bytes of the golden image.
    :raises BenchError: if there is no room, or no nginx.
    """
    find_nginx()
    require_room(folder, size)
    tell(f"preparing a golden image of {amount(size)} in {folder}")
    main = start_server(processes, folder / "global")
    zone = start_server(processes, folder / "zone", main.url)
    golden = _upload_random(main, folder / "golden", size)
    parent = main.url + golden
    snapshot = _upload_random(zone, folder / "snapshot", size // SNAPSHOT, parent)
    piece = main.piece(size)
    nginx = start_nginx(processes, folder / "nginx", piece, parent)
    return Scene(
        folder=folder,
        processes=processes,
        rounds=rounds,
        size=size,
        main=main,
        zone=zone,
        nginx=nginx,
        golden=golden,
        snapshot=snapshot,
        bytes=piece,
    )


def _upload_random(
    server: Server, source: Path, size: int, parent: str | None = None
) -> str:
    with source.open("wb") as file:
        for offset in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - offset)))
    try:
        return server.upload(source, parent)
    finally:
        source.unlink()


def require_room(folder: Path, size: int, copies: int = ROOM) -> None:
    """:raises BenchError: if the disk has none for so many images of this size."""
    free, needed = shutil.disk_usage(folder).free, copies * size
    if free < needed:
        raise BenchError(
            f"{folder} has {amount(free)} free, and {amount(needed)} are needed; "
            "name another folder with --folder, or take --quick"
        )
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total < needed + GIB:
        tell(
            f"this machine has {amount(total)} of memory ({amount(available)} free): "
            "files may not stay in the page cache, and then the disk is measured"
        )


def _require_success(result: Result, order: Order) -> None:
    for answer, transfer in zip(result.answers, order.transfers, strict=True):
        if answer["status"] not in (200, 201, 204, 206):
            raise BenchError(f"{transfer.path} was answered with {answer}")
