# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx token``: work on a server's file of tokens, on its machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import click
from twisted.internet.threads import deferToThread

from glancetx.config import load
from glancetx.identity.tokenfile import Token, add_token, read_tokens, revoke_token
from glancetx.times import utcnow

from .duration import DURATION
from .failures import Failed
from .running import Session
from .settings import Settings, examples, local
from .words import table

__all__ = ["token"]

RELOAD = (
    "a server that runs reads it when it gets SIGHUP: "
    "systemctl reload glancetx, or kill -HUP PID"
)

F = TypeVar("F", bound=Callable[..., Any])


def _with_file(command: F) -> F:
    """Give a command the file of tokens."""
    path = click.Path(dir_okay=False)
    file = click.option("--file", type=path, help="The file of tokens.")
    config = click.option(
        "--config", type=path, help="Or the server's configuration, which names it."
    )
    return file(config(command))


def _finder(file: str | None, config: str | None) -> Callable[[], str]:
    """
    Finds the file of tokens; raises :class:`Failed` if the configuration names none.

    :raises UsageError: if not exactly one of the options is given.
    """
    if (file is None) == (config is None):
        raise click.UsageError("give either --file or --config")

    def find() -> str:
        found = file or load(config).identity.tokens_file
        if found is None:
            raise Failed(f'{config}: identity.kind is not "tokens"')
        return found

    return find


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that a server knows callers by."""


@token.command(
    "new",
    epilog=examples(
        "glancetx token new alice --project demo --role member --file tokens.toml",
        "glancetx token new zone-a --project zones --role service --expires 90d "
        "--file tokens.toml",
        "glancetx token new root --project ops --role admin --file tokens.toml --json",
    ),
)
@click.argument("user")
@click.option("--project", required=True, help="Whose images are the user's.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    help="admin, member, reader or service, or one of a policy file; "
    "give it again for more.",
)
@click.option(
    "--expires",
    type=DURATION,
    default="365d",
    show_default=True,
    help="How long it is good, e.g. 12h or 90d.",
)
@click.option("--never-expires", is_flag=True, help="It is good until it is revoked.")
@_with_file
@local
def new(
    settings: Settings,
    user: str,
    project: str,
    roles: Sequence[str],
    expires: timedelta,
    never_expires: bool,
    file: str | None,
    config: str | None,
) -> None:
    """
    Make a token for a USER, and show it: this once, for the file does not have it.

    The file is made if it is not there. Run it on the server's machine, as the
    server's user.
    """
    settings.run(
        partial(
            _new,
            user=user,
            project=project,
            roles=tuple(dict.fromkeys(roles)),
            lifetime=None if never_expires else expires,
            find=_finder(file, config),
        )
    )


async def _new(
    session: Session,
    user: str,
    project: str,
    roles: tuple[str, ...],
    lifetime: timedelta | None,
    find: Callable[[], str],
) -> None:
    path = find()
    now = utcnow()
    expires = None if lifetime is None else now + lifetime
    made = await deferToThread(add_token, path, user, project, roles, expires, now)
    found = {"token": made.text, **_fact(made.token), "file": path}
    session.console.result(found, made.text)
    until = f"expires {made.token.expires}" if expires else "never expires"
    session.console.say(f"token {made.token.id} {until}; it is not shown again")
    session.console.say(f"{path} was changed; {RELOAD}")


@token.command(
    "list",
    epilog=examples(
        "glancetx token list --file tokens.toml",
        "glancetx token list --file tokens.toml --json",
    ),
)
@_with_file
@local
def list_tokens(settings: Settings, file: str | None, config: str | None) -> None:
    """List the tokens of the file, by their ids."""
    settings.run(partial(_list, find=_finder(file, config)))


async def _list(session: Session, find: Callable[[], str]) -> None:
    path = find()
    tokens = await deferToThread(read_tokens, path)
    now = utcnow()
    rows = [
        (
            one.id,
            one.user,
            one.project,
            ",".join(one.roles),
            f"{one.created:%Y-%m-%d}",
            _end(one, now),
        )
        for one in tokens.values()
    ]
    heads = ("ID", "USER", "PROJECT", "ROLES", "CREATED", "EXPIRES")
    facts = [_fact(one) for one in tokens.values()]
    session.console.result(facts, table(heads, rows))


def _end(one: Token, now: datetime) -> str:
    if one.expires is None:
        return "never"
    expired = " (expired)" if one.is_expired(now) else ""
    return f"{one.expires:%Y-%m-%d %H:%M}{expired}"


@token.command(
    "revoke", epilog=examples("glancetx token revoke TOKEN_ID --file tokens.toml")
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_with_file
@local
def revoke(
    settings: Settings, ids: Sequence[str], file: str | None, config: str | None
) -> None:
    """Revoke tokens, by the IDs that `glancetx token list` shows."""
    settings.run(partial(_revoke, ids=ids, find=_finder(file, config)))


async def _revoke(
    session: Session, ids: Sequence[str], find: Callable[[], str]
) -> None:
    path = find()
    revoked: list[str] = []
    failed: list[str] = []
    for one in ids:
        try:
            await deferToThread(revoke_token, path, one)
        except KeyError:
            failed.append(f"{path} has no token {one}")
        else:
            revoked.append(one)
    session.console.result({"revoked": revoked, "failed": failed}, "\n".join(revoked))
    if revoked:
        session.console.say(f"{path} was changed; until it is read, they are good")
        session.console.say(RELOAD)
    if failed:
        raise Failed("\n".join(failed))


def _fact(one: Token) -> dict[str, Any]:
    """What may be told of a token."""
    return {
        "id": one.id,
        "user": one.user,
        "project": one.project,
        "roles": list(one.roles),
        "created": one.created.isoformat(),
        "expires": None if one.expires is None else one.expires.isoformat(),
    }
