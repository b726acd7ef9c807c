# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.calls`: requests that bring bytes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.testing import StringTransport
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from glancetx.backends.swift.calls import Response
from glancetx.errors import ReaderGone

from .swift_calls_case import CallsCase


@implementer(IBodyProducer)
class Body:
    """
    A body that a test sends.

    :ivar calls: what it was told.
    """

    length = 4

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.calls.append("start")
        return self.sent

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class BodyTests(CallsCase):
    """Requests that bring bytes"""

    def setUp(self) -> None:
        super().setUp()
        self.bodies: list[Body] = []

    def body(self) -> Body:
        self.bodies.append(Body())
        return self.bodies[-1]

    def put(self, **more: Any) -> Deferred[Response]:
        return self.request(b"PUT", body=self.body, **more)

    def start(self) -> Any:
        """The request is being sent."""
        sending: Any = self.last.body
        sending.startProducing(StringTransport())
        return sending

    def test_again(self) -> None:
        """
        What can be made again is sent again.
        """
        d = self.put()
        self.assertEqual(self.last.body.length, 4)  # type: ignore[union-attr]
        self.start()
        self.last.fail()
        self.clock.advance(1)
        self.start()
        self.last.answer(201)
        self.successResultOf(d)
        self.assertEqual(len(self.bodies), 2)

    def test_not_again(self) -> None:
        """
        What cannot be made again is not tried again once it has begun.
        """
        for trouble in ("lost", "503", "401"):
            self.make()
            d = self.put(replayable=False)
            self.start()
            if trouble == "lost":
                self.last.fail()
            else:
                self.last.answer(int(trouble))
            self.unavailable(d)
            self.assertEqual(len(self.agent.asked), 1)

    def test_not_begun(self) -> None:
        """
        A proxy that is not there takes nothing of it: the next one gets all.
        """
        d = self.put(replayable=False)
        self.last.fail()
        self.clock.advance(1)
        self.start()
        self.last.answer(201)
        self.successResultOf(d)
        self.assertEqual(len(self.bodies), 1)

    def test_asked_whether(self) -> None:
        """
        Whether it can be made again may change while it is sent.
        """
        kept = [True, False]
        d = self.put(replayable=lambda: kept.pop(0))
        for _ in range(2):
            self.start()
            self.last.fail()
            self.clock.advance(1)
        self.unavailable(d)
        self.assertEqual(len(self.agent.asked), 2)

    def test_slow_source(self) -> None:
        """
        A source that is slow is not the proxy's silence.
        """
        d = self.put()
        sending = self.start()
        self.clock.advance(1000)
        self.assertNoResult(d)
        self.assertFalse(self.last.cancelled)
        sending.pauseProducing()
        sending.resumeProducing()
        self.clock.advance(1000)
        self.bodies[0].sent.callback(None)
        self.clock.advance(29)
        self.last.answer(201)
        self.successResultOf(d)
        self.assertEqual(self.bodies[0].calls, ["start", "pause", "resume"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_proxy(self) -> None:
        """
        A proxy that takes nothing for 30 seconds, or does not answer, is given up.
        """
        for all_sent in (False, True):
            self.make()
            self.put().addErrback(lambda _: None)
            asked, sending = self.last, self.start()
            if all_sent:
                self.bodies[-1].sent.callback(None)
            else:
                sending.pauseProducing()
            self.clock.advance(30)
            self.assertTrue(asked.cancelled)

    def test_early_answer(self) -> None:
        """
        What a body does after the answer came starts no timer.
        """
        d = self.put()
        sending = self.start()
        self.last.answer(201)
        self.successResultOf(d)
        sending.pauseProducing()
        sending.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late_stop(self) -> None:
        """
        A try that is over does not stop the body of the next.
        """
        self.put()
        first = self.start()
        self.last.fail()
        self.clock.advance(1)
        self.start()
        first.stopProducing()
        self.assertEqual(self.bodies[0].calls, ["start", "stop"])
        self.assertEqual(self.bodies[1].calls, ["start"])

    def test_body_fails(self) -> None:
        """
        If the body itself fails, its error is the caller's, and the proxy is not to
        blame.
        """
        for _ in range(4):
            d = self.put()
            self.last.fail(ReaderGone())
            self.failureResultOf(d, ReaderGone)

    def test_done_at_once(self) -> None:
        """
        A body may be sent at once.
        """
        d = self.put()
        self.bodies[0].sent = succeed(None)
        self.start()
        self.clock.advance(29)
        self.last.answer(201)
        self.successResultOf(d)
