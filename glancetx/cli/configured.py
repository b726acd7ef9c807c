# Copyright glancetx contributors. See LICENSE for details.

"""
What commands have in common that work with a server's configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["with_config"]

F = TypeVar("F", bound=Callable[..., Any])


def with_config(command: F) -> F:
    """Give a command the server's configuration, as ``path``."""
    return click.option(
        "--config",
        "path",
        type=click.Path(dir_okay=False),
        help="The server's configuration.  [default: the embedded one, which keeps "
        "everything in ./glancetx-data]",
    )(command)
