# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx check``: whether a store keeps the rules for all backends.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import click
from attrs import asdict
from twisted.internet.threads import deferToThread
from twisted.python.threadpool import ThreadPool

from glancetx.config import Config, StoreConfig, load
from glancetx.errors import GlancetxError
from glancetx.outbound import Outbound
from glancetx.parts import store_tools
from glancetx.stores import make_backend
from glancetx.testing.checking import FAILED, PARTS, PASSED, SKIPPED, Check, Verdict

from .configured import with_config
from .failures import Failed
from .running import Session
from .settings import Settings, examples, local
from .words import plain

__all__ = ["check"]

PRIVATE = 0o077
THREADS = 4


@click.command(
    epilog=examples(
        "glancetx check main --config glancetx.toml",
        "glancetx check main --config glancetx.toml --part writing --json",
    )
)
@click.argument("store")
@click.option(
    "--part",
    "parts",
    type=click.Choice(list(PARTS)),
    multiple=True,
    help="Only this part of the suite; give it again for more.",
)
@with_config
@local
def check(
    settings: Settings, store: str, parts: tuple[str, ...], path: str | None
) -> None:
    """
    See that a configured STORE does what is asked of every backend.

    Runs the suite that backends are tested with: some hundred tests, each with pieces
    of a few MiB under keys of its own, which it removes. Images are not touched, and
    the server may run meanwhile. What only a test of the backend's author can see is
    skipped: what is left behind, what happens when its storage fails.

    Run it on the server's machine, as the server's user. The exit status is 1 if a
    test failed, or something could not be removed.
    """
    settings.run(partial(_check, store=store, parts=parts or tuple(PARTS), path=path))


async def _check(
    session: Session, store: str, parts: Sequence[str], path: str | None
) -> None:
    os.umask(PRIVATE)
    config = load(path)
    table = _find(config, store)
    threads = ThreadPool(0, THREADS, "glancetx-check")
    threads.start()
    outbound = Outbound(session.reactor, config.limits)
    tools = store_tools(session.reactor, threads, outbound)(store)
    make = partial(make_backend, table, config.source, config.folder, tools)
    try:
        await _run(session, table, Check(make, session.reactor), parts)
    finally:
        await outbound.stop()
        await deferToThread(threads.stop)


async def _run(
    session: Session, table: StoreConfig, check: Check, parts: Sequence[str]
) -> None:
    try:
        verdicts = await _collect(session, table, check, parts)
    finally:
        await check.sweep()
    session.console.result(
        _as_json(table, check, verdicts), _as_text(table, check, verdicts)
    )
    failed = [one for one in verdicts if one.outcome == FAILED]
    if failed:
        raise Failed(f"{len(failed)} of {len(verdicts)} tests failed")
    if check.left:
        raise Failed("pieces of the tests could not be removed")


async def _collect(
    session: Session, table: StoreConfig, check: Check, parts: Sequence[str]
) -> list[Verdict]:
    try:
        await check.probe()
    except GlancetxError as error:
        raise Failed(f"store {table.name} cannot be checked: {error}") from error
    verdicts = []
    count = len(list(check.tests(parts)))
    bar = session.console.bar(f"check {table.name}", count, unit="test")
    with bar, _quiet():
        async with aclosing(check.run(parts)) as running:
            async for verdict in running:
                verdicts.append(verdict)
                bar.update()
    return verdicts


@contextmanager
def _quiet() -> Iterator[None]:
    """
    Say nothing of the readers and writers that failed tests leave half-way, when they
    are collected.
    """
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = told


def _find(config: Config, name: str) -> StoreConfig:
    for table in config.stores:
        if table.name == name:
            return table
    names = ", ".join(table.name for table in config.stores)
    raise Failed(f"no store {name!r} in {config.source}, but {names}")


def _as_json(
    table: StoreConfig, check: Check, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    counts = {
        outcome: sum(one.outcome == outcome for one in verdicts)
        for outcome in (PASSED, FAILED, SKIPPED)
    }
    return {
        "store": table.name,
        "backend": table.backend,
        **counts,
        "left": check.left,
        "tests": [asdict(one) for one in verdicts],
    }


def _as_text(table: StoreConfig, check: Check, verdicts: Sequence[Verdict]) -> str:
    lines = [f"store {table.name}, backend {table.backend}"]
    for part in PARTS:
        outcomes = [one.outcome for one in verdicts if one.part == part]
        counts = [
            f"{outcomes.count(outcome)} {outcome}"
            for outcome in (PASSED, FAILED, SKIPPED)
            if outcome in outcomes
        ]
        if counts:
            lines.append(f"{part:<10} {', '.join(counts)}")
    for one in verdicts:
        if one.outcome == FAILED:
            lines += [f"{one.test} failed", f"  rule: {one.rule}"]
            lines += [f"  {plain(line)}" for line in one.reason.splitlines()]
    for key, reason in check.left.items():
        lines.append(f"could not be removed: the piece {key}: {plain(reason)}")
    return "\n".join(lines)
