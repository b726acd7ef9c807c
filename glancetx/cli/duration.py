# Copyright glancetx contributors. See LICENSE for details.

"""
How long something is good, as a person types it.
"""

from __future__ import annotations

import re
from datetime import timedelta

import click

__all__ = ["DURATION"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TEXT = re.compile(r"([1-9][0-9]{0,4})([smhd])")


class _Duration(click.ParamType[timedelta]):
    """A number and a unit: ``30m``, ``1h``, ``90d``."""

    name = "duration"

    def convert(
        self,
        value: str | timedelta,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _TEXT.fullmatch(value)
        if match is None:
            self.fail(f"{value!r}: write it as 30m, 1h or 90d", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


DURATION = _Duration()
