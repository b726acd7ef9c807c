# Copyright glancetx contributors. See LICENSE for details.

"""
``/images/ID/leases``: who needs an image elsewhere.
"""

from __future__ import annotations

from typing import Any

from glancetx.errors import BadValue
from glancetx.image import Digest, Lease
from glancetx.library.leases import Leases
from glancetx.limits import Limits
from glancetx.times import format_time
from glancetx.uris import is_image_id, parse_base

from .bodies import answer_json, answer_nothing, read_json
from .links import checked_id
from .request import Request
from .routes import Route
from .v2.schemas import validate

__all__ = ["LeaseRoutes"]

SCHEMA = "lease"


class LeaseRoutes:
    """Other servers' leases of this one's images."""

    def __init__(self, leases: Leases, limits: Limits) -> None:
        self._leases = leases
        self._limits = limits

    def routes(self) -> list[Route]:
        """What is served here."""
        many = "/images/<image_id>/leases"
        one = f"{many}/<holder>"
        giving = (200, 201, 409, 413)
        return [
            Route("GET", many, self.list, "get_leases"),
            Route("PUT", one, self.give, "lease_image", giving, SCHEMA),
            Route("DELETE", one, self.end, "drop_lease", (204,)),
        ]

    async def list(self, request: Request, image_id: str) -> bytes:
        """``GET /images/ID/leases``: all of them, those that have expired too."""
        found = await self._leases.all(request.caller, checked_id(image_id))
        return answer_json(request, {"leases": [self._json(lease) for lease in found]})

    async def give(self, request: Request, image_id: str, holder: str) -> bytes:
        """``PUT /images/ID/leases/HOLDER``: a new lease, or the same for longer."""
        checked_id(image_id)
        if not is_image_id(holder):
            raise BadValue("holder", "must be a lower-case UUID with dashes")
        said = await read_json(request, self._limits.json_bytes)
        validate(SCHEMA, said)
        lease, new = await self._leases.give(
            request.caller,
            image_id,
            holder,
            parse_base(said["url"]).url,
            Digest(**said["digest"]),
            said["seconds"],
        )
        request.setResponseCode(201 if new else 200)
        return answer_json(request, {"lease": self._json(lease)})

    async def end(self, request: Request, image_id: str, holder: str) -> bytes:
        """``DELETE /images/ID/leases/HOLDER``: the image is not needed there."""
        await self._leases.end(request.caller, checked_id(image_id), holder)
        return answer_nothing(request)

    def _json(self, lease: Lease) -> dict[str, Any]:
        return {
            "image_id": lease.image_id,
            "holder": lease.holder,
            "url": lease.url,
            "project": lease.project,
            "created_at": format_time(lease.created_at),
            "until": format_time(lease.until),
            "seconds": max(0, int(self._leases.seconds_left(lease))),
            "expired": self._leases.is_expired(lease),
        }
