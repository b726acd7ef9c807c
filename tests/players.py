# Copyright glancetx contributors. See LICENSE for details.

"""
Image servers for tests, played on twisted.web: a glancetx and a Glance.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from attrs import Factory, define
from twisted.web.resource import Resource
from twisted.web.server import Request

__all__ = ["Glance", "Glancetx", "Played", "image_id"]


def image_id(number: int) -> str:
    """The id of a test's nth image."""
    return f"00000000-0000-4000-8000-{number:012d}"


@define
class Played:
    """
    An image that a server plays to have.

    :ivar more: what it says besides, or instead; ``None`` leaves a thing out.
    """

    number: int
    data: bytes = b"the bytes of an image"
    parent: str | None = None
    more: dict[str, Any] = Factory(dict)

    @property
    def id(self) -> str:
        return image_id(self.number)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def said(self) -> dict[str, Any]:
        """What is said of it, without what is not known."""
        said = {
            "id": self.id,
            "name": f"image {self.number}",
            "status": "active",
            "disk_format": "qcow2",
            "size": len(self.data),
            "virtual_size": None,
            "checksum": hashlib.md5(self.data).hexdigest(),
            "os_hash_algo": "sha256",
            "os_hash_value": self.digest,
            **self.more,
        }
        return {name: value for name, value in said.items() if value is not None}


class _Player(Resource):
    """
    A server with some images.

    :ivar asked: method and path of each request, in order.
    """

    isLeaf = True

    def __init__(self, *images: Played) -> None:
        super().__init__()
        self.images = {image.id: image for image in images}
        self.asked: list[tuple[str, str]] = []

    def add(self, image: Played) -> None:
        self.images[image.id] = image

    def render(self, request: Request) -> bytes:
        path = request.path.decode("ascii")
        self.asked.append((request.method.decode("ascii"), path))
        return self.answer(request, path.split("/")[1:])

    def answer(self, request: Request, parts: list[str]) -> bytes:
        raise NotImplementedError

    def missing(self, request: Request) -> bytes:
        request.setResponseCode(404)
        return b""

    def send(self, request: Request, image: Played) -> bytes:
        asked = request.getHeader(b"range")
        if asked is None:
            return image.data
        first, last = (int(text) for text in asked.removeprefix(b"bytes=").split(b"-"))
        request.setResponseCode(206)
        request.setHeader(
            b"content-range", b"bytes %d-%d/%d" % (first, last, len(image.data))
        )
        return image.data[first : last + 1]


class Glancetx(_Player):
    """``/images/ID``, described in the headers."""

    def answer(self, request: Request, parts: list[str]) -> bytes:
        image = self.images.get(parts[-1])
        if image is None or parts[:-1] != ["images"]:
            return self.missing(request)
        said = image.said
        if image.parent is not None:
            said["parent_id"] = image.parent
        for name, value in said.items():
            header = f"X-Image-Meta-{name.capitalize()}".encode("ascii")
            request.setHeader(header, str(value).encode("utf-8"))
        request.setHeader(b"etag", f'"sha256-{image.digest}"'.encode("ascii"))
        return self.send(request, image)


class Glance(_Player):
    """``/v2/images/ID``, described in JSON; unversioned paths list the versions."""

    def answer(self, request: Request, parts: list[str]) -> bytes:
        if parts[0] != "v2":
            request.setResponseCode(300)
            return b'{"versions": []}'
        image = self.images.get(parts[2])
        if image is None or parts[1] != "images":
            return self.missing(request)
        if parts[3:] == ["file"]:
            return self.send(request, image)
        said = {**image.said, "visibility": "public", "tags": [], "min_disk": 0}
        if image.parent is not None:
            said["os_glance_parent_id"] = image.parent
        request.setHeader(b"content-type", b"application/json")
        return json.dumps(said).encode("ascii")
