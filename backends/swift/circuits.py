# Copyright glancetx contributors. See LICENSE for details.

"""
Which of several servers to ask: those that failed are left in peace for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

__all__ = ["Circuits"]

#: So many failures in a row open a circuit, for so many seconds.
FAILURES = 3
OPEN_SECONDS = 15.0


@define
class _Circuit:
    """
    :ivar until: the time of the clock from which one request may try again; ``None``
        while the circuit is closed.
    :ivar trying: that request is under way.
    """

    failures: int = 0
    until: float | None = None
    trying: bool = False


class Circuits:
    """
    What is known of servers, by their URLs.

    A circuit is closed at first. It opens after three failures in a row; then nobody
    is sent there. After a while one request is (the circuit is half open): what
    becomes of it closes the circuit, or keeps it open.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        self._clock = clock
        self._log = log
        self._circuits: dict[str, _Circuit] = {}
        self._turn = -1

    def choose(
        self,
        groups: Sequence[Sequence[str]],
        failed: Sequence[str] = (),
        careful: bool = False,
    ) -> str | None:
        """
        The server to send a request to; :meth:`worked`, :meth:`failed` or
        :meth:`left` must follow.

        :param groups: the servers; those of a group are asked in turn, those of the
            next when no other can be, or all others have failed.
        :param failed: those that failed with the same request, in this order: one that
            did not comes first, then the one that did so the longest ago.
        :param careful: prefer a server that is known to work.
        :returns: ``None`` if the circuits of all are open.
        """
        self._turn += 1
        servers = [one for group in groups for one in self._in_turn(group)]
        closed = [one for one in servers if self._get(one).until is None]
        ready = [one for one in servers if self._ready(one)]
        wanted = [*closed, *ready] if careful else [*ready[:1], *closed]
        if not wanted:
            return None
        order = {server: number for number, server in enumerate(failed)}
        chosen = min(wanted, key=lambda server: order.get(server, -1))
        circuit = self._get(chosen)
        circuit.trying = circuit.until is not None
        return chosen

    def closed(self, server: str) -> bool:
        """Whether requests are sent to a server, as far as it is known."""
        return self._get(server).until is None

    def half_open(self, server: str) -> bool:
        """Whether the request that was sent there is to tell if it works again."""
        return self._get(server).trying

    def worked(self, server: str) -> None:
        """A server answered."""
        circuit = self._get(server)
        if circuit.until is not None:
            self._log.info("{server} answers again", server=server)
        self._circuits[server] = _Circuit()

    def failed(self, server: str, reason: str) -> None:
        """A server gave no answer."""
        circuit = self._get(server)
        circuit.failures += 1
        circuit.trying = False
        if circuit.failures < FAILURES:
            return
        if circuit.until is None:
            self._log.error(
                "{server} is not asked for {seconds:g} seconds: {reason}",
                server=server,
                seconds=OPEN_SECONDS,
                reason=reason,
            )
        circuit.until = self._clock.seconds() + OPEN_SECONDS

    def left(self, server: str) -> None:
        """Nobody waited until a server answered or failed."""
        self._get(server).trying = False

    def _get(self, server: str) -> _Circuit:
        return self._circuits.setdefault(server, _Circuit())

    def _ready(self, server: str) -> bool:
        circuit = self._get(server)
        if circuit.until is None or circuit.trying:
            return False
        return circuit.until <= self._clock.seconds()

    def _in_turn(self, group: Sequence[str]) -> list[str]:
        """A group in the order in which they are to be asked."""
        first = self._turn % max(len(group), 1)
        return [*group[first:], *group[:first]]
