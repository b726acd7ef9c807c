# Copyright glancetx contributors. See LICENSE for details.

"""
Which server has an image, and what it says of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import frozen

from glancetx.errors import BadValue, NoSuchImage, OriginUnavailable
from glancetx.uris import is_image_id

from .problems import NotTrusted, ServerRefused
from .records import ImageRecord, Manifest
from .servers import Connection

__all__ = ["Directory", "about", "understood"]

NOT_FOUND = 404

T = TypeVar("T")


async def about(image_id: str, answer: Awaitable[T]) -> T:
    """
    Wait for an answer on one image.

    :raises NoSuchImage: if the server does not know it.
    """
    try:
        return await answer
    except ServerRefused as refusal:
        if refusal.status == NOT_FOUND:
            raise NoSuchImage(image_id) from None
        raise


def understood(url: str, parse: Callable[[Any], T], answer: Any) -> T:
    """
    What a server's answer means.

    :raises OriginUnavailable: if it makes no sense.
    """
    try:
        return parse(answer)
    except ValueError as problem:
        raise OriginUnavailable(url, f"its answer cannot be used: {problem}") from None


@frozen
class Directory:
    """
    The servers that may be asked.

    :ivar connections: the one that ids are known at comes first.
    """

    connections: Sequence[Connection]

    @property
    def home(self) -> Connection:
        """The server where images are put."""
        return self.connections[0]

    def locate(self, image: str) -> tuple[Connection, str]:
        """
        The server of an image, and its id there.

        :param image: an id, which is of the first server, or a URI.
        :raises NotTrusted: if it is a URI of another server.
        :raises BadValue: if it is neither.
        """
        if is_image_id(image):
            return self.home, image
        for connection in self.connections:
            image_id = connection.names.image_id(image)
            if image_id is not None:
                return connection, image_id
        if "://" in image:
            raise NotTrusted(image)
        raise BadValue("image", f"{image!r} is neither an image's id nor its URI")

    async def head(self, connection: Connection, image_id: str) -> ImageRecord:
        """
        What the server says of an image.

        :raises NoSuchImage: if it does not know it.
        """
        asked = connection.ask("HEAD", f"/images/{image_id}")
        response = await about(image_id, asked)
        return understood(connection.url, ImageRecord.from_headers, response.headers)

    async def chain(self, connection: Connection, image_id: str) -> Manifest:
        """
        The image and its parents.

        :raises NoSuchImage: if the server does not know it.
        """
        asked = connection.ask_json("GET", f"/images/{image_id}/chain")
        found = await about(image_id, asked)
        return understood(connection.url, Manifest.from_json, found)
