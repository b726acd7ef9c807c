# Copyright glancetx contributors. See LICENSE for details.

"""
``make bench``: runs the comparisons and prints one table of what came of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.asking import asking
from bench.inspecting import inspecting
from bench.memory import stalled, transfers
from bench.processes import BenchError, Processes
from bench.reading import local_get, stream
from bench.report import GIB, MIB, table
from bench.scene import Findings, Scene, prepare, tell
from bench.swift import swift
from bench.writing import upload

__all__ = ["COMPARISONS", "main"]

COMPARISONS: Mapping[str, Callable[[Scene], Findings]] = {
    "get": local_get,
    "stream": stream,
    "upload": upload,
    "inspect": inspecting,
    "memory": transfers,
    "stalled": stalled,
    "asking": asking,
    "swift": swift,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run what was asked for.

    :returns: the exit status: 0 if all was measured, whether targets are met or not.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda ended_by, _: sys.exit(128 + ended_by))
    begun = time.monotonic()
    try:
        findings = _measure(options)
    except BenchError as problem:
        tell(f"bench: {problem}")
        return 1
    except KeyboardInterrupt:
        tell("bench: broken off")
        return 130
    minutes = (time.monotonic() - begun) / 60
    if options.json:
        print(json.dumps(_document(findings, options), indent=2))
    else:
        print(table(findings.lines))
        for note in findings.notes:
            print("\n" + textwrap.fill(note, 88))
    load = os.getloadavg()[0]
    tell(f"\n{minutes:.1f} minutes; the load of this machine is {load:.1f} now")
    return 0


def _measure(options: argparse.Namespace) -> Findings:
    size, rounds = (256 * MIB, 3) if options.quick else (GIB, 5)
    findings = Findings()
    with (
        tempfile.TemporaryDirectory(
            prefix="glancetx-bench-", dir=options.folder
        ) as folder,
        Processes(Path(folder)) as processes,
    ):
        rounds = options.rounds or rounds
        scene = prepare(processes, Path(folder), size, rounds)
        for name in options.only or COMPARISONS:
            found = COMPARISONS[name](scene)
            findings.lines += found.lines
            findings.notes += found.notes
    return findings


def _document(findings: Findings, options: argparse.Namespace) -> dict[str, object]:
    return {
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "quick": options.quick,
        "lines": [line.as_json() for line in findings.lines],
        "notes": findings.notes,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Compare glancetx with its peers; see docs/benchmarks.md.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="256 MiB instead of 1 GiB, 3 rounds"
    )
    parser.add_argument("--rounds", type=int, help="of each comparison (5)")
    parser.add_argument(
        "--only",
        action="append",
        choices=COMPARISONS,
        metavar="NAME",
        help=f"{', '.join(COMPARISONS)}; may be given again (all)",
    )
    parser.add_argument(
        "--folder", default="/var/tmp", help="on the disk to be measured (/var/tmp)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
