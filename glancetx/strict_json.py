# Copyright glancetx contributors. See LICENSE for details.

"""
JSON that others send, read as RFC 8259 has it and not as Python would.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MOST_DIGITS", "loads"]

MOST_DIGITS = 1000


def loads(text: str | bytes) -> Any:
    """
    Read a document. Each key may stand once in an object, and numbers are finite.

    :raises ValueError: with a sentence, if it is no such document.
    :raises RecursionError: if it is nested too deeply.
    """
    return json.loads(
        text,
        object_pairs_hook=_unique,
        parse_constant=_no_constant,
        parse_int=_whole_number,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _whole_number(text: str) -> int:
    """Python reads longer ones only in part, and says so in words for programmers."""
    if len(text) > MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)
