# Copyright glancetx contributors. See LICENSE for details.

"""
One connection: what arrives on it, in which order, and how long that may take.

Parsing is Twisted's; a stricter reading, and every deadline, is ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from .gate import Deadline, Gate
from .intake import Intake
from .reaper import socket_of, unacknowledged
from .refusal import Refusal
from .request import REQUEST_ID, Request, make_request_id
from .target import check_host, check_path, origin_form

if TYPE_CHECKING:
    from .site import Site

__all__ = ["SEND", "Channel"]

FRESH = 2.0
"""Seconds that a drain leaves to a connection to send its next request."""

SEND = 512 * 1024
"""
Bytes handed to the kernel at once, where Twisted has 128 KiB: with the size in which
parents are received this halves what a relayed byte costs. Twisted copies less than
this again whenever a reader takes a part of it, so it should not grow further.
"""

DIGITS = 19
REQUEST_ID_BYTES = 64
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"}
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NO_LINE = (b"", b"", b"")


class Channel(HTTPChannel):
    """
    Twisted's channel, with these differences: a route runs at the end of the headers;
    a body that is not read holds its client back; what is not strictly lawful is
    refused with a sentence; every wait for the client has an end; a connection is
    closed so that the client can read the answer.

    One limit is Twisted's own: a client that shuts down its side of the connection
    (``SHUT_WR``) before it has its answer is taken to be gone, and gets none.

    :ivar site: the :class:`Site` that made it.
    :ivar full: the transport has enough to send for now.
    :ivar gone: the reader left, or was cut.
    :ivar waiting: no byte of the next request has come.
    :ivar intake: steers the body that is arriving.
    """

    log = Logger()
    site: Site
    transport: Any
    requests: list[Request]
    _networkProducer: Any

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.gone = False
        self.waiting = True
        self.intake: Intake | None = None
        self._closing = False
        self._served = False
        self._in_headers = False
        self._line = NO_LINE
        self._authority: bytes | None = None
        self._header_bytes = self._header_count = 0
        self._swallowed = 0

    # The connection.

    def connectionMade(self) -> None:
        limits = self.site.limits
        self.MAX_LENGTH = limits.header_bytes
        self.totalHeadersSize = 2 * limits.header_bytes
        self.maxHeaders = limits.header_count
        self.transport.SEND_LIMIT = SEND
        self._socket = socket_of(self.transport)
        self._secure = ISSLTransport.providedBy(self.transport)
        self.requestFactory = self.site.request_class(self.sends_files)
        self._deadline = Deadline(self.site.clock)
        super().connectionMade()
        self._gate = self._networkProducer = Gate(self._networkProducer, self._deadline)
        self._since = self.site.clock.seconds()
        self.site.opened(self)
        self._deadline.set(limits.header_seconds, self._headers_late)
        if self.site.draining:
            self.drain()

    @property
    def sends_files(self) -> bool:
        """Whether this is plain TCP, so that ``sendfile`` can be used."""
        plain = ITCPTransport.providedBy(self.transport) and not self._secure
        return plain and self._socket is not None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        self.intake = None
        self._deadline.cancel()
        super().connectionLost(reason)
        self.site.closed(self)

    def abort(self) -> None:
        """Break the connection, so that its reader sees it broken. Idempotent."""
        self.gone = True
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self.full = False
        super().resumeProducing()

    def stopProducing(self) -> None:
        """The transport is lost; requests hear of it only later."""
        self.gone = True
        super().stopProducing()

    def loseConnection(self) -> None:
        """
        Close so that the client can read what was written: closing a socket that has
        unread bytes resets it, and the client's kernel then drops our answer. So only
        our side is closed, and what still comes is swallowed for a while.
        """
        if self._closing:
            return
        self._closing = True
        self.waiting = False
        intake, self.intake = self.intake, None
        if intake is not None:
            intake.end()
        self._gate.open()
        self._gate.unregisterProducer()
        if self.sends_files:
            self.transport.loseWriteConnection()
        elif not self._secure or not self._owes_body():
            self.transport.loseConnection()
        self._deadline.set(self.site.limits.linger_seconds, self._lingered)

    def _owes_body(self) -> bool:
        return self._in_headers or self.length != 0

    def _lingered(self) -> None:
        if self.outstanding() is None:
            self.abort()
        else:  # the answer is on its way; the reaper cuts who does not read it
            self._deadline.set(self.site.limits.linger_seconds, self._lingered)

    def _swallow(self, count: int) -> None:
        self._swallowed += count
        if self._swallowed > self.site.limits.linger_bytes:
            self.abort()

    # The reaper, and the drain.

    def outstanding(self) -> tuple[int, int] | None:
        """See :class:`Watched`."""
        if self._socket is None or self.gone or self._socket.fileno() < 0:
            return None
        queued = unacknowledged(self._socket)
        if not queued:
            return None
        return (self.requests[0].sentLength if self.requests else 0), queued

    def stalled(self) -> None:
        """The reader acknowledged nothing for too long."""
        self.log.info("{peer} stopped reading: cut", peer=self.transport.getPeer())
        if self.requests and self.requests[0].routed:
            self.requests[0].cut()
        self.abort()

    def drain(self) -> None:
        """Close as soon as no request is lost by it."""
        if self.waiting:
            waited = self.site.clock.seconds() - self._since
            self._deadline.set(max(0.0, FRESH - waited), self.loseConnection)

    # What arrives.

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            self._swallow(len(data))
            return
        if self.waiting and data.strip(b"\r\n"):
            self._request_begins()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._closing:
            self._swallow(len(line))
            return
        if self.waiting and line:
            self._request_begins()
        try:
            if self._in_headers:
                self._check_header_line(line)
            elif line:
                line = self._check_request_line(line)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        super().lineReceived(line)
        if self.intake is not None and not self.requests[-1].routed:
            self.intake.begin()
            self.requests[-1].route(*self._line)

    def lineLengthExceeded(self, line: bytes) -> None:
        limit = self.site.limits.header_bytes
        if self._in_headers:
            self.refuse(Refusal(431, f"the headers are more than {limit} bytes"))
        else:
            self.refuse(Refusal(414, f"the request line is more than {limit} bytes"))

    def headerReceived(self, line: bytes) -> bool:
        if CONTROL.search(line):
            self.refuse(Refusal(400, "a header has a control character"))
            return False
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > DIGITS:
            self.refuse(Refusal(400, f"Content-Length has more than {DIGITS} digits"))
            return False
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self.refuse(Refusal(400, "the only Transfer-Encoding here is chunked"))
            return False
        return bool(super().headerReceived(line)) and not self._closing

    def allHeadersReceived(self) -> None:
        self._in_headers = False
        self._deadline.cancel()
        if self._closing:
            return
        request = self.requests[-1]
        try:
            self._check_headers(request.requestHeaders)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        self.persistent = self.checkPersistence(request, self._line[2])
        if self.length != 0:
            asks = request.requestHeaders.hasHeader(b"Expect")
            continues = asks and self._line[2] == b"HTTP/1.1"
            self.intake = Intake(self, request, self._gate, self._deadline, continues)
        request.gotLength(self.length)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        values = request.requestHeaders.getRawHeaders(b"Connection", [])
        tokens = b",".join(values).lower().split(b",")
        close = b"close" in (token.strip(b" \t") for token in tokens)
        return version == b"HTTP/1.1" and not close

    def rawDataReceived(self, data: bytes) -> None:
        if self._closing or (self.intake is not None and self.intake.broken):
            self._swallow(len(data))
            return
        super().rawDataReceived(data)
        if self._handlingRequest and not self._closing:
            behind = sum(map(len, self._dataBuffer))
            if behind > self._optimisticEagerReadSize:
                self._gate.pauseProducing()  # Twisted does not if the transport is full

    def allContentReceived(self) -> None:
        if self._closing:
            return  # answered before its end; nobody waits for it
        intake, self.intake = self.intake, None
        if intake is not None:
            intake.end()
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        self._served = True
        if self.site.draining:
            self.persistent = False
        if self.persistent:
            self.waiting = True
            self._since = self.site.clock.seconds()
            self._deadline.set(self.site.limits.idle_seconds, self.loseConnection)
        super().requestDone(request)

    def _request_begins(self) -> None:
        self.waiting = False
        if self._served or self.site.draining:
            limit = self.site.limits.header_seconds
            self._deadline.set(limit, self._headers_late)

    # What is refused.

    def refuse(self, refusal: Refusal) -> None:
        """Answer a request that has no route, and close."""
        if self._closing:
            return
        head = self._line[0] == b"HEAD"
        request_id = make_request_id()
        self.transport.write(refusal.render(request_id, with_body=not head))
        self.site.refused(self.transport.getPeer(), self._line, refusal, request_id)
        self.requests.clear()
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's parser met something unlawful."""
        if self.intake is not None:
            self.intake.fail("a chunk of it was malformed")
        else:
            self.refuse(Refusal(400, "the request is not lawful HTTP/1.1"))

    def _check_request_line(self, line: bytes) -> bytes:
        self._in_headers = True
        self._header_bytes = len(line) + 2
        self._header_count = 0
        self._line, self._authority = NO_LINE, None
        parts = line.split(b" ")
        if len(parts) != len(NO_LINE):
            raise Refusal(400, "the request line must be METHOD TARGET HTTP/1.1")
        method, target, version = parts
        self._line = method, target, version
        if method not in METHODS and TOKEN.fullmatch(method):
            raise Refusal(501, "there is no such method here")
        target, self._authority = origin_form(target)
        check_path(target)
        if target == b"*" and method != b"OPTIONS":
            raise Refusal(400, "only OPTIONS has the target *")
        self._line = method, target, version
        return b" ".join(self._line)

    def _check_header_line(self, line: bytes) -> None:
        limits = self.site.limits
        self._header_bytes += len(line) + 2
        if self._header_bytes > limits.header_bytes:
            raise Refusal(431, f"the headers are more than {limits.header_bytes} bytes")
        if line[:1] in (b" ", b"\t"):
            raise Refusal(400, "a header must not go on in a second line")
        self._header_count += 1 if line else 0
        if self._header_count > limits.header_count:
            raise Refusal(431, f"there are more than {limits.header_count} headers")

    def _check_headers(self, headers: Headers) -> None:
        version = self._line[2]
        check_host(version, headers.getRawHeaders(b"Host", []), self._authority)
        if version == b"HTTP/1.0" and headers.hasHeader(b"Transfer-Encoding"):
            raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
        for value in headers.getRawHeaders(REQUEST_ID, []):
            if len(value) > REQUEST_ID_BYTES:
                raise Refusal(431, f"a request id has {REQUEST_ID_BYTES} bytes at most")
        for value in headers.getRawHeaders(b"Expect", []):
            if version == b"HTTP/1.1" and value.lower() != b"100-continue":
                raise Refusal(417, "the only expectation met here is 100-continue")

    def _headers_late(self) -> None:
        if self.waiting:  # not one byte came
            self.loseConnection()
        else:
            self.refuse(Refusal(408, "the headers took too long"))
