# Copyright glancetx contributors. See LICENSE for details.

"""
Images in addresses: the ids in the paths of requests, the URIs in answers.
"""

from __future__ import annotations

from glancetx.errors import NoSuchImage
from glancetx.image import Image, Pin
from glancetx.uris import Names, is_image_id

__all__ = ["checked_id", "parent_uri", "pin_uri"]


def checked_id(image_id: str) -> str:
    """
    An id out of a path.

    :raises NoSuchImage: if no image can have it.
    """
    if not is_image_id(image_id):
        raise NoSuchImage(image_id)
    return image_id


def parent_uri(image: Image, own: Names) -> str | None:
    """The URI of an image's parent, for others."""
    return pin_uri(image.parents[0], own) if image.parents else None


def pin_uri(pin: Pin, own: Names) -> str:
    """The URI of a chain's image, for others."""
    if pin.origin is None:
        return own.uri(pin.image_id)
    return pin.origin + pin.path
