# Copyright glancetx contributors. See LICENSE for details.

"""
What Glance has and this server has not, where its clients ask for it all the same: they
are told the truth in a way that they can go on with.
"""

from __future__ import annotations

from glancetx.errors import Forbidden
from glancetx.library.images import Images
from glancetx.web.bodies import answer_json
from glancetx.web.links import checked_id
from glancetx.web.problems import answer_problem
from glancetx.web.request import Request
from glancetx.web.routes import Route

__all__ = ["Absent"]


class Absent:
    """Tasks, and locations in stores that others can reach."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def routes(self) -> list[Route]:
        """What is served here; of an image only whether it is there."""
        image = "/v2/images/<image_id>"
        return [
            Route("GET", f"{image}/tasks", self.tasks_of, "get_image"),
            Route("GET", f"{image}/locations", self.locations, "get_image"),
            Route("POST", f"{image}/locations", self.locate, "get_image", (403,)),
            Route("GET", "/v2/tasks", self.tasks, None),
            Route("POST", "/v2/tasks", self.start, None, (403,)),
            Route("GET", "/v2/tasks/<task_id>", self.task, None, (404,)),
        ]

    async def tasks_of(self, request: Request, image_id: str) -> bytes:
        """The tasks that work on an image: none ever does."""
        await self._images.find(request.caller, checked_id(image_id))
        return answer_json(request, {"tasks": []})

    async def locations(self, request: Request, image_id: str) -> bytes:
        """Where the bytes of an image can be had without this server: nowhere."""
        await self._images.find(request.caller, checked_id(image_id))
        return answer_json(request, [])

    async def locate(self, request: Request, image_id: str) -> bytes:
        """To say where bytes lie instead of uploading them: not taken."""
        await self._images.find(request.caller, checked_id(image_id))
        raise Forbidden(
            "locations are not taken here; upload the bytes with PUT "
            f"/v2/images/{image_id}/file"
        )

    async def tasks(self, request: Request) -> bytes:
        """The tasks of the caller: there are none."""
        return answer_json(
            request, {"tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"}
        )

    async def start(self, request: Request) -> bytes:
        """To start a task: there is nothing to start."""
        raise Forbidden("there are no tasks here; images are uploaded, not imported")

    async def task(self, request: Request, task_id: str) -> bytes:
        """One task: there is none."""
        return answer_problem(request, 404, f"no task {task_id}; there are none here")
