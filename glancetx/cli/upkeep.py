# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx scrub``: work on a server's own stores, on its machine.
"""

from __future__ import annotations

import os
from functools import partial

import click
from twisted.internet.threads import deferToThread
from twisted.python.threadpool import ThreadPool

from glancetx.catalogue.db import current
from glancetx.catalogue.engines import shown
from glancetx.config import Config, load
from glancetx.image import Location
from glancetx.library.scrub import Scrubbed
from glancetx.library.scrub import scrub as scrub_stores
from glancetx.outbound import Outbound
from glancetx.parts import compose_catalogue, compose_stores

from .configured import with_config
from .failures import Failed
from .running import Session
from .settings import Settings, examples, local

__all__ = ["scrub"]

PRIVATE = 0o077
THREADS = 4


@click.command(
    epilog=examples(
        "glancetx scrub --config glancetx.toml",
        "glancetx scrub --config glancetx.toml --json",
    )
)
@with_config
@local
def scrub(settings: Settings, path: str | None) -> None:
    """
    Remove bytes that no image has: what killed servers and failed uploads left.

    Run it on the server's machine, as the server's user; the server may run meanwhile.
    What a living process is just writing is kept.
    """
    settings.run(partial(_scrub, path=path))


async def _scrub(session: Session, path: str | None) -> None:
    os.umask(PRIVATE)
    config = load(path)
    if await deferToThread(current, config.catalogue_url) is None:
        raise Failed(f"there is no catalogue at {shown(config.catalogue_url)}")
    threads = ThreadPool(0, THREADS, "glancetx-scrub")
    threads.start()
    try:
        result = await _scrub_stores(session, config, threads)
    finally:
        await deferToThread(threads.stop)
    found = {
        "removed": [_place(one) for one in result.removed],
        "kept": [_place(one) for one in result.kept],
        "failed": [
            {**_place(one.location), "reason": one.reason} for one in result.failed
        ],
    }
    text = ", ".join(f"{len(places)} {word}" for word, places in found.items())
    session.console.result(found, text)
    if result.failed:
        reasons = {one.reason for one in result.failed}
        raise Failed("some could not be removed: " + "; ".join(sorted(reasons)))


async def _scrub_stores(
    session: Session, config: Config, threads: ThreadPool
) -> Scrubbed:
    catalogue, presence = compose_catalogue(config, session.reactor)
    outbound = Outbound(session.reactor, config.limits)
    stores = compose_stores(config, session.reactor, threads, outbound)
    await catalogue.start()
    try:
        return await scrub_stores(catalogue, stores, presence)
    finally:
        await catalogue.stop()
        await outbound.stop()


def _place(location: Location) -> dict[str, str]:
    return {"store": location.store, "key": location.key}
