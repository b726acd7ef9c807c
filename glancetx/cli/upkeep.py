# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx scrub`` and ``glancetx db``: work on a server's own files, on its machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import click
from twisted.internet.threads import deferToThread
from twisted.python.threadpool import ThreadPool

from glancetx.catalogue import Catalogue
from glancetx.catalogue.db import check, current, upgrade
from glancetx.config import Config, load
from glancetx.image import Location
from glancetx.library.presence import Presence, lock_folder
from glancetx.library.scrub import Scrubbed
from glancetx.library.scrub import scrub as scrub_stores
from glancetx.outbound import Outbound
from glancetx.parts import compose_stores

from .configured import with_config
from .failures import Failed
from .running import Session
from .settings import Settings, examples, local

__all__ = ["db", "scrub"]

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
        raise Failed(f"there is no catalogue at {config.catalogue_url}")
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
    catalogue = Catalogue(config.catalogue_url, session.reactor)
    outbound = Outbound(session.reactor, config.limits)
    stores = compose_stores(config, session.reactor, threads, outbound)
    presence = Presence(catalogue, lock_folder(catalogue.url), session.reactor)
    await catalogue.start()
    try:
        return await scrub_stores(catalogue, stores, presence)
    finally:
        await catalogue.stop()
        await outbound.stop()


def _place(location: Location) -> dict[str, str]:
    return {"store": location.store, "key": location.key}


@click.group()
def db() -> None:
    """Look after a server's catalogue."""


@db.command("upgrade", epilog=examples("glancetx db upgrade --config glancetx.toml"))
@with_config
@local
def db_upgrade(settings: Settings, path: str | None) -> None:
    """
    Bring the catalogue to the newest revision; a server does this when it starts.
    """
    settings.run(partial(_db, path=path, work=upgrade))


@db.command("current", epilog=examples("glancetx db current --config glancetx.toml"))
@with_config
@local
def db_current(settings: Settings, path: str | None) -> None:
    """Say which revision the catalogue has."""
    settings.run(partial(_db, path=path, work=current))


@db.command("check", epilog=examples("glancetx db check --config glancetx.toml"))
@with_config
@local
def db_check(settings: Settings, path: str | None) -> None:
    """See that the catalogue is sound and of the newest revision."""
    settings.run(partial(_db, path=path, work=_check))


async def _db(
    session: Session, path: str | None, work: Callable[[str], str | None]
) -> None:
    os.umask(PRIVATE)
    config = load(path)
    revision = await deferToThread(work, config.catalogue_url)
    found = {"catalogue": config.catalogue_url, "revision": revision}
    text = f"revision {revision}" if revision else "there is no catalogue yet"
    session.console.result(found, f"{config.catalogue_url}: {text}")


def _check(url: str) -> str | None:
    check(url)
    return current(url)
