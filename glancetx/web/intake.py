# Copyright glancetx contributors. See LICENSE for details.

"""
The connection's side of one body: how it is held back, hurried and given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

from glancetx.errors import BodyLost

from .gate import Deadline, Gate

if TYPE_CHECKING:
    from .channel import Channel
    from .request import Request

__all__ = ["Intake", "RECEIVE"]

RECEIVE = 256 * 1024
"""Bytes received at once while a body arrives."""


class Intake:
    """
    Steers the connection while one body arrives; see :class:`Flow`.

    :ivar broken: the rest of what arrives means nothing.
    """

    def __init__(
        self,
        channel: Channel,
        request: Request,
        gate: Gate,
        deadline: Deadline,
        continues: bool,
    ) -> None:
        """:param continues: the client waits for ``100 Continue``."""
        self.broken = False
        self._channel = channel
        self._request = request
        self._gate = gate
        self._deadline = deadline
        self._limits = channel.site.limits
        self._mark = 0
        self._transport = _innermost(channel.transport)
        self._usual_size = getattr(self._transport, "bufferSize", None)
        self._continues = continues

    def begin(self) -> None:
        """The headers have come, the body is next."""
        if self._usual_size is not None:
            self._transport.bufferSize = RECEIVE
        if not self._continues:
            self._watch()

    def end(self) -> None:
        """No more of the body is read. Idempotent."""
        self._deadline.cancel()
        self._gate.release()
        if self._usual_size is not None:
            self._transport.bufferSize = self._usual_size

    def fail(self, why: str) -> None:
        """The client broke the protocol: whoever reads the body is told."""
        self.broken = True
        self._channel.persistent = False
        self._deadline.cancel()
        self._gate.hold()
        self._request.body.lose(BodyLost(why))

    def hold_body(self) -> None:
        if not self._over():
            self._gate.hold()

    def release_body(self) -> None:
        if not self._over():
            self._gate.release()
            self._watch()

    def want_body(self) -> None:
        if self._over() or not self._continues:
            return
        self._continues = False
        if not self._request.body.received and not self._request.startedWriting:
            self._channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._watch()

    def _over(self) -> bool:
        return self.broken or self._channel.intake is not self

    def _watch(self) -> None:
        """Count what comes from now on; the deadline stands still while we hold."""
        self._mark = self._request.body.received
        self._deadline.set(self._limits.body_seconds, self._check)

    def _check(self) -> None:
        least = self._limits.body_rate * self._limits.body_seconds
        if self._request.body.received - self._mark < least:
            rate, seconds = self._limits.body_rate, self._limits.body_seconds
            self.fail(f"it came slower than {rate} bytes/s over {seconds} s")
        else:
            self._watch()


def _innermost(transport: Any) -> Any:
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport
