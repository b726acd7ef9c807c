# Copyright glancetx contributors. See LICENSE for details.

"""
What glancetx asks of its parts, and of the storage backends of others.

Every method of a plugin may return a ``Deferred``, a coroutine or a plain value:
callers go through ``txaio.as_future``. All are called in the reactor's thread and
must not block it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.threadpool import ThreadPool
from twisted.web.iweb import IAgent
from zope.interface import Attribute, Interface

from .caller import Caller

__all__ = [
    "Credentials",
    "IBackend",
    "IBackendFactory",
    "IFileConsumer",
    "IFilePiece",
    "IIdentity",
    "ILocatedPiece",
    "IPiece",
    "IPieceWriter",
    "Option",
    "Tools",
]

P = ParamSpec("P")
T = TypeVar("T")


@frozen
class Option:
    """
    One key that a backend takes in its ``[stores.NAME]`` table.

    :ivar kind: the type of the value in TOML, or several: ``str``, ``int``, ``bool``
        or ``list``, which is a list of texts.
    :ivar path: a relative value is made relative to the configuration file.
    :ivar secret: ``NAME_file`` may be given instead: the path of a file that nobody
        else can read, which holds the value, one line of ASCII without blanks.
    :ivar backend: the value names another backend, whose keys the table may have as
        well. ``IBackendFactory.make`` is given that backend, made and ready, in the
        place of its name; all that it returns can be awaited.
    """

    name: str
    kind: type | tuple[type, ...]
    help: str
    required: bool = True
    default: Any = None
    path: bool = False
    secret: bool = False
    backend: bool = False

    @property
    def kinds(self) -> tuple[type, ...]:
        """All types that the value may have."""
        return self.kind if isinstance(self.kind, tuple) else (self.kind,)

    @property
    def names(self) -> tuple[str, ...]:
        """All keys that it may be given by."""
        return (self.name, f"{self.name}_file") if self.secret else (self.name,)


@frozen
class Tools:
    """
    What a backend is handed, so that it imports neither reactor nor settings.

    :ivar store: the name of the store, for errors and logs.
    :ivar agent: opens HTTP connections; backends open no others. It follows no
        redirect, and its requests fail with ``OriginUnavailable`` if there is no
        answer.
    :ivar threads: a pool for blocking calls.
    :ivar clock: timers.
    :ivar threaded: calls a blocking function in ``threads`` and fires with its result.
    :ivar trusting: makes another agent, which trusts only the certificates in a file
        of PEM; raises ``ConfigError`` if it cannot be used.
    """

    store: str
    agent: IAgent | None
    threads: ThreadPool
    clock: IReactorTime
    log: Logger
    threaded: Callable[..., Deferred[Any]]
    trusting: Callable[[str], IAgent] | None = None


class IBackendFactory(IPlugin):
    """A kind of storage, found as a Twisted plugin in ``glancetx.backends``."""

    name: str = Attribute("What ``backend = ...`` in the configuration says.")
    interface_version: int = Attribute("The version of these interfaces: 1.")
    options: tuple[Option, ...] = Attribute("The keys that a store of it takes.")

    def make(options: Mapping[str, Any], tools: Tools) -> IBackend:
        """
        Make one store's backend, ready to be used; called once, at start.

        The one method that must return a plain value, and may block a little.

        :param options: checked against :attr:`options`, with defaults filled in and
            secrets read from their files: by the options' own names.
        :raises ConfigError: if the options cannot work. Its ``key`` is the option's
            own name; the caller puts the file's and the store's before it.
        """


class IBackend(Interface):
    """
    Keeps pieces by key.

    Keys are made by the server: 32 hexadecimal digits, never used twice. They are
    chosen and recorded before the first byte is written.
    """

    def piece(key: str, size: int) -> IPiece | Awaitable[IPiece]:
        """
        The bytes under a key, to be read.

        :param size: how many there are, as recorded when they were written.
        :raises NoSuchPiece: now or when the piece is read.
        """

    def create(key: str, size: int | None) -> IPieceWriter | Awaitable[IPieceWriter]:
        """
        Begin to write a piece. Nothing of it can be read before it is finished.

        :param size: how many bytes will come, if that is known.
        :raises StoreFull: if there is no room for them.
        """

    def remove(key: str) -> Awaitable[None] | None:
        """
        Remove what lies under a key: a piece, and what a killed writer left of one.

        Idempotent: a key that was never written is no error. If it does not fail,
        nothing is left, whatever lists of the storage say. If it fails it can be
        repeated, by another process too; meanwhile a reader gets all or an error.

        A reader that has begun goes on to the end, in other processes too; it is not
        waited for.
        """


class IPieceWriter(Interface):
    """
    Writes one piece.

    Calls never overlap: each waits for the one before; only ``abort`` may come while
    another is under way (its result was cancelled, say). After one that failed,
    everything but ``abort`` fails.
    """

    def write(data: bytes) -> Deferred[None]:
        """
        Take the next bytes; fires when more are welcome.

        :raises StoreFull: (as a failure) if there is no room left.
        """

    def finish() -> Deferred[None]:
        """
        No more bytes come. Once fired, the piece survives a power failure.

        Without any bytes written there is an empty piece.

        :raises StoreFull: (as a failure) if there is no room left.
        """

    def abort() -> Deferred[None]:
        """
        Leave nothing behind. Idempotent, and lawful after any failure, its own too.

        After a ``finish`` that succeeded it does nothing, and the piece stays: that is
        what ``IBackend.remove`` is for.
        """


class IPiece(Interface):
    """
    The bytes of one image, where they lie, ready to be read.

    A piece never changes. One object serves many readers at once; it is used
    only from the reactor thread.
    """

    size: int = Attribute("How many bytes there are.")

    def produce(consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        """
        Write the bytes ``[start, stop)`` to a consumer, as fast as it takes them.

        Registers one push producer, which may be paused before its first byte, and
        unregisters it when done (when told to stop: before ``stopProducing`` returns,
        since a lost request no longer can); uses nothing but ``IConsumer`` and never
        finishes the consumer, since more may follow. Cancelling closes the source.

        :returns: fires when every byte was written and the source is closed, and
            only then.
        :raises ReaderGone: (as a failure) if the consumer left.
        :raises NoSuchPiece: (as a failure) if the storage does not have it.
        :raises PieceTruncated: (as a failure) if the bytes end early.
        """


class IFilePiece(IPiece):
    """A piece that is a plain file on this machine."""

    def open() -> Deferred[int]:
        """
        A descriptor to read from, which the caller owns and closes.

        :raises NoSuchPiece: (as a failure) if the file is not there.
        :raises PieceTruncated: (as a failure) if it is shorter than recorded.
        """


class ILocatedPiece(IPiece):
    """A piece that a reader may be sent to, where it lies."""

    def location() -> Deferred[str | None]:
        """
        A URL of ``http`` or ``https`` that gives these bytes to whoever knows it, for
        some minutes, with ranges and nothing else: it holds no credential.

        :returns: ``None`` if there is none now; then the bytes are sent from here.
        """


class IFileConsumer(IConsumer):
    """A consumer that can take bytes straight out of a file."""

    def sendfile(fd: int, start: int, stop: int) -> Deferred[None]:
        """
        Send the bytes ``[start, stop)`` of a file, after all that was written.

        Between the call and its result nothing is written and the registered
        producer is not called, except for ``stopProducing`` if the reader leaves.
        The descriptor stays the caller's and must stay open until this fires.

        :returns: fires when the last byte was handed to the kernel.
        :raises ReaderGone: (as a failure) if the reader left.
        :raises PieceTruncated: (as a failure) if the file is too short.
        """


@frozen
class Credentials:
    """
    What a request shows of who sends it.

    :ivar token: of ``X-Auth-Token``, or of ``Authorization: Bearer``; ``None`` if
        there is neither.
    :ivar service_token: of ``X-Service-Token``.
    :ivar method: of the request, e.g. ``GET``: some credentials are good for some
        requests only.
    :ivar path: of the request, without its query.
    """

    token: str | None = field(repr=False)
    service_token: str | None = field(default=None, repr=False)
    method: str = "GET"
    path: str = "/"


class IIdentity(Interface):
    """
    Finds out who sends a request.

    Headers that merely claim an identity (``X-Roles`` and kin) are never looked at.
    """

    challenge: bytes = Attribute(
        "``WWW-Authenticate`` of answers to those who are not known."
    )

    def identify(credentials: Credentials) -> Awaitable[Caller]:
        """
        Who it is. Without a token: ``NOBODY``, or ``ANYONE`` where nobody is asked.

        :raises NotAuthenticated: if the token is not good, or not for this request.
        :raises Forbidden: if it is good, but for nothing that can own an image.
        :raises IdentityUnavailable: if that cannot be told now. Never a guess.
        """

    def own_token() -> Awaitable[str | None]:
        """
        A token of this server itself, to show to servers that share its identities.

        :raises IdentityUnavailable: if there should be one, but it cannot be had now.
        """

    def reload() -> None:
        """
        Read again what is kept in files.

        :raises ConfigError: if they cannot be used; what was read before stays.
        """
