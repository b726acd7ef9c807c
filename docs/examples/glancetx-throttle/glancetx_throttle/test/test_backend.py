# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx_throttle.backend``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from glancetx.errors import ConfigError
from glancetx.stores import Store
from glancetx.testing import (
    BackendTests,
    Fault,
    MemoryBackend,
    RecordingConsumer,
    Shelf,
    Watched,
    inline_tools,
)
from glancetx_throttle.backend import Pace, ThrottledBackend, throttle

KEY = "0123456789abcdef" * 2
CALLS = {"append", "begin", "drop", "find", "keep"}
FAST = 1 << 30


class ThrottleTests(BackendTests, TestCase):
    """``ThrottledBackend``, by the rules for all backends"""

    def setUp(self) -> None:
        self.shelf = Shelf()
        self.fault: Fault | None = None

    def make_backend(self) -> ThrottledBackend:
        shelf: Any = Watched(self.shelf, CALLS, self.told)
        memory: Any = Store("testing", MemoryBackend(shelf, "testing"))
        return ThrottledBackend(memory, Pace(FAST, IReactorTime(reactor)))

    def leftovers(self) -> list[str]:
        return [*self.shelf.pieces, *self.shelf.unfinished]

    def inject(self, fault: Fault) -> bool:
        self.fault = fault
        return True

    def shorten(self, count: int) -> bool:
        for key, data in self.shelf.pieces.items():
            self.shelf.pieces[key] = data[:count]
        return True

    def told(self, name: str, args: object) -> None:
        if self.fault is not None:
            self.fault.check()


class PaceTests(SynchronousTestCase):
    """How long bytes take"""

    def setUp(self) -> None:
        self.clock = Clock()
        memory: Any = Store("testing", MemoryBackend(Shelf(), "testing"))
        self.backend = ThrottledBackend(memory, Pace(1_000_000, self.clock))

    def create(self, key: str) -> Any:
        return self.successResultOf(ensureDeferred(self.backend.create(key, None)))

    def test_writing(self) -> None:
        """
        More bytes are welcome when those before have had their time.
        """
        written = self.create(KEY).write(bytes(500_000))
        self.clock.advance(0.4)
        self.assertNoResult(written)
        self.clock.advance(0.2)
        self.successResultOf(written)

    def test_together(self) -> None:
        """
        Two who write share the pace.
        """
        written = [self.create(key).write(bytes(500_000)) for key in ("1", "2")]
        self.clock.advance(0.6)
        self.successResultOf(written[0])
        self.assertNoResult(written[1])
        self.clock.advance(0.6)
        self.successResultOf(written[1])

    def test_reading(self) -> None:
        """
        A reader gets the bytes at the pace, and all of them.
        """
        writer = self.create(KEY)
        written = writer.write(bytes(1_000_000))
        self.clock.advance(1)
        self.successResultOf(written)
        self.successResultOf(writer.finish())
        consumer = RecordingConsumer()
        piece = self.successResultOf(ensureDeferred(self.backend.piece(KEY, 1_000_000)))
        done = piece.produce(consumer, 0, 1_000_000)
        self.clock.pump([0.01] * 50)
        self.assertTrue(400_000 < len(consumer.received) < 600_000)
        self.clock.pump([0.01] * 60)
        self.successResultOf(done)
        self.assertEqual(len(consumer.received), 1_000_000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_pace(self) -> None:
        """
        A pace of nothing is refused at the start.
        """
        error = self.assertRaises(
            ConfigError,
            throttle.make,
            {"of": self.backend, "bytes_per_second": 0},
            inline_tools(),
        )
        self.assertEqual(error.key, "bytes_per_second")
