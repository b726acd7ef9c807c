# Copyright glancetx contributors. See LICENSE for details.

"""
What every command is told: which servers, and how to speak.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TextIO, TypeAlias

import click
from attrs import Factory, define, field

from glancetx.client import Server
from glancetx.errors import BadValue
from glancetx.private import read_secret
from glancetx.uris import is_image_id, parse_base

__all__ = [
    "IMAGE",
    "Settings",
    "Work",
    "common",
    "examples",
    "local",
    "pairs",
    "progressing",
    "whole",
]

DEFAULT_SERVER = "http://127.0.0.1:9292"
TOKEN = "GLANCETX_TOKEN"

Decorator: TypeAlias = Callable[[Any], Any]

Work: TypeAlias = Callable[..., Coroutine[Any, Any, None]]
"""What a command does, called with a ``Session``."""


@define
class Settings:
    """
    Where a command looks, and how it speaks.

    :ivar token: shown to the server, and to none of those that are trusted.
    :ivar as_json: results are JSON.
    :ivar progress: show bars; ``None`` shows them on a terminal only.
    :ivar start: runs a command's work to its end.
    """

    start: Callable[[Settings, Work], None]
    server: str = DEFAULT_SERVER
    token: str | None = field(default=None, repr=False)
    trusted: tuple[str, ...] = ()
    as_json: bool = False
    progress: bool | None = None
    out: TextIO = Factory(lambda: sys.stdout)
    err: TextIO = Factory(lambda: sys.stderr)

    @property
    def home(self) -> Server:
        """The server, and what it is shown with each request."""
        headers = {} if self.token is None else {"X-Auth-Token": self.token}
        return Server(self.server, headers)

    def run(self, work: Work) -> None:
        """Do a command's work, to its end."""
        self.start(self, work)


def _settings(ctx: click.Context) -> Settings:
    settings = ctx.find_object(Settings)
    assert settings is not None
    return settings


def _server(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _settings(ctx).server = _checked(value)


def _token_file(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        try:
            _settings(ctx).token = read_secret(value)
        except ValueError as error:
            raise click.BadParameter(f"{value}: {error}") from None


def _token_file_or_variable(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> None:
    token = os.environ.get(TOKEN)
    if token:
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise click.BadParameter(f"${TOKEN} is no token: it must be ASCII")
        _settings(ctx).token = token
    _token_file(ctx, param, value)


def _trust(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    _settings(ctx).trusted += tuple(_checked(one) for one in value)


def _flag(ctx: click.Context, param: click.Parameter, value: bool | None) -> None:
    if value is not None:
        assert param.name is not None
        setattr(_settings(ctx), param.name, value)


def _checked(url: str) -> str:
    try:
        return parse_base(url).url
    except BadValue as error:
        raise click.BadParameter(error.problem) from None


def _server_option(envvar: str | None) -> Decorator:
    """:param envvar: the group alone looks there; else it would beat its option."""
    return click.option(
        "--server",
        metavar="URL",
        envvar=envvar,
        expose_value=False,
        callback=_server,
        help=f"The image server.  [default: $GLANCETX_SERVER, or {DEFAULT_SERVER}]",
    )


def _token_option(callback: Callable[..., None]) -> Decorator:
    """:param callback: the group's one looks into the environment as well."""
    return click.option(
        "--token-file",
        metavar="FILE",
        expose_value=False,
        callback=callback,
        help="A file with a token for --server, and for no other server.  "
        f"[default: ${TOKEN}, which is the token itself]",
    )


_trust_option = click.option(
    "--trust",
    metavar="URL",
    multiple=True,
    expose_value=False,
    callback=_trust,
    help="Another server that may be read from; give it again for more.",
)
_json_option = click.option(
    "--json",
    "as_json",
    flag_value=True,
    default=None,
    type=bool,
    expose_value=False,
    callback=_flag,
    help="Write the result as JSON.",
)


def _progress_option(envvar: str | None) -> Decorator:
    """:param envvar: as in :func:`_server_option`."""
    return click.option(
        "--progress/--no-progress",
        default=None,
        envvar=envvar,
        expose_value=False,
        callback=_flag,
        help="Show how far it is, or do not.  [default: $GLANCETX_PROGRESS, or on a "
        "terminal]",
    )


def whole(group: Any) -> Any:
    """Give the group of all commands their options."""
    server = _server_option("GLANCETX_SERVER")
    token = _token_option(_token_file_or_variable)
    progress = _progress_option("GLANCETX_PROGRESS")
    return _with_options(group, server, token, _trust_option, _json_option, progress)


def common(command: Any) -> Any:
    """Give a command that asks servers its options, and the settings they make."""
    server, token = _server_option(None), _token_option(_token_file)
    more = (_trust_option, _json_option, _progress_option(None))
    return _with_options(click.pass_obj(command), server, token, *more)


def local(command: Any) -> Any:
    """Give a command that asks no server its option, and the settings it makes."""
    return _with_options(click.pass_obj(command), _json_option)


def progressing(command: Any) -> Any:
    """Give a local command that takes long its options, and the settings they make."""
    return _with_options(click.pass_obj(command), _json_option, _progress_option(None))


def _with_options(command: Any, *options: Decorator) -> Any:
    """Give a command options, which its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def examples(*lines: str) -> str:
    """The end of a help text: commands that a person may type."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def pairs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """
    What a repeated option says, as ``KEY=VALUE``.

    :raises BadParameter: if one of them says nothing.
    """
    found = {}
    for one in values:
        key, sign, value = one.partition("=")
        if not key or not sign:
            raise click.BadParameter(f"{one!r}: write it as KEY=VALUE")
        found[key] = value
    return found


class _Image(click.ParamType[str]):
    """An image's id or URI."""

    name = "image"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if not is_image_id(value) and "://" not in value:
            self.fail(f"{value!r} is neither an image's id nor its URI", param, ctx)
        return value


IMAGE = _Image()
