# Copyright glancetx contributors. See LICENSE for details.

"""
What clients ask for before anything else: which versions there are, what an image looks
like, what can be done beyond the plain upload.

Links are made of the server's configured name, never of what a request calls it: an
answer may be kept by a cache, and clients send their tokens where links lead.
"""

from __future__ import annotations

from typing import Any

from werkzeug.routing import BaseConverter

from glancetx.uris import Names
from glancetx.web.bodies import answer_json
from glancetx.web.problems import answer_problem
from glancetx.web.request import Request
from glancetx.web.routes import Route

from .schemas import PUBLISHED

__all__ = ["VERSIONS", "Discovery", "OtherVersion"]

VERSIONS = (
    *("v2.17", "v2.15", "v2.9"),
    *("v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"),
)
"""
Those that every Glance of 2026 offers, newest first. It offers v2.8 and v2.10 to v2.13
where several stores can be chosen from, and v2.14, v2.16 and v2.18 where it has a cache
of its own: a client that sees their ids would ask for what is not here.
"""


class OtherVersion(BaseConverter):
    """A part of a path that names a version which is not offered."""

    known = "|".join(name[1:].replace(".", r"\.") for name in ("v1", "v2", *VERSIONS))
    regex = rf"v(?!(?:{known})$)[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?"


class Discovery:
    """``/``, ``/versions``, ``/v2/schemas/NAME`` and ``/v2/info/NAME``."""

    def __init__(self, own: Names) -> None:
        """:param own: under which names this server is known."""
        self._versions = _versions(f"{own.bases[0].url}/v2/")

    def routes(self) -> list[Route]:
        """What is served here: nothing of any image."""
        other = "/<other_version:version>"
        return [
            Route("GET", "/", self.choose, None, (300,), anonymous=True),
            Route("GET", "/versions", self.versions, None, anonymous=True),
            Route("GET", "/v2", self.versions, None, anonymous=True),
            Route("GET", "/v1", self.choose, None, (300,), anonymous=True),
            Route("GET", other, self.choose, None, (300,), anonymous=True),
            Route(
                "GET", f"{other}/<path:rest>", self.choose, None, (300,), anonymous=True
            ),
            Route("GET", "/v2/schemas/<name>", self.schema, None),
            Route("GET", "/v2/info/import", self.imports, None),
            Route("GET", "/v2/info/stores", self.stores, None, (404,)),
            Route("GET", "/v2/info/usage", self.usage, None),
        ]

    async def choose(self, request: Request, **ignored: str) -> bytes:
        """The versions that there are: for those who named none, or another one."""
        request.setResponseCode(300)
        return answer_json(request, self._versions)

    async def versions(self, request: Request) -> bytes:
        """The versions that there are."""
        return answer_json(request, self._versions)

    async def schema(self, request: Request, name: str) -> bytes:
        """The JSON schema of an image, a member or a task, or of a list of them."""
        if name not in PUBLISHED:
            known = ", ".join(PUBLISHED)
            return answer_problem(request, 404, f"no such schema; there are {known}")
        return answer_json(request, PUBLISHED[name])

    async def imports(self, request: Request) -> bytes:
        """The ways to import an image: none, images are uploaded."""
        methods = {
            "description": "Import methods available.",
            "type": "array",
            "value": [],
        }
        return answer_json(request, {"import-methods": methods})

    async def stores(self, request: Request) -> bytes:
        """The stores to choose from: there is no choice."""
        return answer_problem(
            request, 404, "there are no stores to choose from; leave the store out"
        )

    async def usage(self, request: Request) -> bytes:
        """What the caller's project uses of its quotas: there are none."""
        return answer_json(request, {"usage": {}})


def _versions(href: str) -> dict[str, Any]:
    """Each with a link: openstacksdk goes by it, and by nothing else."""
    return {
        "versions": [
            {
                "id": version,
                "status": "SUPPORTED" if number else "CURRENT",
                "links": [{"rel": "self", "href": href}],
            }
            for number, version in enumerate(VERSIONS)
        ]
    }
