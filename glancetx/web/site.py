# Copyright glancetx contributors. See LICENSE for details.

"""
The site: its connections, its running requests, its log, and its end.
"""

from __future__ import annotations

import typing
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.threadpool import ThreadPool
from twisted.web import server
from twisted.web.resource import IResource

from glancetx.limits import Limits

from .accesslog import AccessLog, Entry
from .channel import Channel
from .reaper import Reaper
from .refusal import Refusal
from .request import Request
from .sendfile import FileRequest

__all__ = ["Drained", "Observer", "Site"]


class Observer(typing.Protocol):
    """Who counts, once for each request."""

    def request(self, method: str, code: int) -> None:
        """An answer is over, complete or cut."""

    def received(self, count: int) -> None:
        """So many bytes of a body came."""

    def sent(self, layout: str, count: int) -> None:
        """So many bytes of a layout were sent."""


@frozen
class Drained:
    """
    How a drain went.

    :ivar finished: answers that came to their end.
    :ivar cut: answers that did not, whoever's fault it was.
    """

    finished: int
    cut: int


class Site(server.Site):
    """
    A ``twisted.web`` site with our channel and request; HTTP/1.1 only.

    :ivar transfers: the requests that have a route and no complete answer.
    :ivar channels: the open connections.
    :ivar turned_away: how many connections were closed at once, being too many.
    :ivar draining: no connection is kept for another request.
    """

    protocol = Channel  # type: ignore[assignment]

    def __init__(
        self,
        resource: IResource,
        limits: Limits,
        clock: IReactorTime,
        threads: ThreadPool | None = None,
        access_log: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        """
        :param clock: the reactor.
        :param threads: reads cold pages of files; without it the reactor waits.
        :param access_log: a path; without it entries go to ``twisted.logger``.
        """
        super().__init__(
            resource, Request, reactor=clock, parsePOSTFormSubmission=False
        )
        self.timeOut = None  # the channel has deadlines of its own
        self.limits = limits
        self.clock = clock
        self.threads = threads
        self.access_log = AccessLog(access_log)
        self.transfers: set[Request] = set()
        self.channels: set[Channel] = set()
        self.turned_away = 0
        self.draining = False
        self._observer = observer
        self._reaper = Reaper(clock, limits.stall_seconds, lambda: self.channels)
        self._listening = False
        self._drain_waiters: list[Deferred[Drained]] = []
        self._drain_limit: IDelayedCall | None = None
        self._finished = self._cut = 0

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/2 is five times slower here, even where ``h2`` is installed."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open the log. Twisted's own log, and its timer, are not used."""
        self._listening = True
        self.access_log.open()

    def stopFactory(self) -> None:
        """No more connections come; those that are here go on."""
        self._listening = False
        self._rest()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self.channels) >= self.limits.connections:
            self.turned_away += 1
            return _Full()
        return super().buildProtocol(addr)

    def request_class(self, sends_files: bool) -> type[Request]:
        """What requests on a connection are made of."""
        return FileRequest if sends_files else Request

    def opened(self, channel: Channel) -> None:
        """A connection came."""
        self.channels.add(channel)
        self._reaper.start()

    def closed(self, channel: Channel) -> None:
        """A connection is gone."""
        self.channels.discard(channel)
        self._rest()

    def log(self, request: Request) -> None:  # type: ignore[override]
        """An answer is over, complete or cut."""
        self.transfers.discard(request)
        self._finished += not request.was_cut
        self._cut += request.was_cut
        self.access_log.write(
            Entry(
                peer=_host(request.getClientAddress()),
                method=request.method,
                path=request.path,
                protocol=request.clientproto,
                code=request.code,
                sent=request.sentLength,
                agent=request.getHeader(b"User-Agent") or b"-",
                request_id=request.request_id,
                seconds=self.clock.seconds() - request.began,
                cut=request.was_cut,
            )
        )
        if self._observer is not None:
            self._observer.request(request.method.decode("ascii"), request.code)
            self._observer.received(request.body.received)
            if request.layout is not None:
                self._observer.sent(request.layout, request.sentLength)

    def refused(
        self,
        peer: IAddress,
        line: tuple[bytes, bytes, bytes],
        refusal: Refusal,
        request_id: bytes,
    ) -> None:
        """A request was answered before it had a route."""
        method, target, protocol = line
        path = target.split(b"?", 1)[0]
        self.access_log.write(
            Entry(
                peer=_host(peer),
                method=method or b"-",
                path=path or b"-",
                protocol=protocol or b"-",
                code=refusal.code,
                sent=0,
                agent=b"-",
                request_id=request_id,
                seconds=0,
                cut=False,
            )
        )
        if self._observer is not None:
            self._observer.request("-", refusal.code)

    def drain(self, seconds: float) -> Deferred[Drained]:
        """
        Let running answers come to their end, and take no more requests.

        Call it when the ports are closed. A connection that waits for a request has
        two seconds to send one, since it may be on its way.

        :param seconds: after which the rest is cut; a second call sets a new limit.
        :returns: fires when the last connection is gone.
        """
        if not self.draining:
            self._finished = self._cut = 0
        self.draining = True
        waiter: Deferred[Drained] = Deferred()
        self._drain_waiters.append(waiter)
        if self._drain_limit is not None:
            self._drain_limit.cancel()
        self._drain_limit = self.clock.callLater(seconds, self._cut_rest)
        for channel in tuple(self.channels):
            channel.drain()
        self._rest()
        return waiter

    def _cut_rest(self) -> None:
        self._drain_limit = None
        for request in tuple(self.transfers):
            request.cut()
        for channel in tuple(self.channels):
            channel.abort()

    def _rest(self) -> None:
        """See what is over if there are no connections left."""
        if self.channels:
            return
        self._reaper.stop()
        if not self._listening:
            self.access_log.close()
        waiters, self._drain_waiters = self._drain_waiters, []
        if self._drain_limit is not None and waiters:
            self._drain_limit.cancel()
            self._drain_limit = None
        for waiter in waiters:
            waiter.callback(Drained(self._finished, self._cut))


class _Full(Protocol):
    """A connection too many."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


def _host(address: Any) -> str:
    return str(getattr(address, "host", "-"))
