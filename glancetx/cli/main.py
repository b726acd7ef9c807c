# Copyright glancetx contributors. See LICENSE for details.

"""
The command and its parts, each loaded when it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from .failures import INTERRUPTED
from .running import run
from .settings import Settings, examples, whole

__all__ = ["command", "main"]

COMMANDS = {
    "upload": "upload:upload",
    "list": "looking:list_images",
    "show": "looking:show",
    "download": "download:download",
    "chain": "looking:chain",
    "restore": "restore:restore",
    "delete": "delete:delete",
    "sign": "sign:sign",
    "token": "token:token",
    "scrub": "upkeep:scrub",
    "backends": "backends:backends",
    "check": "check:check",
    "db": "db:db",
}


class _Commands(click.Group):
    """Finds a command in its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(
            import_module(f".{module}", package=__package__), name
        )
        return found


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "glancetx upload golden.qcow2",
        "glancetx list",
        "glancetx COMMAND --help",
    ),
)
@click.version_option(package_name="glancetx")
@whole
def command() -> None:
    """
    Keep images of virtual machines, and get them back with all that they rest on.

    An IMAGE is named by its id, or by its URI on --server or on a server given with
    --trust.

    The exit status is 0 if all went well; 1 if the server refused or something else
    failed; 2 if the command was not understood; 3 if a server cannot be reached or
    was lost on the way; 4 if bytes are not those that were stored; 130 after an
    interrupt.
    """


def main(args: Sequence[str] | None = None) -> None:
    """The entry point: never returns."""
    try:
        command.main(args, "glancetx", standalone_mode=False, obj=Settings(start=run))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(0)
