# Copyright glancetx contributors. See LICENSE for details.

"""
Downloads: a file of our own, and a chain whose parent lies on another server.
"""

from __future__ import annotations

import hashlib
from functools import partial

from bench.client import Transfer
from bench.nginx import PROXIES
from bench.processes import BenchError
from bench.report import MIB, Sample, Target, ratio
from bench.scene import SNAPSHOT, Findings, Scene, play, tell

__all__ = ["local_get", "stream"]

READERS = (1, 4, 16)
RATE = "{:.2f} GiB/s"
COST = "{:.3f} CPU s/GiB"

PEER = "nginx proxy_pass, {} buffers"
DEFAULT = PEER.format("default")
"""The only peer of ``/stream`` with a target; the others just explain."""


def local_get(scene: Scene) -> Findings:
    """A golden image out of its file, to several readers at once."""
    ours = scene.main.get(scene.golden)
    peer = Transfer(scene.nginx.port, "GET", "/golden")
    scene.require_same(ours, peer)
    findings = Findings()
    for readers in READERS:
        tell(f"GET of a local image, {readers} readers")
        contestants = {
            "glancetx": partial(scene.sample, scene.main, *[ours] * readers),
            "nginx sendfile": partial(scene.sample, scene.nginx, *[peer] * readers),
        }
        with scene.processes.apart(scene.main, scene.nginx):
            found = play(contestants, scene.rounds)
        mine, other = found["glancetx"], found["nginx sendfile"]
        name = f"GET, {readers} reader{'s' * (readers > 1)}, nginx sendfile"
        findings.lines += [
            ratio(name, RATE, _rates(mine), _rates(other), Target(">=", 0.9)),
            ratio(f"{name}: CPU", COST, _costs(mine), _costs(other), Target("<=", 1.5)),
        ]
    return findings


def stream(scene: Scene) -> Findings:
    """Snapshot and golden image in one answer, the golden image from its server."""
    ours = scene.zone.get(f"{scene.snapshot}/stream")
    peers = {
        PEER.format(buffers): Transfer(scene.nginx.port, "GET", f"/proxied/{buffers}")
        for buffers in PROXIES
    }
    scene.require_same(scene.main.get(scene.golden), *peers.values())
    _require_chain(scene, ours)
    tell("/stream of a snapshot and its remote parent, verified")
    contestants = {"glancetx": partial(scene.sample, scene.zone, ours)}
    for name, peer in peers.items():
        contestants[name] = partial(scene.sample, scene.nginx, peer)
    found = play(contestants, scene.rounds)
    mine = found.pop("glancetx")
    findings = Findings()
    for peer_name, other in found.items():
        name = f"/stream, {peer_name}"
        wanted = Target(">=", 1.0) if peer_name == DEFAULT else None
        findings.lines += [
            ratio(name, RATE, _rates(mine), _rates(other), wanted),
            ratio(f"{name}: CPU", COST, _costs(mine), _costs(other)),
        ]
    return findings


def _require_chain(scene: Scene, transfer: Transfer) -> None:
    """:raises BenchError: unless the stream is one piece behind the other."""
    digest = hashlib.sha256()
    for piece in (scene.zone.piece(scene.size // SNAPSHOT), scene.bytes):
        with piece.open("rb") as file:
            while block := file.read(MIB):
                digest.update(block)
    if scene.digest(transfer) != digest.hexdigest():
        raise BenchError(f"{transfer.path} is not the snapshot and the golden image")


def _rates(samples: list[Sample]) -> list[float]:
    return [sample.rate for sample in samples]


def _costs(samples: list[Sample]) -> list[float]:
    return [sample.cpu_per_gib for sample in samples]
