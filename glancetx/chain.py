# Copyright glancetx contributors. See LICENSE for details.

"""
An image and its parents, child first.
"""

from __future__ import annotations

from .errors import WrongState
from .image import Image, Pin, Status

__all__ = ["chain_of", "pin_of"]


def pin_of(image: Image) -> Pin:
    """
    What a child of this image would know of it.

    :raises WrongState: unless it has bytes.
    """
    if not image.status.has_bytes or image.size is None or image.digest is None:
        raise WrongState(image.id, image.status, Status.ACTIVE)
    return Pin(
        origin=None,
        image_id=image.id,
        path="",
        name=image.name,
        disk_format=image.disk_format or "raw",
        size=image.size,
        virtual_size=image.virtual_size,
        checksum=image.checksum,
        digest=image.digest,
        visibility=image.visibility,
        anonymous=False,
    )


def chain_of(image: Image) -> tuple[Pin, ...]:
    """
    The image itself, then its parents.

    :raises WrongState: unless it has bytes.
    """
    return (pin_of(image), *image.parents)
