# Copyright glancetx contributors. See LICENSE for details.

"""
Which changes of a record are lawful: who may make them, and what they must leave alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import evolve

from glancetx.caller import ANYONE, Caller
from glancetx.errors import Forbidden, TooMany
from glancetx.image import Image, Status, Visibility
from glancetx.limits import Limits

from .access import Access, owned

__all__ = ["Changes", "less_visible"]

_RULES = {
    Visibility.PUBLIC: "publicize_image",
    Visibility.COMMUNITY: "communitize_image",
}


def less_visible(*visibilities: Visibility) -> Visibility:
    """The one of them that the fewest see."""
    return min(visibilities, key=lambda visibility: visibility.rank)


class Changes:
    """Judges new records and changed ones."""

    def __init__(
        self, access: Access, limits: Limits, now: Callable[[], datetime]
    ) -> None:
        self._access = access
        self._limits = limits
        self._now = now

    def check_new(self, caller: Caller, image: Image, cap: Visibility) -> None:
        """
        :param cap: how visible its parents let it be.
        :raises Forbidden: if the caller may not make an image so visible, or it would
            be more visible than a parent.
        :raises TooMany: if there are more tags or properties than allowed.
        """
        self._check_visibility(caller, image, cap)
        self._check_counts(evolve(image, tags=frozenset(), properties={}), image)

    def judged(
        self,
        caller: Caller,
        alter: Callable[[Image], Image],
        cap: Visibility,
        image: Image,
    ) -> Image:
        """
        The record that a caller makes of one; it was not updated if it is as before.

        :param cap: how visible its parents let it be.
        :raises Forbidden: if he may not.
        :raises TooMany: if there are more tags or properties than allowed.
        """
        self._access.require("modify_image", caller, owned(image))
        changed = alter(image)
        if changed.visibility is not image.visibility:
            # To hide an image more is lawful, though its parent is hidden still more.
            raised = changed.visibility.rank > image.visibility.rank
            least = cap if raised else Visibility.PUBLIC
            self._check_visibility(caller, changed, least)
        if changed.owner != image.owner and not self._access.is_admin(caller):
            raise Forbidden("owner: only admins may give an image to another project")
        _check_formats(image, changed)
        self._check_counts(image, changed)
        updated = image.updated_at if changed == image else self._now()
        return evolve(changed, updated_at=updated)

    def _check_visibility(self, caller: Caller, image: Image, cap: Visibility) -> None:
        rule = _RULES.get(image.visibility)
        if rule is not None:
            self._access.require(rule, caller, owned(image))
        if image.visibility.rank > cap.rank and caller != ANYONE:
            raise Forbidden(
                f"visibility: an image cannot be {image.visibility} if a parent of it "
                f"is {cap}"
            )

    def _check_counts(self, image: Image, changed: Image) -> None:
        """What was lawful before a limit was lowered stays, but becomes no more."""
        limits = self._limits
        for name, before, after, most in (
            ("tags", len(image.tags), len(changed.tags), limits.image_tags),
            (
                "properties",
                len(image.properties),
                len(changed.properties),
                limits.image_properties,
            ),
            (
                "bytes of all properties together",
                _property_bytes(image),
                _property_bytes(changed),
                limits.property_bytes,
            ),
        ):
            if after > max(most, before):
                raise TooMany(name, most)


def _property_bytes(image: Image) -> int:
    """How much they add to each list that the image is in."""
    return sum(
        len(text.encode("utf-8")) for pair in image.properties.items() for text in pair
    )


def _check_formats(image: Image, changed: Image) -> None:
    """:raises Forbidden: if the bytes are here, or on their way, by another format."""
    if image.status is Status.QUEUED:
        return
    for name in ("disk_format", "container_format"):
        if getattr(image, name) != getattr(changed, name):
            raise Forbidden(f"{name}: cannot be changed once the image has bytes")
