# Copyright glancetx contributors. See LICENSE for details.

"""
Images on servers: kept, found, and streamed with all that they are differences to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.http_headers import Headers

from glancetx.errors import PieceCorrupt
from glancetx.limits import Limits
from glancetx.outbound import Outbound
from glancetx.streaming.digest import Digests, Hashing
from glancetx.streaming.player import Player

from .directory import Directory, about, understood
from .metadata import image_headers
from .reading import Reader
from .records import ImageRecord, Manifest
from .servers import Connection, Server
from .sources import Source, open_source
from .upload import Body

__all__ = ["ImageClient"]

THREADS = 4
"""For files that are read and digests that are made."""

HASH = "sha256"
"""The digest that is made of what is sent; servers make it too unless told else."""


def _ignore(count: int) -> None:
    """Count nothing."""


class ImageClient:
    """
    Talks to one image server, and reads from the others that it is told to trust.

    Images are named by an id, which is one of the server's, or by a URI of any of
    the trusted servers; a signed URL will do for an image's own piece. Use it as an
    async context manager, or close it. Every method raises
    :class:`OriginUnavailable` if a server cannot be reached or is lost on the way,
    and :class:`ServerRefused` with the server's sentence if it refuses.
    """

    def __init__(
        self,
        reactor: Any,
        server: str | Server,
        trusted: Iterable[str | Server] = (),
        limits: Limits | None = None,
    ) -> None:
        """
        :param server: where images are put, listed and looked up by id.
        :param trusted: which others may be read from.
        :param limits: ``chain_depth``, ``origin_seconds`` and ``origin_tries`` hold.
        :raises BadValue: if a URL is no usable address of a server.
        """
        limits = limits or Limits()
        self._reactor = reactor
        self._outbound = Outbound(reactor, limits)
        self._directory = Directory(
            [
                Connection(
                    one if isinstance(one, Server) else Server(one),
                    self._outbound,
                    reactor,
                )
                for one in (server, *trusted)
            ]
        )
        self._threads = ThreadPool(0, THREADS, "glancetx-client")
        self._digests = Digests(reactor, self._threads)
        self._reader = Reader(
            self._directory,
            Player(reactor, self._threads),
            self._digests,
            reactor,
            limits,
        )
        self._threads.start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End its threads, and the connections that are idle."""
        await self._outbound.stop()
        self._threads.stop()

    async def add_image(
        self,
        metadata: Mapping[str, Any],
        source: Source | None,
        size: int | None = None,
        parent: str | None = None,
        progress: Callable[[int], object] = _ignore,
    ) -> ImageRecord:
        """
        Make a new image.

        :param metadata: see :func:`glancetx.client.metadata.image_headers`.
        :param source: its bytes; ``None`` makes a record that waits for them.
        :param size: how many there are, where only the caller knows.
        :param parent: the id or URI of the image that they are a difference to.
        :param progress: told the length of each chunk that was sent.
        :raises BadValue: if the metadata cannot be sent, or the size is wrong.
        :raises OSError: if the source cannot be read.
        :raises PieceCorrupt: if the server stored other bytes than were sent.
        """
        if source is None:
            headers = image_headers(metadata, size, parent)
            answer = await self._directory.home.ask_json("POST", "/images", headers)
            return self._record(answer)

        def make_headers(known: int | None) -> Headers:
            return image_headers(metadata, known, parent)

        return await self._send("POST", "/images", make_headers, source, size, progress)

    async def put_image(
        self,
        image_id: str,
        source: Source,
        size: int | None = None,
        progress: Callable[[int], object] = _ignore,
    ) -> ImageRecord:
        """
        Bring the bytes to a record that waits for them; else as :meth:`add_image`.

        :raises NoSuchImage: if the server does not know the id.
        """

        def make_headers(known: int | None) -> Headers:
            return image_headers({}, known)

        path = f"/images/{image_id}"
        sent = self._send("PUT", path, make_headers, source, size, progress)
        return await about(image_id, sent)

    async def _send(
        self,
        method: str,
        path: str,
        make_headers: Callable[[int | None], Headers],
        source: Source,
        size: int | None,
        progress: Callable[[int], object],
    ) -> ImageRecord:
        opened = await open_source(source, size, self._threaded)
        try:
            hashing = self._digests.start(HASH)
            # "Content-Length: 0" would be a record that waits for its bytes
            length = opened.size or None
            body = Body(_hashed(opened.chunks, hashing), length, progress)
            headers = make_headers(opened.size)
            answer = await self._directory.home.send(method, path, headers, body)
            record = self._record(answer)
            await _compare(record, hashing)
            return record
        finally:
            opened.close()

    def _threaded(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._threads, function, *args)

    def _record(self, answer: dict[str, Any]) -> ImageRecord:
        home = self._directory.home.url
        return understood(home, ImageRecord.from_json, answer.get("image"))

    async def get_piece(self, image: str, consumer: IConsumer, start: int = 0) -> None:
        """
        Write an image's own piece to a consumer, and nothing of its parents.

        What breaks is asked for again from where it broke. The last chunk is held
        back until the digest is right.

        :param start: the first byte; only what is read from byte 0 is verified.
        :raises NoSuchImage: if the server does not know it.
        :raises NotTrusted: if it is on a server that we were not told to trust.
        :raises WrongState: if the image has no bytes yet.
        :raises PieceCorrupt: if the bytes are not those that were stored.
        :raises PieceTruncated: if the server was lost for good on the way.
        :raises ReaderGone: if the consumer left.
        """
        await self._reader.play_piece(image, consumer, start)

    async def get_image(
        self, image: str, consumer: IConsumer, join: bool = True, start: int = 0
    ) -> None:
        """
        Write an image's piece to a consumer, then its parent's, to the last.

        Each piece is verified as in :meth:`get_piece`, which also says what is
        raised.

        :param join: let the image's server join the pieces; else each is asked of
            the server that its child names, if that is one we were told to trust.
        :param start: the first byte; a piece that is not read whole is not verified.
        :raises BadValue: if the chain has a circle, or is too long.
        """
        play = self._reader.play_joined if join else self._reader.play_followed
        await play(image, consumer, start)

    async def head_image(self, image: str) -> ImageRecord:
        """
        What its server says of an image.

        :raises NoSuchImage: if it does not know it.
        :raises NotTrusted: if it is on a server that we were not told to trust.
        """
        return await self._directory.head(self._directory.locate(image))

    async def chain(self, image: str) -> Manifest:
        """The image and its parents, child first; raises as :meth:`head_image`."""
        return await self._directory.chain(self._directory.locate(image))

    async def delete_image(self, image: str) -> None:
        """
        Delete an image for good; raises as :meth:`head_image`.

        :raises ServerRefused: e.g. because other images are differences to it.
        """
        place = self._directory.locate(image)
        asked = place.connection.ask("DELETE", place.path + place.query)
        await about(place.image_id, asked)

    async def list_images(
        self, filters: Mapping[str, Any] | None = None, page: int = 100
    ) -> AsyncGenerator[ImageRecord, None]:
        """
        The server's images, newest first, asked for page by page.

        :param filters: by ``name``, ``status``, ``disk_format``,
            ``container_format``, ``size_min``, ``size_max`` (bytes) or
            ``property-NAME``.
        """
        home = self._directory.home
        query = {**(filters or {}), "limit": page}
        more = True
        while more:
            found = await home.ask_json("GET", f"/images/detail?{urlencode(query)}")
            records, more = understood(home.url, _page, found)
            for record in records:
                yield record
            if more:
                query["marker"] = records[-1].id


def _page(found: dict[str, Any]) -> tuple[list[ImageRecord], bool]:
    """The images of one page, and whether there is another."""
    if not isinstance(found.get("images"), list):
        raise ValueError("it lists no images")
    records = [ImageRecord.from_json(one) for one in found["images"]]
    return records, bool(records) and "next" in found


async def _hashed(
    chunks: AsyncGenerator[bytes, None], hashing: Hashing
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            hashing.update(chunk)
            yield chunk
            if hashing.lagging:
                await hashing.ready()


async def _compare(record: ImageRecord, hashing: Hashing) -> None:
    """:raises PieceCorrupt: if the server stored other bytes than were sent."""
    sent = await hashing.finish()
    stored = record.digest
    if stored is not None and sent.get(stored.algorithm, stored.value) != stored.value:
        raise PieceCorrupt(
            record.id,
            f"its {stored.algorithm} is {stored.value}, and "
            f"{sent[stored.algorithm]} was sent; delete it and upload again",
        )
