# Copyright glancetx contributors. See LICENSE for details.

"""
What it costs to look at the bytes of an upload, against what its MD5 costs.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable

from bench.report import GIB, MIB, Target, ratio
from bench.scene import Findings, Scene, tell
from glancetx.library.formats import Inspection
from glancetx.web.body import BATCH

__all__ = ["inspecting"]

SIZE = 256 * MIB
HEADER = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, GIB)
FIRST = {"raw": bytes(BATCH), "qcow2": HEADER.ljust(BATCH, b"\0")}
SHOWN = "{:.4f} s/GiB"


def inspecting(scene: Scene) -> Findings:
    """Bytes in the batches in which they come, in this process, by its CPU."""
    tell("inspection of uploads")
    findings = Findings()
    rounds = range(scene.rounds)
    md5 = [_cost(hashlib.md5(usedforsecurity=False).update) for _ in rounds]
    for declared, first in FIRST.items():
        ours = [_cost(Inspection(declared, "bare", False).eat, first) for _ in rounds]
        name = f"CPU to inspect {declared}, to make MD5"
        findings.lines.append(ratio(name, SHOWN, ours, md5, Target("<=", 0.02)))
    return findings


def _cost(eat: Callable[[bytes], None], first: bytes = bytes(BATCH)) -> float:
    """Seconds of CPU that handing on a GiB takes."""
    batch = bytes(BATCH)
    began = time.thread_time()
    eat(first)
    for _ in range(SIZE // BATCH - 1):
        eat(batch)
    return (time.thread_time() - began) / (SIZE / GIB)
