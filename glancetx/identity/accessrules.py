# Copyright glancetx contributors. See LICENSE for details.

"""
Access rules: what an application credential is good for, if not for everything.

Keystone keeps them and does not judge by them; each service has to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

__all__ = ["SERVICE", "AccessRule", "allow"]

#: What this server is in the catalogue of services.
SERVICE = "image"

#: No path of this server is longer, and no rule needs more wildcards: what all rules
#: cost together is bounded, whoever wrote them. Beyond, nothing is allowed.
LONGEST_PATH = 2048
MOST_WILDCARDS = 16
MOST_RULES = 128
MOST_PLACES = 65536

_PART = re.compile(r"\*\*|\*|\{[^{}]*\}|[^*{]+|\{")


@frozen
class AccessRule:
    """
    One request that an application credential may be used for.

    :ivar service: the type of the service.
    :ivar path: a pattern: ``*`` and ``{name}`` stand for one part of a path, ``**``
        for anything.
    """

    service: str
    method: str
    path: str


def allow(rules: Iterable[AccessRule], method: str, path: str) -> bool:
    """Whether one of the rules is for a request to this server."""
    mine = [one for one in rules if (one.service, one.method) == (SERVICE, method)]
    if len(mine) > MOST_RULES or len(path) > LONGEST_PATH:
        return False
    matcher = _Matcher(path)
    return any(matcher.fits(rule.path) for rule in mine)


class _Matcher:
    """Compares a path with patterns, until that was work enough."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = MOST_PLACES

    def fits(self, pattern: str) -> bool:
        """
        Whether the path is one of those that a pattern means.

        Like keystonemiddleware's ``_path_matches``, but for a full stop, which means
        only itself here. All places that may be reached are gone through at once:
        nothing is tried again, as a regular expression would.
        """
        parts = _PART.findall(pattern)
        if sum(part[0] in "*{" for part in parts) > MOST_WILDCARDS:
            return False
        reached = {0}
        for number, part in enumerate(parts, start=1):
            if part == "**" and number == len(parts):
                return True
            reached = self._behind(part, reached)
            self._left -= len(reached)
            if not reached or self._left < 0:
                return False
        return len(self._path) in reached

    def _behind(self, part: str, reached: set[int]) -> set[int]:
        """Where one can be behind a part of a pattern."""
        if part == "**":
            return set(range(min(reached), len(self._path) + 1))
        if part == "*" or part.endswith("}") and part.startswith("{"):
            return _behind_segments(self._path, reached)
        starts = self._path.startswith
        return {place + len(part) for place in reached if starts(part, place)}


def _behind_segments(path: str, starts: Iterable[int]) -> set[int]:
    """Where one can be when at least one character, but no slash, was gone past."""
    found: set[int] = set()
    done = -1
    for start in sorted(starts):
        if start >= done:
            slash = path.find("/", start)
            done = len(path) if slash < 0 else slash
            found.update(range(start + 1, done + 1))
    return found
