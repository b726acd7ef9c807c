# Copyright glancetx contributors. See LICENSE for details.

"""
Small requests: one record, and a page of records, out of small and large catalogues.
"""

from __future__ import annotations

import random
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit
from uuid import uuid4

from bench.catalogues import fill
from bench.client import Order, Transfer
from bench.processes import Process, free_port
from bench.report import Target, ratio
from bench.scene import Findings, Scene, tell
from bench.servers import Server, start_server

__all__ = ["asking"]

CONNECTIONS = 16
SECONDS = 2.0
FEW, MANY = 100, 100_000
RATE = "{:.0f}/s"


def asking(scene: Scene) -> Findings:
    """Requests by the Image API v2, against a bare Klein route of the same bytes."""
    tell(f"small requests, with catalogues of {FEW} and of {MANY} images")
    few = _start(scene, "few", FEW)
    many = _start(scene, "many", MANY)
    one = f"/v2/images/{few[1]}"
    page = "/v2/images?limit=100"
    found = {
        one: _rates(scene, one, {"few": few[0]}),
        page: _rates(scene, page, {"few": few[0], "many": many[0]}),
    }
    rates, pages = found[one], found[page]
    findings = Findings()
    findings.lines += [
        ratio(
            "GET /v2/images/ID, bare Klein",
            RATE,
            rates["few"],
            rates["klein"],
            Target(">=", 0.25),
        ),
        ratio(f"page of 100 of {FEW}, bare Klein", RATE, pages["few"], pages["klein"]),
        ratio(
            f"page of 100 of {MANY}, bare Klein", RATE, pages["many"], pages["klein"]
        ),
        ratio(
            f"page of 100: time with {MANY} images, with {FEW}",
            "{:.1f} ms",
            [1000 / rate for rate in pages["many"]],
            [1000 / rate for rate in pages["few"]],
            Target("<=", 1.5),
        ),
    ]
    return findings


def _start(scene: Scene, name: str, count: int) -> tuple[Server, str]:
    """A server with so many images, and the id of one of them."""
    folder = scene.folder / name
    image_id = str(uuid4())
    fill(folder, count, image_id)
    return start_server(scene.processes, folder), image_id


def _rates(
    scene: Scene, path: str, servers: Mapping[str, Server]
) -> dict[str, list[float]]:
    """Answers a second of servers, and of a bare route with the first one's bytes."""
    ports = {name: server.port for name, server in servers.items()}
    processes: list[Process] = list(servers.values())
    body = scene.folder / "answer"
    with urllib.request.urlopen(f"{next(iter(servers.values())).url}{path}") as answer:
        body.write_bytes(answer.read())
    ports["klein"] = free_port()
    processes.append(_start_klein(scene, ports["klein"], body))
    found: dict[str, list[float]] = {name: [] for name in ports}
    with scene.processes.apart(*processes):
        for number in range(scene.rounds + 1):
            for name in random.sample(sorted(ports), len(ports)):
                rate = _rate(scene, ports[name], path)
                if number:  # the first is for nothing
                    found[name].append(rate)
    for name, rates in found.items():
        tell(f"  {urlsplit(path).path:50.50} {name:6} {median(rates):8.0f}/s")
    return found


def _start_klein(scene: Scene, port: int, body: Path) -> Process:
    command = [sys.executable, "-P", "-m", "bench.bare", str(port), str(body)]
    return scene.processes.start(f"klein-{port}", command, port)


def _rate(scene: Scene, port: int, path: str) -> float:
    transfers = [Transfer(port, "GET", path)] * CONNECTIONS
    result = scene.processes.order(Order("repeat", transfers, seconds=SECONDS))
    answers = result.answers
    return float(sum(one["count"] for one in answers) / answers[0]["seconds"])
