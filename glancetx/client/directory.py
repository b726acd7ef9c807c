# Copyright glancetx contributors. See LICENSE for details.

"""
Which server has an image, and what it says of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from glancetx.errors import BadValue, NoSuchImage, OriginUnavailable
from glancetx.uris import is_image_id

from .problems import NotTrusted, ServerRefused
from .records import ImageRecord, Manifest
from .servers import Connection

__all__ = ["Directory", "Place", "about", "understood"]

NOT_FOUND = 404

_SIGNED = re.compile(r"gtx_[a-z]+=[A-Za-z0-9:_-]+(?:&gtx_[a-z]+=[A-Za-z0-9:_-]+){1,9}")

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
class Place:
    """
    Where an image is.

    :ivar query: of a signed URL, with its question mark; empty for any other.
    """

    connection: Connection
    image_id: str
    query: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        """Where the image is at its server; logs may show it."""
        return f"/images/{self.image_id}"


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

    def locate(self, image: str) -> Place:
        """
        The server of an image, and its id there.

        :param image: an id, which is of the first server, a URI, or a URL that was
            signed to read the image's own piece.
        :raises NotTrusted: if it is a URI of another server.
        :raises BadValue: if it is neither.
        """
        if is_image_id(image):
            return Place(self.home, image)
        uri, mark, query = image.partition("?")
        if not mark or _SIGNED.fullmatch(query):
            for connection in self.connections:
                image_id = connection.names.image_id(uri)
                if image_id is not None:
                    return Place(connection, image_id, mark + query)
        if "://" in image:
            raise NotTrusted(uri)
        raise BadValue("image", f"{image!r} is neither an image's id nor its URI")

    async def head(self, place: Place) -> ImageRecord:
        """
        What its server says of an image.

        :raises NoSuchImage: if it does not know it.
        """
        connection = place.connection
        asked = connection.ask("HEAD", place.path + place.query)
        response = await about(place.image_id, asked)
        return understood(connection.url, ImageRecord.from_headers, response.headers)

    async def chain(self, place: Place) -> Manifest:
        """
        The image and its parents.

        :raises NoSuchImage: if the server does not know it.
        """
        connection = place.connection
        asked = connection.ask_json("GET", f"{place.path}/chain{place.query}")
        found = await about(place.image_id, asked)
        return understood(connection.url, Manifest.from_json, found)
