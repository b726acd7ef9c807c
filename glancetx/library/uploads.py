# Copyright glancetx contributors. See LICENSE for details.

"""
Bytes on their way into a store: digested, inspected, and kept whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed
from txaio.tx import as_future

from glancetx.caller import Grant
from glancetx.errors import BadValue
from glancetx.image import Digest, Image
from glancetx.interfaces import IPieceWriter
from glancetx.streaming.digest import Digests, Hashing

from .formats import INSPECT_BYTES, Inspection

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
    """What is said of bytes that will come, ``None`` where nothing is said."""

    size: int | None = None
    checksum: str | None = None
    digest: Digest | None = None

    def bound_by(self, grant: Grant | None) -> Expected:
        """
        The same, and what the signed URL says by which they come.

        :raises BadValue: if they differ.
        """
        if grant is None or grant.method != "PUT":
            return self
        if self.size not in (None, grant.size):
            raise BadValue("size", f"the URL is signed for {grant.size} bytes")
        algorithm, _, value = grant.digest.partition(":")
        return evolve(self, size=grant.size, digest=Digest(algorithm, value))

    def check_length(self, length: int | None) -> None:
        """
        Compare with what the body announces.

        :raises BadValue: if they differ.
        """
        if None not in (self.size, length) and self.size != length:
            raise BadValue("size", f"{self.size} was promised, the body has {length}")


@frozen
class Received:
    """
    What was found while the bytes passed.

    :ivar checksum: their MD5, if it was made.
    :ivar virtual_size: bytes of the disk that a machine sees, if that is known.
    """

    size: int
    digest: Digest
    checksum: str | None
    virtual_size: int | None = None


class Uploads:
    """Moves bytes from sources to writers."""

    def __init__(
        self,
        digests: Digests,
        algorithm: str,
        md5: bool,
        inspect_bytes: int = INSPECT_BYTES,
    ) -> None:
        """
        :param algorithm: of the main digest, by the name of ``hashlib``.
        :param md5: whether a checksum is made even if no client asks for one.
        :param inspect_bytes: the most that is looked at to tell the format.
        """
        self._digests = digests
        self._algorithm = algorithm
        self._md5 = md5
        self._inspect_bytes = inspect_bytes

    async def receive(
        self,
        source: Source,
        writer: IPieceWriter,
        expected: Expected,
        image: Image,
    ) -> Received:
        """
        Write everything that the source has; durable when this returns.

        :param image: what was declared of the bytes.
        :raises WrongFormat: if they are not, before anything that follows is read.
        :raises BadValue: if the bytes are not what was expected.
        :raises BodyLost: if the source ends early.
        :raises StoreFull: if the store has no room.
        """
        hashing = self._start(expected)
        inspection = Inspection(
            image.disk_format or "",
            image.container_format or "",
            bool(image.parents),
            most=self._inspect_bytes,
        )
        size = await _copy(source, writer, hashing, expected, inspection)
        values = await hashing.finish()
        _check(expected, size, values)
        virtual_size = inspection.finish(size)
        await as_future(writer.finish)
        return Received(
            size=size,
            digest=Digest(self._algorithm, values[self._algorithm]),
            checksum=values[MD5] if self._md5 else None,
            virtual_size=virtual_size,
        )

    def _start(self, expected: Expected) -> Hashing:
        wanted = {self._algorithm}
        if self._md5 or expected.checksum is not None:
            wanted.add(MD5)
        if expected.digest is not None:
            wanted.add(expected.digest.algorithm)
        return self._digests.start(*sorted(wanted))


async def _copy(
    source: Source,
    writer: IPieceWriter,
    hashing: Hashing,
    expected: Expected,
    inspection: Inspection,
) -> int:
    size = 0
    writing: Deferred[None] = succeed(None)
    try:
        while data := await source.read():
            size += len(data)
            if expected.size is not None and size > expected.size:
                raise BadValue("size", f"more than the {expected.size} bytes promised")
            inspection.eat(data)
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


def _check(expected: Expected, size: int, values: Mapping[str, str]) -> None:
    if expected.size not in (None, size):
        raise BadValue("size", f"{expected.size} was promised, {size} bytes came")
    if expected.checksum not in (None, values.get(MD5)):
        raise BadValue(
            "checksum", f"{expected.checksum} was promised, the MD5 is {values[MD5]}"
        )
    promised = expected.digest
    if promised is not None and values[promised.algorithm] != promised.value:
        raise BadValue(
            "digest",
            f"the URL is signed for {promised.algorithm} {promised.value}, the bytes "
            f"have {values[promised.algorithm]}",
        )
