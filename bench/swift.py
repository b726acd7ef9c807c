# Copyright glancetx contributors. See LICENSE for details.

"""
A store in Swift: transfers through glancetx, and straight to a proxy of the same Swift.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from statistics import median

from bench.client import Order, Transfer
from bench.processes import BenchError, cpu_seconds
from bench.report import MIB, Line, Sample, Target, amount, ratio
from bench.scene import Findings, Scene, play, require_room, tell
from bench.servers import start_server
from tests.real.swift import RealSwift, missing_swift

__all__ = ["swift"]

RATE = "{:.2f} GiB/s"
COST = "{:.2f} CPU s/GiB"
AT_ONCE = 4
"""Downloads, and as many uploads, while memory is watched."""

COPIES = 20
"""Golden images that must fit on the disk: 3 replicas of each upload."""

BOUND = (
    "{name}: Swift takes {swift:.2f} CPU s/GiB and glancetx {ours:.2f} on top, on the "
    "same {cores} cores: once all of them are busy, the ratio is {bound:.2f} at most."
)

OURS = "glancetx"
CURL = "curl"


def swift(scene: Scene) -> Findings:
    """
    An image of the golden image's size, in a Swift on the same disk.

    :raises BenchError: if there is no room.
    """
    reason = missing_swift()
    if reason is None and shutil.which("curl") is None:
        reason = "curl is not installed"
    if reason is not None:
        return Findings(notes=[f"Swift was not compared: {reason}"])
    require_room(scene.folder, scene.size, COPIES)
    tell("starting a Swift")
    cluster = RealSwift(durable=True, parent=scene.folder)
    try:
        return _Comparison(scene, cluster).run()
    finally:
        cluster.remove()


class _Comparison:
    """One server, one proxy, and ``curl`` as the client of both."""

    def __init__(self, scene: Scene, cluster: RealSwift) -> None:
        self._scene = scene
        self._swift = cluster
        folder = scene.folder / "swift-server"
        self._server = start_server(scene.processes, folder, store=cluster.store())
        self._account = f"{cluster.proxies[0]}/v1/AUTH_test"
        self._token = cluster.token()
        cluster.ask("PUT", "/bench")

    def run(self) -> Findings:
        findings = Findings()
        tell("upload of an image to Swift")
        found = self._play(self._upload, self._put)
        _compare(findings, "upload to Swift with digests, curl to a proxy", found)
        image = self._server.upload(self._scene.bytes)
        path = self._manifest()
        self._require_same(image, path)
        tell("GET of an image in Swift")
        url = f"{self._server.url}{image}"
        found = self._play(
            lambda: self._curl(self._server.cpu, url),
            lambda: self._curl_swift(f"/{path}"),
        )
        _compare(findings, "GET from Swift, curl from a proxy", found)
        findings.lines.append(self._memory(image))
        return findings

    def _play(
        self, ours: Callable[[], Sample], peer: Callable[[], Sample]
    ) -> dict[str, list[Sample]]:
        return play({OURS: ours, CURL: peer}, self._scene.rounds)

    def _upload(self) -> Sample:
        sample = self._curl(
            self._server.cpu,
            f"{self._server.url}/images",
            *("-X", "POST", "-T", str(self._scene.bytes)),
            *("-H", "x-image-meta-disk_format: raw"),
            *("-H", "x-image-meta-container_format: bare"),
        )
        (image,) = self._server.show("/images")["images"]
        self._server.remove(f"/images/{image['id']}")
        return sample

    def _put(self) -> Sample:
        sample = self._curl_swift("/bench/object", "-T", str(self._scene.bytes))
        self._swift.ask("DELETE", "/bench/object")
        return sample

    def _curl_swift(self, path: str, *arguments: str) -> Sample:
        token = f"X-Auth-Token: {self._token}"
        url = f"{self._account}{path}"
        return self._curl(self._swift_cpu, url, "-H", token, *arguments)

    def _swift_cpu(self) -> float:
        return sum(map(cpu_seconds, self._swift.pids))

    def _curl(self, cpu: Callable[[], float], url: str, *arguments: str) -> Sample:
        """
        One transfer of the whole image.

        :param cpu: seconds of CPU so far of what is under test.
        :raises BenchError: if it fails.
        """
        common = ("-sSf", "-o", "/dev/null", "-H", "Expect:", "--noproxy", "*")
        used, begun = cpu(), time.monotonic()
        done = subprocess.run(
            ["curl", *common, *arguments, url],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begun
        if done.returncode:
            raise BenchError(f"{url}: {done.stderr.strip()}")
        return Sample(seconds, self._scene.size, cpu() - used)

    def _manifest(self) -> str:
        """What the only image is in Swift."""
        names = [name.split("/") for name in self._swift.names("glancetx-")]
        ((container, key),) = {(name[0], name[1]) for name in names}
        return f"{container}/{key}"

    def _require_same(self, image: str, path: str) -> None:
        port = int(self._swift.proxies[0].rpartition(":")[2])
        headers = {"X-Auth-Token": self._token}
        peer = Transfer(port, "GET", f"/v1/AUTH_test/{path}", headers)
        self._scene.require_same(self._server.get(image), peer)

    def _memory(self, image: str) -> Line:
        """Growth of the server, from after one of each to the peak of several."""
        server = self._server
        tell(f"memory of {AT_ONCE} downloads from and uploads to Swift at once")
        server.settle()
        before = server.resident()
        server.forget_peak()
        jobs = [server.get(image)] * AT_ONCE + [
            server.post(self._scene.bytes)
        ] * AT_ONCE
        sample, result = self._scene.measure(server, Order("transfer", jobs))
        growth = server.peak() - before
        result.answers = result.answers[AT_ONCE:]
        for made in server.made(result):
            server.remove(made)
        tell(
            f"  {amount(before)} before, {amount(growth)} more; {sample.seconds:.0f} s"
        )
        name = f"memory, {AT_ONCE} GET from and {AT_ONCE} uploads to Swift: growth"
        return Line(name, amount(growth), value=growth, target=Target("<", 64 * MIB))


def _compare(findings: Findings, name: str, found: dict[str, list[Sample]]) -> None:
    """Throughput, CPU, and what the CPU allows at most."""
    rates = {who: [one.rate for one in samples] for who, samples in found.items()}
    costs = {who: [one.cpu_per_gib for one in found[who]] for who in found}
    findings.lines += [
        ratio(name, RATE, rates[OURS], rates[CURL], Target(">=", 0.85)),
        ratio(f"{name}: CPU, Swift's own", COST, costs[OURS], costs[CURL]),
    ]
    ours, swift = median(costs[OURS]), median(costs[CURL])
    findings.notes.append(
        BOUND.format(
            name=name,
            swift=swift,
            ours=ours,
            cores=len(os.sched_getaffinity(0)),
            bound=swift / (swift + ours),
        )
    )
