# Copyright glancetx contributors. See LICENSE for details.

"""
Consumers for tests: they remember what they are told and do what a test asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from zope.interface import implementer

__all__ = ["RecordingConsumer"]


@implementer(IConsumer)
class RecordingConsumer:
    """
    Remembers what it is told, pauses and leaves when the test says so.

    It is as strict as a request of ``twisted.web``: a second producer is refused with
    ``ValueError``, and one that is told to stop must unregister before it returns,
    since a lost request no longer can. What else a producer did wrong is noted in
    :attr:`broken`; a good one leaves that empty.

    :ivar on_write: called at the end of each :meth:`write`, still inside of it.
    :ivar on_register: called at the end of :meth:`registerProducer`.
    :ivar received: every byte written, in order.
    :ivar writes: the size of each write.
    :ivar producer: who is registered now, or ``None``.
    :ivar registered: for each registration, whether it was a push producer.
    :ivar unregistered: how many times a producer unregistered.
    :ivar surplus: the most bytes that came during one pause.
    :ivar broken: a sentence for each rule that was broken.
    """

    def __init__(
        self,
        on_write: Callable[[RecordingConsumer], None] | None = None,
        on_register: Callable[[RecordingConsumer], None] | None = None,
    ) -> None:
        self.received = bytearray()
        self.writes: list[int] = []
        self.producer: IPushProducer | None = None
        self.registered: list[bool] = []
        self.unregistered = 0
        self.surplus = 0
        self.broken: list[str] = []
        self.on_write = on_write
        self.on_register = on_register
        self._paused = False
        self._left = False
        self._since_pause = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if self.producer is not None:
            raise ValueError("a producer is registered already")
        self.producer = cast(IPushProducer, producer)
        self.registered.append(bool(streaming))
        if self.on_register is not None:
            self.on_register(self)

    def unregisterProducer(self) -> None:
        if self.producer is None:
            self.broken.append("unregistered without having been registered")
        self.producer = None
        self.unregistered += 1

    def write(self, data: bytes) -> None:
        self._note(len(data))
        self.received += data
        self.writes.append(len(data))
        if self.on_write is not None:
            self.on_write(self)
        for awaited in [one for one in self._waiting if one[0] <= len(self.received)]:
            self._waiting.remove(awaited)
            _soon(awaited[1])

    def finish(self) -> None:
        """What no producer may call: more may follow what it wrote."""
        self.broken.append("finished a consumer that is not its own")

    def pause(self) -> None:
        """Have enough for now."""
        if not self._paused:
            self._since_pause = 0
        self._paused = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def resume(self) -> None:
        """Take more."""
        self._paused = False
        if self.producer is not None:
            self.producer.resumeProducing()

    def leave(self) -> None:
        """Take nothing more, ever."""
        self._left = True
        if self.producer is not None:
            self.producer.stopProducing()
        if self.producer is not None:
            self.broken.append("still registered after it was told to stop")

    def reached(self, count: int) -> Deferred[None]:
        """
        Fires once this many bytes were received in all.

        Not within the write that brings them, but a turn of the reactor later: a test
        that waits for it then runs outside of the producer.
        """
        reached: Deferred[None] = Deferred()
        if len(self.received) >= count:
            reached.callback(None)
        else:
            self._waiting.append((count, reached))
        return reached

    def _note(self, count: int) -> None:
        if self.producer is None and not self._left:
            self.broken.append("wrote without being registered")
        if self._left:
            self.broken.append("wrote to a consumer that had left")
        if self._paused:
            self._since_pause += count
            self.surplus = max(self.surplus, self._since_pause)


def _soon(waiting: Deferred[None]) -> None:
    from twisted.internet import reactor  # noqa: PLC0415

    reactor.callLater(0, waiting.callback, None)
