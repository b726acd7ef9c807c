# Copyright glancetx contributors. See LICENSE for details.

"""
How a command speaks: results on the one stream, everything else on the other.
"""

from __future__ import annotations

import json
from typing import Any

from tqdm import tqdm

from .settings import Settings

__all__ = ["Console"]

tqdm.monitor_interval = 0  # no thread that watches the bars


class Console:
    """Writes for a person or for a program."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def as_json(self) -> bool:
        """Whether a program reads."""
        return self._settings.as_json

    def result(self, value: Any, text: str) -> None:
        """What was asked for: as JSON, or as text."""
        if self.as_json:
            text = json.dumps(value, indent=2, ensure_ascii=False)
        self._settings.out.write(text + "\n")
        self._settings.out.flush()

    def say(self, text: str) -> None:
        """What a person may want to know besides."""
        tqdm.write(text, file=self._settings.err)
        self._settings.err.flush()

    def bar(
        self, what: str, total: int | None, done: int = 0, unit: str = "B"
    ) -> tqdm[Any]:
        """
        How far something is, in bytes or what else; use it as a context manager.

        :param total: ``None`` if only the end will tell.
        """
        progress = self._settings.progress
        return tqdm(
            desc=what,
            total=total,
            initial=done,
            unit=unit,
            unit_scale=unit == "B",
            unit_divisor=1024,
            dynamic_ncols=True,
            file=self._settings.err,
            disable=None if progress is None else not progress,
        )
