# Copyright glancetx contributors. See LICENSE for details.

"""
From a file to a socket inside the kernel.

While the bytes go, a :class:`Sending` stands in the channel's place as the
transport's *pull* producer: the transport calls it exactly when all that was written
before is flushed, and again whenever the socket can be written to.

No page of a file is waited for in the reactor's thread: pages that are not in memory
are read in a thread first.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPullProducer
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from glancetx.errors import PieceTruncated, ReaderGone
from glancetx.interfaces import IFileConsumer

from .request import Request

if TYPE_CHECKING:
    from .channel import Channel

__all__ = ["FileRequest", "Sending", "read_ahead", "warm_until"]

CALL = 1024 * 1024
"""
Bytes that one system call may send: with more of them the bytes of several readers
leave the processor's caches before they are read, with less the calls cost more.
"""

WINDOW = 4 * CALL
"""Bytes that are looked for in memory at once, and that one job in a thread reads."""

STEP = 256 * 1024
"""Bytes between the places where a window is asked for what is in memory."""

GONE = {
    errno.EPIPE,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}
"""Errors of a socket whose reader is gone; all others are the file's."""

_probe = bytearray(1)


def warm_until(fd: int, start: int, stop: int) -> int:
    """
    How far a file can be read without waiting for its storage.

    :returns: the first offset in ``[start, stop)`` whose page is not in memory;
        ``stop`` if there is none, or if the kernel cannot tell.
    """
    for offset in range(start, stop, STEP):
        try:
            os.preadv(fd, [_probe], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return offset
        except OSError:
            return stop
    return stop


def read_ahead(fd: int, start: int, stop: int) -> None:
    """
    Bring ``[start, stop)`` of a file into memory, and begin to bring as much again.

    :param fd: closed at the end.
    :raises OSError: if the storage cannot be read.
    """
    try:
        os.posix_fadvise(fd, start, 2 * (stop - start), os.POSIX_FADV_WILLNEED)
        scratch = bytearray(STEP)
        for offset in range(start, stop, STEP):
            os.preadv(fd, [scratch], offset)
    finally:
        os.close(fd)


@implementer(IPullProducer)
class Sending:
    """
    Bytes of one file on their way to a reader.

    :ivar done: fires as :meth:`IFileConsumer.sendfile` says.
    """

    def __init__(
        self, request: FileRequest, channel: Channel, fd: int, start: int, stop: int
    ) -> None:
        self.done: Deferred[None] = Deferred(self._cancelled)
        self._request = request
        self._channel = channel
        self._transport: Any = channel.transport
        self._threads: ThreadPool | None = channel.site.threads
        self._fd = fd
        self._offset = self._warm = start
        self._stop = stop
        self._begun = False
        self._over = False
        self._gone = False

    def begin(self) -> None:
        """Take the channel's place; the transport's next turn sends the first bytes."""
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        self._begun = True
        self._transport.startWriting()

    def resumeProducing(self) -> None:
        """Send what the socket takes, once, so that others have their turn too."""
        if not self._begun or self._over or not self._is_warm():
            return
        try:
            socket = self._transport.getHandle().fileno()
            count = os.sendfile(socket, self._fd, self._offset, self._room())
        except BlockingIOError:
            self._transport.startWriting()
        except OSError as error:
            self._failed(error)
        else:
            self._sent(count)

    def stopProducing(self) -> None:
        """
        The reader left. Who waits for us is told later, with the request: an answer
        that it tried to give now would go nowhere.
        """
        self._gone = True
        self._channel.stopProducing()

    def lost(self) -> None:
        """The request is over, since the reader left. Idempotent."""
        self._gone = True
        if not self._over:
            self._finish(Failure(ReaderGone()))

    def _room(self) -> int:
        return min(self._warm - self._offset, CALL)

    def _is_warm(self) -> bool:
        """See that the next bytes are in memory, or have them brought there."""
        if self._offset < self._warm:
            return True
        window = min(self._stop, self._offset + WINDOW)
        if self._threads is None:
            self._warm = window
            return True
        self._warm = warm_until(self._fd, self._offset, window)
        if self._warm > self._offset:
            return True
        self._warm = window
        return not self._reads_ahead(self._threads, window)

    def _reads_ahead(self, threads: ThreadPool, stop: int) -> bool:
        """Begin to; without a descriptor to spare the reactor waits for the file."""
        try:
            fd = os.dup(self._fd)
        except OSError:
            return False
        reading = deferToThreadPool(
            self._transport.reactor, threads, read_ahead, fd, self._offset, stop
        )
        reading.addCallbacks(self._read, self._unreadable)
        return True

    def _read(self, _: None) -> None:
        if not self._over and not self._gone:
            self._transport.startWriting()

    def _unreadable(self, failure: Failure) -> None:
        if not self._over and not self._gone:
            self._finish(failure)

    def _sent(self, count: int) -> None:
        if count == 0:
            name = f"(file descriptor {self._fd})"
            error = PieceTruncated(name, self._offset, self._stop)
            self._finish(Failure(error))
            return
        self._offset += count
        self._request.sentLength += count
        if self._offset < self._stop:
            self._transport.startWriting()
        else:
            self._finish(None)

    def _failed(self, error: OSError) -> None:
        if error.errno in GONE:
            self._channel.abort()
        else:
            self._finish(Failure(error))

    def _cancelled(self, done: Deferred[None]) -> None:
        if self._gone or self._channel.gone:
            self._over = True
            done.errback(ReaderGone())
        else:
            self._step_aside()

    def _finish(self, failure: Failure | None) -> None:
        self._step_aside()
        if failure is None:
            self.done.callback(None)
        else:
            self.done.errback(failure)

    def _step_aside(self) -> None:
        """
        Give the transport back to the channel, which may believe that the transport
        is full: it is told that it is not, and with it the request's producer.
        """
        self._over = True
        self._request.sending = None
        if not self._gone:
            self._transport.unregisterProducer()
            self._transport.registerProducer(self._channel, True)
            self._channel.resumeProducing()


@implementer(IFileConsumer)
class FileRequest(Request):
    """A request over plain TCP, which can take the bytes of its answer from a file."""

    sending: Sending | None = None

    def sendfile(self, fd: int, start: int, stop: int) -> Deferred[None]:
        """
        See :meth:`IFileConsumer.sendfile`.

        The registered producer is told to resume right before this fires, since all
        that it wrote before is flushed.

        :raises RuntimeError: if the answer has no ``Content-Length``, or other bytes
            of a file are still on their way.
        """
        if self.sending is not None:
            raise RuntimeError("one sendfile at a time")
        if self.lost:
            return fail(ReaderGone())
        self.write(b"")
        if self.chunked:
            raise RuntimeError("sendfile needs an answer with a Content-Length")
        if self.bodiless or start >= stop:
            return succeed(None)
        if not self.admit(stop - start):
            return fail(ReaderGone())
        self.sending = Sending(self, self.channel, fd, start, stop)
        done = self.sending.done
        self.sending.begin()
        return done

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        sending, self.sending = self.sending, None
        if sending is not None:
            sending.lost()
