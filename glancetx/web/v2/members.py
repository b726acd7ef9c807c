# Copyright glancetx contributors. See LICENSE for details.

"""
Projects that images are shared with: ``/v2/images/ID/members``.
"""

from __future__ import annotations

from typing import Any

from glancetx.image import Member, MemberStatus
from glancetx.library.sharing import Sharing
from glancetx.limits import Limits
from glancetx.times import format_time
from glancetx.web.bodies import answer_json, answer_nothing, read_json
from glancetx.web.links import checked_id
from glancetx.web.request import Request
from glancetx.web.routes import Route

from . import schemas

__all__ = ["MemberRoutes"]


class MemberRoutes:
    """``/v2/images/ID/members``"""

    def __init__(self, sharing: Sharing, limits: Limits) -> None:
        self._sharing = sharing
        self._limits = limits

    def routes(self) -> list[Route]:
        """What is served here."""
        many = "/v2/images/<image_id>/members"
        one = f"{many}/<project>"
        return [
            Route("GET", many, self.list, "get_members"),
            Route(
                "POST",
                many,
                self.add,
                "add_member",
                (200, 409, 413),
                body="member_create",
            ),
            Route("GET", one, self.show, "get_member"),
            Route(
                "PUT",
                one,
                self.update,
                "modify_member",
                (200, 413),
                body="member_update",
            ),
            Route("DELETE", one, self.remove, "delete_member", (204,)),
        ]

    async def list(self, request: Request, image_id: str) -> bytes:
        """``GET``: all of them for the owner, itself for a member."""
        members = await self._sharing.members(request.caller, checked_id(image_id))
        return answer_json(
            request,
            {
                "members": [_to_json(member) for member in members],
                "schema": "/v2/schemas/members",
            },
        )

    async def add(self, request: Request, image_id: str) -> bytes:
        """``POST``: share the image with one more project."""
        body = await self._read(request, "member_create")
        member = await self._sharing.add(
            request.caller, checked_id(image_id), body["member"]
        )
        return answer_json(request, _to_json(member))

    async def show(self, request: Request, image_id: str, project: str) -> bytes:
        """``GET`` of one."""
        member = await self._sharing.member(
            request.caller, checked_id(image_id), project
        )
        return answer_json(request, _to_json(member))

    async def update(self, request: Request, image_id: str, project: str) -> bytes:
        """``PUT``: accept or reject the image, for the caller's own project."""
        body = await self._read(request, "member_update")
        member = await self._sharing.set_status(
            request.caller,
            checked_id(image_id),
            project,
            MemberStatus(body["status"]),
        )
        return answer_json(request, _to_json(member))

    async def remove(self, request: Request, image_id: str, project: str) -> bytes:
        """``DELETE``: share it with a project no longer."""
        await self._sharing.remove(request.caller, checked_id(image_id), project)
        return answer_nothing(request)

    async def _read(self, request: Request, schema: str) -> dict[str, Any]:
        body: dict[str, Any] = await read_json(request, self._limits.json_bytes)
        schemas.validate(schema, body)
        return body


def _to_json(member: Member) -> dict[str, Any]:
    return {
        "member_id": member.project,
        "image_id": member.image_id,
        "status": member.status.value,
        "created_at": format_time(member.created_at),
        "updated_at": format_time(member.updated_at),
        "schema": "/v2/schemas/member",
    }
