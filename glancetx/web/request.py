# Copyright glancetx contributors. See LICENSE for details.

"""
One request: routed at the end of its headers, answered whole or visibly cut.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IProducer, IPushProducer
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import NO_BODY_CODES, NO_CONTENT, datetimeToString
from twisted.web.http_headers import Headers

from glancetx.caller import NOBODY, Caller
from glancetx.errors import BodyLost, ReaderGone

from .body import Body
from .refusal import error_body, reason_phrase

if TYPE_CHECKING:
    from .channel import Channel
    from .site import Site

__all__ = ["REQUEST_ID", "Request", "header_value", "make_request_id"]

REQUEST_ID = b"X-Openstack-Request-Id"
GOOD_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,64}")
UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def make_request_id() -> bytes:
    """An id of our own."""
    return b"req-" + str(uuid4()).encode("ascii")


def header_value(value: str | bytes) -> bytes:
    """
    A value that cannot end its header: UTF-8, control characters as ``%NN``.

    Twisted turns CR and LF into spaces, and lets NUL and the rest pass.
    """
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw)


class Request(server.Request):
    """
    A request and its answer.

    The route runs when the headers have come, with or without a body behind them.
    It sets headers, writes, finishes; when it fails, :meth:`processingFailed` or its
    own error handler answers, or cuts if a part of the answer has gone already.

    :ivar body: what the client sends; see :class:`Body`.
    :ivar request_id: on every answer and in every log line of this request.
    :ivar layout: what of an image the answer sends, if it sends an image.
    :ivar caller: who sent it, once that is found out.
    :ivar challenge: how those who are not known may show who they are.
    :ivar was_cut: the connection ended before the answer did.
    """

    log = Logger()
    defaultContentType = None
    channel: Channel
    body: Body
    request_id = b""
    layout: str | None = None
    caller: Caller = NOBODY
    challenge = b""
    was_cut = False
    began: float = 0
    routed = False
    _site: Site
    _announced: int | None = None

    @property
    def lost(self) -> bool:
        """Nobody will read what is written."""
        if self.was_cut or self._disconnected:
            return True
        return not self.finished and self.channel.gone

    @property
    def bodiless(self) -> bool:
        """The answer has headers only (RFC 9110, 6.4.1)."""
        return bool(self.method == b"HEAD" or self.code in NO_BODY_CODES)

    # What the channel calls.

    def gotLength(self, length: int | None) -> None:
        """The headers have come. Nothing is ever spooled, so no file is made."""
        self.content = BytesIO()
        window = self.channel.site.limits.upload_window
        self.body = Body(length, window, self.channel.intake)

    def handleContentChunk(self, data: bytes) -> None:
        """Bytes of the body came."""
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete; its route began long ago if it has a body."""
        if self.routed:
            self.body.end()
        else:
            self.route(command, path, version)

    def route(self, command: bytes, path: bytes, version: bytes) -> None:
        """Begin. Twisted sees an empty body, so it parses no form."""
        self.routed = True
        self._site = self.channel.site
        self.began = self._site.clock.seconds()
        self.request_id = self._choose_request_id()
        self._site.transfers.add(self)
        super().requestReceived(command, path, version)

    def connectionLost(self, reason: Failure) -> None:
        """The client left, or was cut, before the answer was complete."""
        if not self.routed:
            super().connectionLost(reason)
            return
        self.was_cut = True
        self.body.lose(BodyLost(), wake=False)
        self._site.log(self)
        super().connectionLost(reason)  # Klein cancels what it waits for
        self.body.lose(BodyLost())

    def _choose_request_id(self) -> bytes:
        given = self.requestHeaders.getRawHeaders(REQUEST_ID, [])
        if len(given) == 1 and GOOD_REQUEST_ID.fullmatch(given[0]):
            return bytes(given[0])
        return make_request_id()

    # What a route calls.

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set a header of the answer; see :func:`header_value`."""
        super().setHeader(name, header_value(value))

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status. Its phrase is fixed: ``message`` is not sent."""
        super().setResponseCode(code, reason_phrase(code))

    def clear_headers(self) -> None:
        """
        Forget what was set for an answer that failed before its first byte.

        Headers of every answer (``Server``, ``Date``, ``X-Openstack-Request-Id``,
        ``Connection``) come with the first byte, whatever was cleared.
        """
        self.responseHeaders = Headers()
        self.etag = self.lastModified = None
        self.cookies = []

    def write(self, data: bytes) -> None:
        """Send more of the answer; the first call sends the headers."""
        if self.lost:
            return
        if not self.startedWriting:
            self._complete_headers()
        if self.bodiless or self.admit(len(data)):
            super().write(data)

    def admit(self, count: int) -> bool:
        """
        Whether so many more bytes are within the announced length. If they are not,
        the answer is cut: the next one must not be read from the wrong place.
        """
        if self._announced is None or self.sentLength + count <= self._announced:
            return True
        self._cut_short(
            "{request_id} {path}: {count} bytes more than the announced {announced}",
            count=self.sentLength + count - self._announced,
            announced=self._announced,
        )
        return False

    def finish(self) -> None:
        """
        The answer is complete. Does nothing if the reader left or was cut.

        An answer that is shorter than announced is cut instead.
        """
        if self.lost:
            return
        if not self.startedWriting:
            self.write(b"")
        if self.finished:
            super().finish()  # it warns of the second call
            return
        if self._announced is not None and self.sentLength != self._announced:
            self._cut_short(
                "{request_id} {path}: finished after {sent} of {announced} bytes",
                announced=self._announced,
            )
            return
        super().finish()

    def cut(self, failure: Failure | None = None) -> None:
        """
        The answer cannot be completed: let the reader see a broken connection, never
        a clean end. Later calls of :meth:`write` and :meth:`finish` do nothing.

        :param failure: why, for the log.
        """
        if self.lost or self.finished:
            return
        if failure is None:
            format = "{request_id} {path}: cut after {sent} bytes"
            self._cut_short(format, LogLevel.warn)
            return
        self._cut_short(
            "{request_id} {path}: cut after {sent} bytes: {error}",
            error=failure.getErrorMessage(),
            log_failure=failure,
        )

    def processingFailed(self, reason: Failure) -> Failure:
        """
        A route failed, and no error handler took it: an answer without details, or
        a cut if a part of the answer has gone.
        """
        if self.startedWriting:
            self.cut(reason)
        elif not self.lost:
            self._answer_failure(reason)
        elif not reason.check(CancelledError, BodyLost, ReaderGone):
            self._log_failure(reason)
        return reason

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Register the one push producer of this answer.

        It is paused at once if an earlier answer still fills the transport, and
        stopped at once if the reader left.

        :raises ValueError: if there is one already, or it is a pull producer: these
            stall for ever behind a full transport (Twisted 26.10).
        """
        if not streaming:
            raise ValueError("a request takes push producers only")
        if self.lost:
            producer.stopProducing()
            return
        super().registerProducer(producer, streaming)
        if self.channel.full:
            cast(IPushProducer, producer).pauseProducing()

    def unregisterProducer(self) -> None:
        """The producer is done. Lawful also when the reader has left."""
        if self._disconnected:
            self.producer = None
        else:
            super().unregisterProducer()

    def _complete_headers(self) -> None:
        headers = self.responseHeaders
        headers.setRawHeaders(b"Server", [b"glancetx"])
        headers.setRawHeaders(b"Date", [datetimeToString()])
        headers.setRawHeaders(REQUEST_ID, [self.request_id])
        if not self.body.complete or self._site.draining:
            self.channel.persistent = False
        if not self.channel.persistent:
            headers.setRawHeaders(b"Connection", [b"close"])
        if self.code == NO_CONTENT:
            headers.removeHeader(b"Content-Length")
        length = headers.getRawHeaders(b"Content-Length")
        if length and not self.bodiless:
            self._announced = int(length[0])

    def _cut_short(
        self, format: str, level: Any = LogLevel.error, **facts: Any
    ) -> None:
        self.was_cut = True
        self.log.emit(
            level,
            format,
            request_id=self.request_id.decode("ascii"),
            path=self.path.decode("ascii"),
            sent=self.sentLength,
            **facts,
        )
        self.channel.abort()

    def _answer_failure(self, reason: Failure) -> None:
        code, message = 500, "the server made a mistake; its log says more"
        if reason.check(BodyLost):
            code, message = 400, reason.getErrorMessage()
        else:
            self._log_failure(reason)
        body = error_body(code, message)
        self.clear_headers()
        self.setResponseCode(code)
        self.setHeader(b"Content-Type", b"application/json")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.setHeader(b"Cache-Control", b"no-store")
        self.write(body)
        self.finish()

    def _log_failure(self, reason: Failure) -> None:
        self.log.failure(
            "{request_id} {path}: failed",
            failure=reason,
            request_id=self.request_id.decode("ascii"),
            path=self.path.decode("ascii"),
        )
