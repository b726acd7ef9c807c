# Copyright glancetx contributors. See LICENSE for details.

"""
Memory: what many slow transfers at once cost, and a reader that stopped reading.
"""

from __future__ import annotations

import subprocess
import time

from bench.client import Order, Transfer
from bench.report import KIB, MIB, Line, Target, amount
from bench.scene import Findings, Scene, tell
from bench.servers import Server

__all__ = ["stalled", "transfers"]

READERS = 16
UPLOADS = 4
RATE = 20_000_000
"""Bytes/s of a slow reader."""

FIRST = 20
"""Stalled readers before those that are counted: they pay for what is shared."""

STALLED = 100


def transfers(scene: Scene) -> Findings:
    """Slow readers of a chain with a remote parent, and uploads, all at once."""
    zone = scene.zone
    path = f"{scene.snapshot}/stream"
    tell(f"memory of {READERS} slow readers and {UPLOADS} uploads at once")
    zone.remove(zone.upload(scene.bytes))
    scene.sample(zone, zone.get(path))
    zone.settle()
    before = zone.resident()
    zone.forget_peak()
    jobs = [zone.get(path, RATE)] * READERS + [zone.post(scene.bytes)] * UPLOADS
    sample, result = scene.measure(zone, Order("transfer", jobs))
    growth = zone.peak() - before
    result.answers = result.answers[READERS:]
    for made in zone.made(result):
        zone.remove(made)
    tell(f"  {amount(before)} before, {amount(growth)} more; {sample.seconds:.0f} s")
    name = f"memory, {READERS} slow readers and {UPLOADS} uploads: growth"
    line = Line(name, amount(growth), value=growth, target=Target("<", 48 * MIB))
    return Findings([line])


def stalled(scene: Scene) -> Findings:
    """Readers that send a request and then read nothing of the answer."""
    remote = scene.zone.get(
        f"{scene.snapshot}/stream",
        rate=0,
        Range=f"bytes={scene.size // 8}-",
    )
    target = Target("<", 64 * KIB)
    kinds: list[tuple[str, Server, Transfer, Target | None]] = [
        ("a local piece", scene.main, scene.main.get(scene.golden, rate=0), target),
        ("a remote parent", scene.zone, remote, None),
    ]
    findings = Findings()
    for kind, server, transfer, wanted in kinds:
        tell(f"memory of {STALLED} readers of {kind} that read nothing")
        cost = _cost_of_stalled(scene, server, transfer)
        name = f"memory, a reader that stopped reading {kind}"
        line = Line(name, amount(cost), value=cost, target=wanted)
        findings.lines.append(line)
    return findings


def _cost_of_stalled(scene: Scene, server: Server, transfer: Transfer) -> float:
    first = _hold(scene, transfer, FIRST)
    server.settle()
    before = server.resident()
    second = _hold(scene, transfer, STALLED)
    server.settle()
    cost = (server.resident() - before) / STALLED
    for client in (second, first):
        scene.processes.end(client)
    server.settle()
    return cost


def _hold(scene: Scene, transfer: Transfer, count: int) -> subprocess.Popen[str]:
    client = scene.processes.begin(Order("transfer", [transfer] * count))
    time.sleep(1)  # the client is a new interpreter, which has yet to connect
    return client
