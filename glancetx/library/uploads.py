# Copyright glancetx contributors. See LICENSE for details.

"""
Bytes on their way into a store: digested, measured, and kept whole or not at all.
"""

from __future__ import annotations

from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from txaio.tx import as_future

from glancetx.errors import BadValue
from glancetx.image import Digest
from glancetx.interfaces import IPieceWriter
from glancetx.streaming.digest import Digests, Hashing

__all__ = ["Expected", "Received", "Source", "Uploads"]

MD5 = "md5"


class Source(Protocol):
    """
    Where uploaded bytes come from.

    :ivar length: how many will come, ``None`` if that is not known.
    """

    length: int | None

    async def read(self) -> bytes:
        """
        The next bytes, ``b""`` at the end.

        :raises BodyLost: if they end early.
        """


@frozen
class Expected:
    """What the client says of its bytes, ``None`` where it says nothing."""

    size: int | None = None
    checksum: str | None = None

    def check_length(self, length: int | None) -> None:
        """
        Compare with what the body announces.

        :raises BadValue: if they differ.
        """
        if None not in (self.size, length) and self.size != length:
            raise BadValue("size", f"{self.size} was promised, the body has {length}")


@frozen
class Received:
    """What was found while the bytes passed; ``checksum`` is their MD5, if made."""

    size: int
    digest: Digest
    checksum: str | None


class Uploads:
    """Moves bytes from sources to writers."""

    def __init__(self, digests: Digests, algorithm: str, md5: bool) -> None:
        """
        :param algorithm: of the main digest, by the name of ``hashlib``.
        :param md5: whether a checksum is made even if no client asks for one.
        """
        self._digests = digests
        self._algorithm = algorithm
        self._md5 = md5

    async def receive(
        self, source: Source, writer: IPieceWriter, expected: Expected
    ) -> Received:
        """
        Write everything that the source has; durable when this returns.

        :raises BadValue: if the bytes are not what was expected.
        :raises BodyLost: if the source ends early.
        :raises StoreFull: if the store has no room.
        """
        hashing = self._start(expected)
        size = await _copy(source, writer, hashing, expected)
        values = await hashing.finish()
        _check(expected, size, values.get(MD5))
        await as_future(writer.finish)
        return Received(
            size=size,
            digest=Digest(self._algorithm, values[self._algorithm]),
            checksum=values[MD5] if self._md5 else None,
        )

    def _start(self, expected: Expected) -> Hashing:
        wanted = {self._algorithm}
        if self._md5 or expected.checksum is not None:
            wanted.add(MD5)
        return self._digests.start(*sorted(wanted))


async def _copy(
    source: Source, writer: IPieceWriter, hashing: Hashing, expected: Expected
) -> int:
    size = 0
    writing: Deferred[None] = succeed(None)
    try:
        while data := await source.read():
            size += len(data)
            if expected.size is not None and size > expected.size:
                raise BadValue("size", f"more than the {expected.size} bytes promised")
            hashing.update(data)
            await writing
            writing = as_future(writer.write, data)
            if hashing.lagging:
                await hashing.ready()
        await writing
    except BaseException:
        await _settled(writing)
        raise
    return size


async def _settled(writing: Deferred[None]) -> None:
    """Wait for a call that is still under way, whatever comes of it."""
    done: Deferred[None] = Deferred()
    writing.addBoth(lambda _: done.callback(None))
    await done


def _check(expected: Expected, size: int, checksum: str | None) -> None:
    if expected.size not in (None, size):
        raise BadValue("size", f"{expected.size} was promised, {size} bytes came")
    if expected.checksum not in (None, checksum):
        raise BadValue(
            "checksum", f"{expected.checksum} was promised, the MD5 is {checksum}"
        )
