# Copyright glancetx contributors. See LICENSE for details.

"""
Uploads: with all digests against MD5 alone, and without digests against nginx.
"""

from __future__ import annotations

import os
import sys
import time
from statistics import median

from bench.client import Order, Transfer
from bench.report import GIB, Sample, Target, ratio
from bench.scene import Findings, Scene, play, tell
from bench.servers import Server, start_server

__all__ = ["upload"]

RATE = "{:.2f} GiB/s"

OURS = "glancetx"
UNDIGESTED = "glancetx, no digests"
NGINX = "nginx PUT"
NGINX_SYNCED = "nginx PUT and fsync"
MD5 = "MD5 alone"
SHA256 = "SHA-256 alone"
WRITE = "write and fsync alone"

WHERE = (
    "Where the time of an upload goes, in s/GiB: it takes {took[glancetx]:.2f}. The "
    "server uses {cpu[glancetx]:.2f} of CPU ({cpu[MD5 alone]:.2f} for MD5, "
    "{cpu[SHA-256 alone]:.2f} for SHA-256, {cpu[glancetx, no digests]:.2f} for all "
    "but digests), the client {client:.2f}: with {cores} cores {floor:.2f} at least. "
    "Each digest has one thread, so the {took[MD5 alone]:.2f} of MD5 are a floor too. "
    "To write and synchronise the bytes alone takes {took[write and fsync alone]:.2f}, "
    "to upload them without digests {took[glancetx, no digests]:.2f}."
)


class _Uploads:
    """The contestants; each takes away what it has written."""

    def __init__(self, scene: Scene, undigested: Server) -> None:
        self._scene = scene
        self._undigested = undigested
        self.client_cpu: list[float] = []

    def ours(self) -> Sample:
        return self._upload(self._scene.zone)

    def undigested(self) -> Sample:
        return self._upload(self._undigested)

    def nginx(self) -> Sample:
        return self._put(synced=False)

    def nginx_synced(self) -> Sample:
        return self._put(synced=True)

    def hash(self, algorithm: str) -> Sample:
        order = Order("hash", files=[algorithm, str(self._scene.bytes)])
        result = self._scene.processes.order(order)
        return Sample(result.seconds, result.moved, result.cpu)

    def write(self) -> Sample:
        target = self._scene.folder / "written"
        order = Order("write", files=[str(self._scene.bytes), str(target)])
        result = self._scene.processes.order(order)
        target.unlink()
        return Sample(result.seconds, result.moved, result.cpu)

    def _upload(self, server: Server) -> Sample:
        order = Order("transfer", [server.post(self._scene.bytes)])
        sample, result = self._scene.measure(server, order)
        self.client_cpu.append(result.cpu / (result.moved / GIB))
        for path in server.made(result):
            server.remove(path)
        return sample

    def _put(self, synced: bool) -> Sample:
        nginx = self._scene.nginx
        assert nginx.uploads is not None
        put = Transfer(nginx.port, "PUT", "/uploads/new", body=str(self._scene.bytes))
        sample = self._scene.sample(nginx, put)
        kept = nginx.uploads / "new"
        begun = time.monotonic()
        if synced:
            _sync(kept)
        seconds = sample.seconds + time.monotonic() - begun
        kept.unlink()
        return Sample(seconds, sample.moved, sample.cpu)


def upload(scene: Scene) -> Findings:
    """An image of the golden image's size, into a store on the same disk."""
    command = [sys.executable, "-P", "-m", "bench.undigested"]
    undigested = start_server(
        scene.processes, scene.folder / "undigested", command=command
    )
    uploads = _Uploads(scene, undigested)
    contestants = {
        OURS: uploads.ours,
        UNDIGESTED: uploads.undigested,
        MD5: lambda: uploads.hash("md5"),
        SHA256: lambda: uploads.hash("sha256"),
        WRITE: uploads.write,
    }
    if scene.nginx.uploads is not None:
        contestants[NGINX] = uploads.nginx
        contestants[NGINX_SYNCED] = uploads.nginx_synced
    tell("upload of an image")
    found = play(contestants, scene.rounds)
    findings = Findings()
    rates = {name: [one.rate for one in samples] for name, samples in found.items()}
    name = "upload, MD5 + SHA-256 + fsync, MD5 alone"
    findings.lines.append(ratio(name, RATE, rates[OURS], rates[MD5], Target(">=", 0.5)))
    findings.notes.append(_where_it_goes(found, median(uploads.client_cpu)))
    if scene.nginx.uploads is None:
        findings.notes.append(
            "this nginx was built without its dav module: PUT was not compared; "
            "nginx-core or nginx-extras have it"
        )
        return findings
    for name, peer, target in (
        ("upload, no digests + fsync, nginx PUT", NGINX, Target(">=", 0.9)),
        ("upload, no digests + fsync, nginx PUT + fsync", NGINX_SYNCED, None),
    ):
        line = ratio(name, RATE, rates[UNDIGESTED], rates[peer], target)
        findings.lines.append(line)
    return findings


def _where_it_goes(found: dict[str, list[Sample]], client: float) -> str:
    """What an upload's seconds are made of."""
    took = {
        name: median(one.seconds / (one.moved / GIB) for one in samples)
        for name, samples in found.items()
    }
    cpu = {
        name: median(one.cpu_per_gib for one in samples)
        for name, samples in found.items()
    }
    cores = len(os.sched_getaffinity(0))
    return WHERE.format(
        took=took,
        cpu=cpu,
        client=client,
        cores=cores,
        floor=(cpu[OURS] + client) / cores,
    )


def _sync(path: os.PathLike[str]) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
