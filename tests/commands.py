# Copyright glancetx contributors. See LICENSE for details.

"""
The command ``glancetx``, run in the test's own process or in one of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from io import StringIO
from typing import Any

import click
from attrs import frozen
from twisted.internet.utils import getProcessOutputAndValue

from glancetx.cli.main import command
from glancetx.cli.running import attempt
from glancetx.cli.settings import Settings, Work

from .servers import reactor

__all__ = ["Outcome", "run_command", "run_process", "script"]


@frozen
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run_command(*arguments: str) -> Outcome:
    """Run ``glancetx`` with these arguments, in this process."""
    works: list[Work] = []
    settings = Settings(
        start=lambda settings, work: works.append(work), out=StringIO(), err=StringIO()
    )
    assert isinstance(settings.out, StringIO) and isinstance(settings.err, StringIO)
    try:
        command.main(arguments, "glancetx", standalone_mode=False, obj=settings)
    except click.ClickException as error:
        error.show(settings.err)
        code = error.exit_code
    else:
        code = await attempt(reactor, settings, works[0])
    return Outcome(code, settings.out.getvalue(), settings.err.getvalue())


def script() -> str:
    """The command that was installed with this interpreter."""
    return os.path.join(os.path.dirname(sys.executable), "glancetx")


async def run_process(
    *line: str, folder: str = ".", environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run a program, which finds ``glancetx`` by its name."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([os.path.dirname(script()), os.environ["PATH"]])
    found = {**os.environ, "PATH": path, "PYTHONPATH": here, **(environment or {})}
    out, err, code = await getProcessOutputAndValue(
        line[0], line[1:], found, os.path.abspath(folder), reactor
    )
    return Outcome(code, out.decode("utf-8"), err.decode("utf-8"))
