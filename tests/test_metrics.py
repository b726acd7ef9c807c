# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.metrics}.
"""

from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from glancetx.metrics import Metrics


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """All samples by name and values of labels, in the order of the labels' names."""
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


class MetricsTests(SynchronousTestCase):
    """``Metrics``"""

    def setUp(self) -> None:
        self.metrics = Metrics()

    def value(self, *name: str) -> float | None:
        return read(self.metrics).get(name)

    def test_requests(self) -> None:
        """
        Requests are counted by method and status.
        """
        self.metrics.request("GET", 200)
        self.metrics.request("GET", 200)
        self.metrics.request("PUT", 507)
        self.assertEqual(self.value("glancetx_requests_total", "200", "GET"), 2)
        self.assertEqual(self.value("glancetx_requests_total", "507", "PUT"), 1)

    def test_invented_methods(self) -> None:
        """
        Methods that clients invent do not make more and more numbers.
        """
        for method in ("BREW", "get", 'A"\n'):
            self.metrics.request(method, 405)
        self.assertEqual(self.value("glancetx_requests_total", "405", "other"), 3)

    def test_bytes(self) -> None:
        """
        Bytes are counted by where they went and came from.
        """
        self.metrics.sent("stream", 10)
        self.metrics.sent("stream", 5)
        self.metrics.sent("own", 0)
        self.metrics.received(7)
        self.metrics.parent("global", 3)
        self.assertEqual(self.value("glancetx_sent_bytes_total", "stream"), 15)
        self.assertEqual(self.value("glancetx_sent_bytes_total", "own"), 0)
        self.assertEqual(self.value("glancetx_received_bytes_total"), 7)
        self.assertEqual(self.value("glancetx_parent_bytes_total", "global"), 3)

    def test_transfers(self) -> None:
        """
        What is in flight is asked for when the numbers are read.
        """
        self.assertEqual(self.value("glancetx_transfers"), 0)
        running = ["a", "b"]
        self.metrics.watch_transfers(lambda: len(running))
        self.assertEqual(self.value("glancetx_transfers"), 2)
        running.clear()
        self.assertEqual(self.value("glancetx_transfers"), 0)

    def test_chains(self) -> None:
        """
        Chains are counted by depth, up to the deepest that there can be.
        """
        for depth in (1, 2, 64):
            self.metrics.chain(depth)
        self.assertEqual(self.value("glancetx_chain_depth_bucket", "1.0"), 1)
        self.assertEqual(self.value("glancetx_chain_depth_bucket", "2.0"), 2)
        self.assertEqual(self.value("glancetx_chain_depth_bucket", "64.0"), 3)
        self.assertEqual(self.value("glancetx_chain_depth_count"), 3)

    def test_process(self) -> None:
        """
        Memory and descriptors of the process are among the numbers.
        """
        self.assertGreater(self.value("process_resident_memory_bytes") or 0, 0)
        self.assertGreater(self.value("process_open_fds") or 0, 0)

    def test_apart(self) -> None:
        """
        Two services in one process count apart, and nothing is global.
        """
        other = Metrics()
        other.received(1)
        self.assertEqual(self.value("glancetx_received_bytes_total"), 0)
        names = {family.name for family in REGISTRY.collect()}
        self.assertFalse([name for name in names if name.startswith("glancetx")])

    def test_content_type(self) -> None:
        """
        The text's type is the one that every Prometheus reads.
        """
        self.assertEqual(
            self.metrics.content_type, b"text/plain; version=0.0.4; charset=utf-8"
        )
