# Copyright glancetx contributors. See LICENSE for details.

"""
Servers that know their callers by tokens, and a cast of callers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from glancetx.config import IdentityConfig
from glancetx.identity.tokenfile import add_token
from glancetx.times import utcnow

from .servers import Reply, RunningServer, ServerCase

__all__ = ["CAST", "Persona", "PersonaCase"]


@frozen
class Persona:
    """Who asks: a project and the roles that he has in it."""

    name: str
    project: str
    roles: tuple[str, ...]


CAST = (
    Persona("admin", "operators", ("admin",)),
    Persona("owner", "alpha", ("member",)),
    Persona("owner-reader", "alpha", ("reader",)),
    Persona("member", "beta", ("member",)),
    Persona("member-reader", "beta", ("reader",)),
    Persona("stranger", "gamma", ("member",)),
    Persona("stranger-reader", "gamma", ("reader",)),
    Persona("service", "services", ("service",)),
)


class PersonaCase(ServerCase):
    """
    A test with callers that servers know.

    :ivar tokens: of the cast, by name; empty for nobody.
    :ivar identity: the configuration of a server that knows them.
    """

    def setUp(self) -> None:
        super().setUp()
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        path = os.path.join(folder, "tokens.toml")
        self.tokens = {"nobody": ""}
        for one in CAST:
            made = add_token(path, one.name, one.project, one.roles, None, utcnow())
            self.tokens[one.name] = made.text
        self.identity = IdentityConfig(kind="tokens", tokens_file=path)

    async def ask(
        self,
        server: RunningServer,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        **headers: str,
    ) -> Reply:
        """
        Send a request as somebody.

        :param body: bytes, or what is sent as JSON.
        :param headers: with ``_`` for ``-``.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.tokens[who]:
            sent["x-auth-token"] = self.tokens[who]
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode("utf-8")
            sent.setdefault("content-type", "application/json")
        return await server.ask(method, path, sent, body)

    async def make(
        self,
        server: RunningServer,
        who: str,
        fields: Mapping[str, Any],
        data: bytes | None = b"some bytes",
    ) -> str:
        """
        Make an image by the Image API, as somebody.

        :param data: its bytes, ``None`` to leave it queued.
        """
        record = {"disk_format": "raw", "container_format": "bare", **fields}
        reply = await self.ask(server, who, "POST", "/v2/images", record)
        assert reply.code == 201, reply
        image_id: str = reply.json["id"]
        if data is not None:
            path = f"/v2/images/{image_id}/file"
            octets = "application/octet-stream"
            reply = await self.ask(server, who, "PUT", path, data, content_type=octets)
            assert reply.code == 204, reply
        return image_id
