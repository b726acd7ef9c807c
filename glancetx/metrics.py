# Copyright glancetx contributors. See LICENSE for details.

"""
What the server counts of its work, and how Prometheus reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

__all__ = ["Metrics"]

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Metrics:
    """
    The numbers of one service, in a registry of its own.

    :ivar content_type: of :meth:`text`, for a header.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "glancetx_requests_total",
            "Requests that were answered.",
            ["method", "code"],
            registry=registry,
        )
        self._sent = Counter(
            "glancetx_sent_bytes_total",
            "Bytes of images sent to readers.",
            ["layout"],
            registry=registry,
        )
        self._received = Counter(
            "glancetx_received_bytes_total",
            "Bytes of uploads received, kept or not.",
            registry=registry,
        )
        self._parents = Counter(
            "glancetx_parent_bytes_total",
            "Bytes of parents received from other servers.",
            ["origin"],
            registry=registry,
        )
        self._transfers = Gauge(
            "glancetx_transfers", "Requests in flight.", registry=registry
        )
        self._leases = Gauge(
            "glancetx_parent_leases",
            "Parents on other servers, by how it stands with their leases.",
            ["state"],
            registry=registry,
        )
        self._depth = Histogram(
            "glancetx_chain_depth",
            "Images in each chain that was read.",
            buckets=_DEPTHS,
            registry=registry,
        )

    def request(self, method: str, code: int) -> None:
        """A request was answered; methods that nobody knows are counted as one."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, str(code)).inc()

    def sent(self, layout: str, count: int) -> None:
        """So many bytes of a layout went to a reader."""
        self._sent.labels(layout).inc(count)

    def received(self, count: int) -> None:
        """So many bytes of an upload came."""
        self._received.inc(count)

    def parent(self, origin: str, count: int) -> None:
        """So many bytes of a parent came from the origin of this name."""
        self._parents.labels(origin).inc(count)

    def chain(self, depth: int) -> None:
        """A chain of so many images was opened to be read."""
        self._depth.observe(depth)

    def leases(self, counts: Mapping[str, int]) -> None:
        """So many parents on other servers have leases that stand so."""
        for state, count in counts.items():
            self._leases.labels(state).set(count)

    def watch_transfers(self, count: Callable[[], int]) -> None:
        """Ask this function, whenever the numbers are read, what is in flight."""
        self._transfers.set_function(count)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        text: bytes = generate_latest(self._registry)
        return text
