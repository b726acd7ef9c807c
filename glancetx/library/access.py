# Copyright glancetx contributors. See LICENSE for details.

"""
Whether a caller may do what he asks for: judged by the record in the catalogue, before
anything is looked for in a store or on another server.
"""

from __future__ import annotations

from typing import Protocol

from glancetx.caller import NOBODY, Caller
from glancetx.errors import Forbidden, NoSuchImage
from glancetx.identity.policy import Policy, Target
from glancetx.image import Image, Member, Status, Visibility

__all__ = ["READ_BY", "Access", "Records", "owned"]

_SEEN_BY = ("get_image", "read_public_image", "carry_image")

#: The rules of which one is enough to read bytes by ``/images``: what zone servers and
#: caches read there, they read for others.
READ_BY = ("download_image", "read_public_image", "carry_image")


_GRANTED = {"GET": "download_image", "PUT": "upload_image"}


class Records(Protocol):
    """What is asked of the catalogue."""

    async def find(self, image_id: str) -> Image:
        """The record of an image; raises ``NoSuchImage``."""

    async def membership(self, image_id: str, project: str) -> Member | None:
        """Whether an image is shared with a project."""


class Access:
    """Judges callers by the policy."""

    def __init__(self, policy: Policy, catalogue: Records) -> None:
        self._policy = policy
        self._catalogue = catalogue

    @property
    def open_door(self) -> bool:
        """Whether public images may be read by those who have shown no identity."""
        public = Target(visibility=Visibility.PUBLIC)
        return self._policy.allows("read_public_image", NOBODY, public)

    def is_admin(self, caller: Caller) -> bool:
        """Whether a caller is an admin, of all projects."""
        return self._policy.allows("context_is_admin", caller, Target())

    async def find(self, caller: Caller, image_id: str, *rules: str) -> Image:
        """
        An image, for one who may do with it what a rule is about.

        :param rules: one of which is enough; without any he must see it only.
        :raises NoSuchImage: if there is none that he may see.
        :raises Forbidden: if he may see it, but not do that.
        """
        image = await self._catalogue.find(image_id)
        target = await self._target(caller, image)
        if not (
            self._any(_SEEN_BY, caller, target)
            or _granted(caller, image, *_GRANTED.values())
        ):
            raise NoSuchImage(image_id)
        if rules and not (
            self._any(rules, caller, target) or _granted(caller, image, *rules)
        ):
            self.require(rules[0], caller, target)
        if "download_image" in rules:
            self.require_active(caller, image)
        return image

    def require(self, rule: str, caller: Caller, target: Target) -> None:
        """:raises Forbidden: if a rule does not allow something."""
        if not self._policy.allows(rule, caller, target):
            raise Forbidden(f"you are not allowed to do this (policy rule {rule})")

    def require_still(self, rule: str, caller: Caller, image: Image) -> None:
        """
        Judge again what was allowed, by a record that is now locked against changes.

        :raises Forbidden: if a change meanwhile took the right away.
        """
        if not _granted(caller, image, rule):
            self.require(rule, caller, owned(image))

    def require_active(self, caller: Caller, image: Image) -> None:
        """:raises Forbidden: if it is deactivated, and the caller is no admin."""
        if image.status is Status.DEACTIVATED and not self.is_admin(caller):
            raise Forbidden(
                f"image {image.id} is deactivated; only admins may read its bytes"
            )

    async def require_reader(self, caller: Caller, image: Image) -> None:
        """:raises Forbidden: if he may not read the bytes, were the image active."""
        target = await self._target(caller, image)
        if not self._any(READ_BY, caller, target):
            self.require(READ_BY[0], caller, target)

    def _any(self, rules: tuple[str, ...], caller: Caller, target: Target) -> bool:
        return any(self._policy.allows(rule, caller, target) for rule in rules)

    async def _target(self, caller: Caller, image: Image) -> Target:
        """What the rules look at: sharing means nothing to those it leaves out."""
        target = owned(image)
        if (
            image.visibility is not Visibility.SHARED
            or caller.project in (None, image.owner)
            or self.is_admin(caller)
        ):
            return target
        member = await self._catalogue.membership(image.id, caller.project or "")
        if member is None:
            return Target(image.owner)
        return Target(image.owner, member.project, image.visibility)


def owned(image: Image) -> Target:
    """What the rules look at where nobody's membership matters."""
    shown = image.visibility
    if shown is Visibility.SHARED:
        shown = Visibility.PRIVATE
    return Target(image.owner, None, shown)


def _granted(caller: Caller, image: Image, *rules: str) -> bool:
    """Whether a signed URL is for this, for this image and for these bytes of it."""
    grant = caller.grant
    if grant is None or grant.image_id != image.id:
        return False
    if _GRANTED[grant.method] not in rules:
        return False
    if image.digest is None:
        return grant.method == "PUT"
    return grant.digest == f"{image.digest.algorithm}:{image.digest.value}"
