# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx db``: looks after a server's catalogue, on its machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from threading import Event

import click
from attrs import asdict
from twisted.internet.threads import deferToThread

from glancetx.catalogue import Catalogue, Process
from glancetx.catalogue.copying import copy
from glancetx.catalogue.db import check, current, upgrade
from glancetx.catalogue.engines import shown
from glancetx.catalogue.purging import purge
from glancetx.config import load
from glancetx.library.presence import DEAD_SECONDS, Presence
from glancetx.private import read_secret
from glancetx.times import utcnow

from .configured import with_config
from .duration import DURATION
from .failures import Failed
from .running import Session
from .settings import Settings, examples, local, progressing

__all__ = ["db"]

PRIVATE = 0o077


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
    settings.run(partial(_look, path=path, work=upgrade))


@db.command("current", epilog=examples("glancetx db current --config glancetx.toml"))
@with_config
@local
def db_current(settings: Settings, path: str | None) -> None:
    """Say which revision the catalogue has."""
    settings.run(partial(_look, path=path, work=current))


@db.command("check", epilog=examples("glancetx db check --config glancetx.toml"))
@with_config
@local
def db_check(settings: Settings, path: str | None) -> None:
    """See that the catalogue is sound and of the newest revision."""
    settings.run(partial(_look, path=path, work=_checked))


@db.command(
    "purge",
    epilog=examples("glancetx db purge --older-than 90d --config glancetx.toml"),
)
@click.option(
    "--older-than",
    "age",
    type=DURATION,
    required=True,
    help="What has been gone for so long: 30m, 1h or 90d.",
)
@with_config
@local
def db_purge(settings: Settings, path: str | None, age: timedelta) -> None:
    """
    Forget when images were deleted, and servers that are gone.

    The ids of deleted images stay, so that none is given again; and what is known of
    bytes that a scrub has to remove. The server may run meanwhile.
    """
    if age < timedelta(seconds=DEAD_SECONDS):
        problem = f"must be {DEAD_SECONDS}s at least: younger is what lives"
        raise click.BadParameter(problem, param_hint="--older-than")
    settings.run(partial(_purge, path=path, age=age))


@db.command(
    "copy",
    epilog=examples(
        "glancetx db copy sqlite:///glancetx-data/catalogue.sqlite @postgresql-url"
    ),
)
@click.argument("source", metavar="SQLITE-URL")
@click.argument("target", metavar="PG-URL")
@progressing
def db_copy(settings: Settings, source: str, target: str) -> None:
    """
    Copy a catalogue into an empty database, for example from SQLite to PostgreSQL.

    For a URL, @FILE may stand: a file with the URL in one line, which nobody else can
    read. All rows are copied, or none. Stop the servers that use the catalogue first,
    and give them the new URL afterwards.
    """
    settings.run(partial(_copy, source=_url(source), target=_url(target)))


async def _look(
    session: Session, path: str | None, work: Callable[[str], str | None]
) -> None:
    os.umask(PRIVATE)
    url = load(path).catalogue_url
    revision = await deferToThread(work, url)
    text = f"revision {revision}" if revision else "there is no catalogue yet"
    found = {"catalogue": shown(url), "revision": revision}
    session.console.result(found, f"{shown(url)}: {text}")


def _checked(url: str) -> str | None:
    check(url)
    return current(url)


async def _purge(session: Session, path: str | None, age: timedelta) -> None:
    url = load(path).catalogue_url
    purged = await deferToThread(purge, url, utcnow() - age)
    session.console.result(
        {"catalogue": shown(url), **asdict(purged)},
        f"{shown(url)}: {purged.deletions} deletions and {purged.processes} servers "
        "forgotten",
    )


async def _copy(session: Session, source: str, target: str) -> None:
    os.umask(PRIVATE)
    catalogue = Catalogue(source, session.reactor)
    presence = Presence(catalogue, os.curdir, session.reactor)
    stopped = Event()

    def require_unused(processes: Sequence[Process]) -> None:
        for one in processes:
            if not presence.is_dead(one):
                what = f"a server uses {catalogue.place}: stop process {one.pid}"
                if not presence.is_seen(one):
                    what += f" on {one.host}, or wait {DEAD_SECONDS} s if it was killed"
                raise Failed(what)

    with session.console.bar("copying", None, unit=" rows") as bar:

        def show(came: int, total: int) -> None:
            bar.total = total
            bar.update(came - bar.n)

        def tell(came: int, total: int) -> None:
            if stopped.is_set():
                raise Failed("interrupted")
            session.reactor.callFromThread(show, came, total)

        try:
            rows = await deferToThread(copy, source, target, tell, require_unused)
        finally:
            stopped.set()
    session.console.result(
        {"from": shown(source), "to": shown(target), "rows": rows},
        f"{shown(target)}: {rows['images']} images, {sum(rows.values())} rows",
    )


def _url(text: str) -> str:
    """
    :raises BadParameter: if it stands for a file that cannot be used.
    """
    if not text.startswith("@"):
        return text
    try:
        return read_secret(text[1:])
    except ValueError as error:
        raise click.BadParameter(f"{text[1:]}: {error}") from None
