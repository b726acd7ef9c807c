# Copyright glancetx contributors. See LICENSE for details.

"""
What tests of remote pieces share: a server that answers when the test says so.
"""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IResponse

from glancetx.image import Digest
from glancetx.streaming.digest import Digests
from glancetx.streaming.relay import RemotePiece
from glancetx.streaming.verify import Check
from glancetx.testing.consumers import RecordingConsumer

from .responses import FakeResponse
from .threads import ManualThreads, ThreadClock

__all__ = ["DATA", "ETAG", "IDLE", "RelayTestCase", "sha256"]

DATA = bytes(range(100))
ETAG = '"sha256-11"'
IDLE = 30


def sha256(data: bytes) -> Digest:
    """The digest of some bytes."""
    return Digest("sha256", hashlib.sha256(data).hexdigest())


class RelayTestCase(SynchronousTestCase):
    """
    Reads one remote piece.

    :ivar asked: the ranges that were asked for.
    :ivar pending: what each asker waits for.
    """

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.threads = ManualThreads(eager=True)
        self.asked: list[tuple[int, int]] = []
        self.pending: list[Deferred[IResponse]] = []
        self.abandoned = 0
        self.responses: list[FakeResponse] = []
        self.consumer = RecordingConsumer()
        self.seen: list[int] = []

    def tearDown(self) -> None:
        """Nothing is left, whatever happened."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.consumer.broken, [])
        self.assertIsNone(self.consumer.producer)
        for response in self.responses:
            self.assertTrue(response.closed or response.over)
        self.assertFalse(any(not one.called for one in self.pending))

    def piece(self, data: bytes = DATA, **options: Any) -> RemotePiece:
        options.setdefault("checks", [Check(0, len(data), sha256(data))])
        options.setdefault("etag", ETAG.encode())
        digests = Digests(self.clock, self.threads)
        return RemotePiece(
            "piece",
            len(data),
            self.ask,
            digests,
            self.clock,
            idle_seconds=IDLE,
            seen=self.seen.append,
            **options,
        )

    def ask(self, start: int, stop: int) -> Deferred[IResponse]:
        self.asked.append((start, stop))
        asking: Deferred[IResponse] = Deferred(self.abandon)
        self.pending.append(asking)
        return asking

    def abandon(self, _: Deferred[IResponse]) -> None:
        self.abandoned += 1

    def start(
        self, piece: RemotePiece, start: int = 0, stop: int | None = None
    ) -> Deferred[None]:
        return piece.produce(self.consumer, start, piece.size if stop is None else stop)

    def answer(
        self,
        *chunks: bytes,
        code: int | None = None,
        size: int = len(DATA),
        length: int | None = -1,
        **headers: str,
    ) -> FakeResponse:
        """
        Answer the last request: rightly, but for what the arguments say.

        :param chunks: what of the body has come with the headers.
        """
        start, stop = self.asked[-1]
        whole = (start, stop) == (0, size)
        named = {"ETag": ETAG} | {n.replace("_", "-"): v for n, v in headers.items()}
        if not whole:
            named.setdefault("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        response = FakeResponse(
            code or (200 if whole else 206),
            named,
            stop - start if length == -1 else length,
        )
        response.feed(*chunks)
        self.responses.append(response)
        self.pending[-1].callback(response)
        return response

    def refuse(self) -> None:
        """Let the last request fail to connect."""
        self.pending[-1].errback(ConnectionRefusedError())

    def later(self) -> None:
        """Let the pause before the next request pass."""
        self.clock.advance(IDLE / 3)
