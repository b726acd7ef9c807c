# Copyright glancetx contributors. See LICENSE for details.

"""
Images that are shared with other projects: who is invited, and what he makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from glancetx.caller import Caller
from glancetx.catalogue import Catalogue
from glancetx.errors import BadValue, Forbidden, NoSuchMember
from glancetx.identity.policy import Target
from glancetx.image import Image, Member, MemberStatus, Visibility
from glancetx.limits import Limits

from .access import Access

__all__ = ["Sharing"]

_LONGEST_PROJECT = 255


class Sharing:
    """The members of this server's images."""

    def __init__(
        self,
        access: Access,
        catalogue: Catalogue,
        limits: Limits,
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._catalogue = catalogue
        self._limits = limits
        self._now = now

    async def members(self, caller: Caller, image_id: str) -> Sequence[Member]:
        """
        Whom an image is shared with: all of them for its owner, himself for a member.

        :raises NoSuchImage: if there is none that the caller may see.
        :raises Forbidden: if the image is not a shared one.
        """
        image = await self._shared(caller, image_id, "get_members")
        members = await self._catalogue.members(image_id)
        if self._is_of_owner(caller, image):
            return members
        return [member for member in members if member.project == caller.project]

    async def member(self, caller: Caller, image_id: str, project: str) -> Member:
        """
        One project that an image is shared with.

        :raises NoSuchMember: if it is not, or the caller may not know.
        """
        image = await self._access.find(caller, image_id, "get_member")
        return await self._find(caller, image, project)

    async def add(self, caller: Caller, image_id: str, project: str) -> Member:
        """
        Share an image with a project, which may accept it then.

        :raises Forbidden: if the caller may not, or the image is not a shared one.
        :raises MemberExists: if it is shared with it already.
        :raises TooMany: if it is shared with as many as are allowed.
        """
        image = await self._shared(caller, image_id, "add_member")
        if not project or len(project) > _LONGEST_PROJECT:
            raise BadValue("member", f"must have 1 to {_LONGEST_PROJECT} characters")
        now = self._now()
        member = Member(image.id, project, MemberStatus.PENDING, now, now)
        await self._catalogue.add_member(member, self._limits.image_members)
        return member

    async def set_status(
        self, caller: Caller, image_id: str, project: str, status: MemberStatus
    ) -> Member:
        """
        Say what a project makes of an image that is shared with it.

        :raises Forbidden: if the caller does not speak for the project.
        :raises NoSuchMember: if the image is not shared with it, or the caller may not
            know.
        """
        image = await self._shared(caller, image_id, "get_member")
        await self._find(caller, image, project)
        if project != caller.project and not self._access.is_admin(caller):
            raise Forbidden(f"only project {project} itself may accept or reject this")
        self._access.require("modify_member", caller, Target(member_id=project))
        return await self._catalogue.set_member(image_id, project, status, self._now())

    async def remove(self, caller: Caller, image_id: str, project: str) -> None:
        """
        Share an image with a project no longer.

        :raises Forbidden: if the caller may not.
        :raises NoSuchMember: if it is not shared with it.
        """
        await self._shared(caller, image_id, "delete_member")
        await self._catalogue.remove_member(image_id, project)

    async def _shared(self, caller: Caller, image_id: str, rule: str) -> Image:
        image = await self._access.find(caller, image_id, rule)
        if image.visibility is not Visibility.SHARED:
            raise Forbidden(
                f"image {image_id} is {image.visibility}; only images whose visibility "
                "is shared have members"
            )
        return image

    async def _find(self, caller: Caller, image: Image, project: str) -> Member:
        if project == caller.project or self._is_of_owner(caller, image):
            member = await self._catalogue.membership(image.id, project)
            if member is not None:
                return member
        raise NoSuchMember(image.id, project)

    def _is_of_owner(self, caller: Caller, image: Image) -> bool:
        """Whether he may know of all members."""
        return self._access.is_admin(caller) or caller.project == image.owner
