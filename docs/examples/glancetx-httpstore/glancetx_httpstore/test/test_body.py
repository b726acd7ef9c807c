# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx_httpstore.body``.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from glancetx_httpstore.body import Body


class BodyTests(SynchronousTestCase):
    """``Body``"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.body = Body(self.clock, 5)
        self.body.makeConnection(self.transport)

    def next(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.next())

    def test_back_pressure(self) -> None:
        """
        The connection is paused while nobody wants more.
        """
        self.body.dataReceived(b"abc")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.successResultOf(self.next()), b"abc")
        self.assertEqual(self.transport.producerState, "paused")
        more = self.next()
        self.assertEqual(self.transport.producerState, "producing")
        self.body.dataReceived(b"def")
        self.assertEqual(self.successResultOf(more), b"def")
        self.assertEqual(self.transport.producerState, "paused")

    def test_end(self) -> None:
        """
        What came before the end is handed on before it.
        """
        self.body.dataReceived(b"abc")
        self.body.connectionLost()
        self.assertEqual(self.successResultOf(self.next()), b"abc")
        self.assertEqual(self.successResultOf(self.next()), b"")

    def test_silence(self) -> None:
        """
        A server that is silent for too long is left; time in which nobody wants more
        does not count.
        """
        self.body.dataReceived(b"abc")
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(self.next()), b"abc")
        more = self.next()
        self.clock.advance(4)
        self.assertNoResult(more)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(more), b"")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
