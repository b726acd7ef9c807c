# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.request} and its producer.
"""

from __future__ import annotations

from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import ReaderGone
from glancetx.web.request import Request

from .wire import Memory, Recorder, get


class ProducerTests(SynchronousTestCase):
    """Who writes an answer as fast as it is taken."""

    def setUp(self) -> None:
        self.requests: list[Request] = []
        self.memory = Memory(self.requests.append)
        self.line = self.memory.connect()
        self.line.send(get())
        self.request = self.requests[0]

    def test_told(self) -> None:
        """
        It is told when the transport is full, and when it has room.
        """
        producer = Recorder()
        self.request.registerProducer(producer, True)
        self.line.channel.pauseProducing()
        self.line.channel.resumeProducing()
        self.request.unregisterProducer()
        self.line.channel.pauseProducing()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_full_already(self) -> None:
        """
        If the transport is full already, it is told so when it registers.
        """
        self.line.channel.pauseProducing()
        producer = Recorder()
        self.request.registerProducer(producer, True)
        self.assertEqual(producer.told, ["pause"])

    def test_refused(self) -> None:
        """
        A pull producer, or a second one, is refused.
        """
        self.assertRaises(ValueError, self.request.registerProducer, Recorder(), False)
        self.request.registerProducer(Recorder(), True)
        self.assertRaises(ValueError, self.request.registerProducer, Recorder(), True)

    def test_reader_gone(self) -> None:
        """
        When the reader has left, it is stopped at once, and may unregister.
        """
        self.line.leave()
        producer = Recorder(self.request.unregisterProducer)
        self.request.registerProducer(producer, True)
        self.assertEqual(producer.told, ["stop"])
        self.request.write(b"abc")
        self.request.finish()

    def test_fails_when_stopped(self) -> None:
        """
        A route that fails because its producer was stopped answers nobody: the
        transport stops producers before it says that it is lost.
        """

        def fail() -> None:
            self.request.unregisterProducer()
            self.request.setResponseCode(500)
            self.request.write(b"an error page")
            self.request.finish()
            with capturedLogs() as events:
                self.request.processingFailed(Failure(ReaderGone()))
            self.assertEqual(events, [])

        self.request.registerProducer(Recorder(fail), True)
        self.line.channel.stopProducing()
        self.line.leave()
        self.assertEqual(self.line.received(), b"")
        self.assertTrue(self.request.was_cut)
