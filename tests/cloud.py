# Copyright glancetx contributors. See LICENSE for details.

"""
A storage of many servers, in memory, and a backend that is up to it.

The storage does what was seen of a real Swift: its lists lag, a plain look finds what
was removed, answers are cut without an error, tokens run out. ``test_conformance``
plants faults into the backend.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred, execute
from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from glancetx.errors import NoSuchPiece, PieceTruncated, StoreUnavailable
from glancetx.interfaces import IBackend, IPiece, IPieceWriter
from glancetx.streaming.pump import pump

__all__ = ["Cloud", "CloudBackend", "CloudPiece", "CloudWriter", "Expired"]

PART = 256 * 1024

T = TypeVar("T")


class Expired(Exception):
    """The token is no longer good."""


class Cloud:
    """
    The storage.

    :ivar objects: what there is indeed.
    :ivar lags: lists, and plain looks, stay as they are now.
    :ivar cut: where bytes of a piece end, ``None`` for their end.
    :ivar check: called before each call.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lags = False
        self.cut: int | None = None
        self.check: Callable[[], None] = lambda: None
        self._seen: dict[str, bytes] = {}
        self._token = 0

    def lag(self) -> None:
        self.lags, self._seen = True, dict(self.objects)

    def expire(self) -> None:
        self._token += 1

    def log_in(self) -> int:
        self.check()
        return self._token

    def put(self, token: int, name: str, data: bytes) -> None:
        self._require(token)
        self.objects[name] = data

    def get(self, token: int, name: str, newest: bool) -> bytes | None:
        self._require(token)
        if self.lags and not newest and name in self._seen:
            return self._seen[name]
        return self.objects.get(name)

    def list(self, token: int, prefix: str) -> list[str]:
        self._require(token)
        names = self._seen if self.lags else self.objects
        return [name for name in names if name.startswith(prefix)]

    def delete(self, token: int, name: str) -> bool:
        """:returns: whether there was something."""
        self._require(token)
        return self.objects.pop(name, None) is not None

    def _require(self, token: int) -> None:
        self.check()
        if token != self._token:
            raise Expired


class Account:
    """Calls of the storage with a token, which is renewed when it has run out."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._token: int | None = None

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """:raises StoreUnavailable: if the storage fails."""
        try:
            return self.ask(function, *args)
        except (OSError, Expired) as error:
            raise StoreUnavailable("testing", str(error)) from error

    def ask(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return function(self.token(), *args)
        except Expired:
            self._token = None
            return function(self.token(), *args)

    def token(self) -> int:
        if self._token is None:
            self._token = self.cloud.log_in()
        return self._token


@implementer(IPiece)
class CloudPiece:
    """A manifest ``KEY``, which says how many bytes there are in ``KEY/000001`` ..."""

    newest = True

    def __init__(self, account: Account, key: str, size: int) -> None:
        self.size = size
        self.key = key
        self.account = account

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return ensureDeferred(pump(self._chunks(start, stop), consumer))

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        data = self._data()
        self._check(data, start, stop)
        for begin in range(start, stop, PART):
            yield data[begin : min(begin + PART, stop)]

    def _check(self, data: bytes, start: int, stop: int) -> None:
        if len(data) < max(stop, self.size):
            raise PieceTruncated(self.key, len(data), self.size)

    def _data(self) -> bytes:
        """All bytes; whoever has them needs the storage no more."""
        cloud = self.account.cloud
        count = self.account.call(cloud.get, self.key, self.newest)
        if count is None:
            raise NoSuchPiece(self.key)
        names = [f"{self.key}/{number:06}" for number in range(1, int(count) + 1)]
        parts = [self.account.call(cloud.get, name, True) for name in names]
        return b"".join(part or b"" for part in parts)[: cloud.cut]


@implementer(IPieceWriter)
class CloudWriter:
    """Writes parts, then the manifest that makes them a piece."""

    def __init__(self, account: Account, backend: Any, key: str) -> None:
        self.account = account
        self.key = key
        self.count = 0
        self.finished = False
        self.good = True
        self._backend = backend

    def write(self, data: bytes) -> Deferred[None]:
        return execute(self._step, self._write, data)

    def finish(self) -> Deferred[None]:
        return execute(self._step, self._finish)

    def abort(self) -> Deferred[None]:
        return execute(self._abort)

    def _step(self, function: Callable[..., None], *args: bytes) -> None:
        if not self.good:
            raise RuntimeError("this writer failed, was aborted or has finished")
        self.good = False
        function(*args)
        self.good = not self.finished

    def _write(self, data: bytes) -> None:
        for begin in range(0, len(data), PART):
            self.count += 1
            self.put(f"{self.key}/{self.count:06}", data[begin : begin + PART])

    def _finish(self) -> None:
        self.put(self.key, b"%d" % self.count)
        self.finished = True

    def _abort(self) -> None:
        self.good = False
        if not self.finished:
            self._backend.remove(self.key)

    def put(self, name: str, data: bytes) -> None:
        self.account.call(self.account.cloud.put, name, data)


@implementer(IBackend)
class CloudBackend:
    """Keeps pieces in parts."""

    piece_kind = CloudPiece
    writer_kind = CloudWriter

    def __init__(self, cloud: Cloud) -> None:
        self.account = Account(cloud)
        self.cloud = cloud

    def piece(self, key: str, size: int) -> IPiece:
        return self.piece_kind(self.account, key, size)

    def create(self, key: str, size: int | None) -> IPieceWriter:
        return self.writer_kind(self.account, self, key)

    def remove(self, key: str) -> None:
        """The manifest first; then what is listed, and what follows without a gap."""
        self.delete(key)
        listed = self.account.call(self.cloud.list, f"{key}/")
        for name in listed:
            self.delete(name)
        number = len(listed) + 1
        while self.delete(f"{key}/{number:06}"):
            number += 1

    def delete(self, name: str) -> bool:
        return self.account.call(self.cloud.delete, name)
