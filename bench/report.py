# Copyright glancetx contributors. See LICENSE for details.

"""
Figures: medians, ratios, targets, and the table that says which are met.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = ["GIB", "KIB", "MIB", "Line", "Sample", "Target", "amount", "ratio", "table"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

HEADINGS = ("line", "ours", "peer", "ratio", "lowest - highest", "target", "met")


@dataclass(frozen=True)
class Sample:
    """
    What one contestant did in one round.

    :ivar moved: bytes.
    :ivar cpu: seconds of CPU that the server under test took.
    """

    seconds: float
    moved: int
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """GiB/s."""
        return self.moved / GIB / self.seconds

    @property
    def cpu_per_gib(self) -> float:
        """Seconds of CPU for a GiB."""
        return self.cpu / (self.moved / GIB)


@dataclass(frozen=True)
class Target:
    """
    What a figure should be.

    :ivar sign: ``>=``, ``<=`` or ``<``.
    :ivar bound: a ratio, or bytes where there is no peer.
    """

    sign: str
    bound: float

    def met(self, value: float) -> bool:
        if self.sign == ">=":
            return value >= self.bound
        return value <= self.bound if self.sign == "<=" else value < self.bound


@dataclass(frozen=True)
class Line:
    """
    One line of the table.

    :ivar ours: the median of our rounds, as it is shown; ``peer`` likewise.
    :ivar value: what the target is about: a ratio, or bytes if there is no peer.
    :ivar spread: the least and the greatest ratio of two neighbours in a round.
    :ivar target: ``None`` for a line that only explains.
    """

    name: str
    ours: str
    peer: str = ""
    value: float | None = None
    spread: tuple[float, float] | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """``None`` if there is nothing to meet, or nothing was measured."""
        if self.target is None or self.value is None:
            return None
        return self.target.met(self.value)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}

    def cells(self) -> tuple[str, ...]:
        is_ratio = bool(self.peer) and self.value is not None
        shown = f"{self.value:.2f}" if is_ratio else ""
        spread = "{:.2f} - {:.2f}".format(*self.spread) if self.spread else ""
        return (
            self.name,
            self.ours,
            self.peer,
            shown,
            spread,
            self._target(is_ratio),
            {None: "", True: "yes", False: "NO"}[self.met],
        )

    def _target(self, is_ratio: bool) -> str:
        if self.target is None:
            return ""
        bound = self.target.bound
        return (
            f"{self.target.sign} {bound:g}"
            if is_ratio
            else (f"{self.target.sign} {amount(bound)}")
        )


def ratio(
    name: str,
    shown: str,
    ours: Sequence[float],
    peer: Sequence[float],
    target: Target | None = None,
) -> Line:
    """
    Compare two contestants of the same rounds.

    :param shown: how a median is shown, e.g. ``{:.2f} GiB/s``.
    :param ours: a figure for each round; ``peer`` likewise, round by round.
    :raises ValueError: unless both were in every round.
    """
    pairs = [mine / other for mine, other in zip(ours, peer, strict=True)]
    middle = median(ours), median(peer)
    return Line(
        name,
        shown.format(middle[0]),
        shown.format(middle[1]),
        middle[0] / middle[1],
        (min(pairs), max(pairs)),
        target,
    )


def amount(size: float) -> str:
    """Bytes for a person: ``47.3 MiB``."""
    if abs(size) < MIB:
        return f"{size / KIB:.4g} KiB"
    if abs(size) < GIB:
        return f"{size / MIB:.4g} MiB"
    return f"{size / GIB:.4g} GiB"


def table(lines: Iterable[Line]) -> str:
    """All lines under their headings, in columns."""
    rows = [HEADINGS, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )
