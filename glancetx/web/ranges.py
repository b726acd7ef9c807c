# Copyright glancetx contributors. See LICENSE for details.

"""
Which bytes a ``Range`` header asks for (RFC 9110, 14).
"""

from __future__ import annotations

import re

__all__ = ["UNSATISFIABLE", "parse_ranges"]

SPEC = re.compile(rb"([0-9]{0,19})-([0-9]{0,19})")

UNSATISFIABLE: tuple[tuple[int, int], ...] = ()
"""What :func:`parse_ranges` gives when no range touches the body: a 416."""


def parse_ranges(
    value: bytes, size: int, most: int
) -> tuple[tuple[int, int], ...] | None:
    """
    The ranges of a body of ``size`` bytes, each as ``(start, stop)``.

    Ranges that begin behind the end are left out (RFC 9110, 14.1.2).

    :param most: how many ranges one request may ask for.
    :returns: ``None`` if the header is to be ignored: another unit, malformed, or too
        many ranges (RFC 9110, 14.2).
    """
    unit, equals, rest = value.partition(b"=")
    if not equals or unit.strip().lower() != b"bytes":
        return None
    specs = [spec.strip(b" \t") for spec in rest.split(b",")]
    specs = [spec for spec in specs if spec]
    if not 1 <= len(specs) <= most:
        return None
    found = []
    for spec in specs:
        match = SPEC.fullmatch(spec)
        if match is None or match.group() == b"-":
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        found.append(_range(first, last, size))
    return tuple((start, stop) for start, stop in found if start < stop)


def _range(first: bytes, last: bytes, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    stop = int(last) + 1 if last else size
    return int(first), min(stop, size)
