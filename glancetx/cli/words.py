# Copyright glancetx contributors. See LICENSE for details.

"""
Sizes, names and lists as a terminal shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["plain", "size_text", "suffix", "table"]

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
STEP = 1024


def size_text(size: int | None) -> str:
    """A number of bytes for a person: ``1.5 KiB``; ``-`` if it is not known."""
    if size is None:
        return "-"
    if size < STEP:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(UNITS))
    return f"{size / STEP**power:.1f} {UNITS[power - 1]}"


def plain(text: str | None) -> str:
    """
    Text of others that a terminal may show: what would steer it is escaped.

    Nothing, or no text, is ``-``.
    """
    if not text:
        return "-"
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below their heads, in columns; the last one is as wide as it likes."""
    lines = [heads, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([*map(str.ljust, line, widths), line[-1]]).rstrip() for line in lines
    )


def suffix(disk_format: str | None) -> str:
    """The end of a file's name for a format; what a server says may be odd."""
    if disk_format is not None and re.fullmatch(r"[a-z0-9]{1,16}", disk_format):
        return disk_format
    return "bin"
