# Copyright glancetx contributors. See LICENSE for details.

"""
A real HTTP cache in front of a server that asks who is there: it shows nobody what the
server itself would not.
"""

from __future__ import annotations

import os
import re
from copy import copy
from datetime import timedelta
from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, cast

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from glancetx.caller import Grant
from glancetx.config import OriginConfig
from glancetx.identity.keyfile import add_key
from glancetx.identity.signatures import Signatures
from glancetx.identity.tokenfile import revoke_token
from glancetx.identity.tokens import Tokens
from glancetx.web import entity
from tests.personas import PersonaCase
from tests.servers import Reply, RunningServer, reactor

from .caches import NGINX, SQUID, VARNISH, Cache, Kind

DATA, DELTA = b"golden bytes" * 1000, b"what differs"
ETAG = f'"sha256-{sha256(DATA).hexdigest()}"'
HOUR = timedelta(hours=1)
CALLERS = ("owner", "nobody", "stranger", "owner", "member", "admin", "nobody")
WISHES: tuple[tuple[str, dict[str, str]], ...] = (
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"range": "bytes=1-5"}),
    ("GET", {"if_none_match": ETAG}),
)
PATCH = {"content_type": "application/openstack-images-v2.1-json-patch"}

if TYPE_CHECKING:
    Base = PersonaCase
else:
    Base = object  # trial would run the mixin, too


class SharedCacheTests(Base):
    """What every cache keeps to itself; a mixin."""

    kind: ClassVar[Kind]
    server: RunningServer
    front: RunningServer

    async def start(self) -> None:
        self.kind.require()
        self.tokens_file = self.identity.tokens_file or ""
        keys = os.path.join(os.path.dirname(self.tokens_file), "keys.toml")
        add_key(keys)
        self.signer = Signatures(keys)
        identity = evolve(self.identity, signing_keys_file=keys)
        self.server = await self.serve(identity=identity)
        cache = Cache(self.kind, self.server.port)
        self.addCleanup(lambda: Deferred.fromCoroutine(cache.stop()))
        await cache.listens()
        self.front = copy(self.server)
        self.front.url = f"http://127.0.0.1:{cache.port}"

    async def image(self, visibility: str, **fields: Any) -> str:
        """An image of the owner's project."""
        facts = {"visibility": visibility, "owner": "alpha", **fields}
        return await self.make(self.server, "admin", facts, DATA)

    async def read(
        self, who: str, path: str, method: str = "GET", **headers: str
    ) -> Reply:
        """Ask by the cache."""
        return await self.ask(self.front, who, method, path, None, **headers)

    async def check(self, path: str, method: str = "GET", **headers: str) -> None:
        """Everyone gets by the cache what he gets without it, whoever came before."""
        for who in CALLERS:
            got = await self.read(who, path, method, **headers)
            wanted = await self.ask(self.server, who, method, path, None, **headers)
            said = (who, method, path, headers)
            if (got.code, wanted.code) == (200, 304):
                continue  # a cache may send again what its client has
            self.assertEqual((got.code, got.body), (wanted.code, wanted.body), said)

    async def sent(self) -> int:
        """How many bytes of images the server has sent."""
        text = (await self.ask(self.server, "nobody", "GET", "/metrics")).body.decode()
        found = re.findall(r"^glancetx_sent_bytes_total\S* (\S+)$", text, re.MULTILINE)
        return sum(int(float(value)) for value in found)

    async def test_private(self) -> None:
        """
        What is not for everyone is for those only whom the server shows it to.
        """
        await self.start()
        parent = await self.image("private")
        child = await self.image("private", parent_id=parent)
        bodies = [f"/v2/images/{parent}/file", f"/images/{parent}"]
        bodies += [f"/images/{child}/{name}" for name in ("stream", "chain.tar")]
        for path, (method, headers) in product(bodies, WISHES):
            await self.check(path, method, **headers)
        for route in self.server.parts.routes.all:
            path = route.path.replace("<image_id>", child)
            if route.method == "GET" and route.rule and "<" not in path:
                await self.check(path)

    async def test_public(self) -> None:
        """
        A public image crosses once for all who show no token, and is the same for
        those who show one.
        """
        await self.start()
        path = f"/images/{await self.image('public')}"
        for _ in range(3):
            self.assertEqual((await self.read("nobody", path)).body, DATA)
        self.assertEqual(await self.sent(), len(DATA))
        for who in CALLERS:
            self.assertEqual((await self.read(who, path)).body, DATA)
        bearer = {"authorization": f"Bearer {self.tokens['owner']}"}
        self.assertEqual((await self.read("nobody", path, **bearer)).body, DATA)

    async def test_hidden(self) -> None:
        """
        What was public is shown to nobody who may not read it once its time is over,
        whoever reads it still.
        """
        await self.start()
        self.patch(entity, "PUBLIC", b"public, max-age=1")
        image_id = await self.image("public")
        path = f"/images/{image_id}"
        grant = Grant("GET", image_id, f"sha256:{sha256(DATA).hexdigest()}")
        signed = f"{path}?{self.signer.sign(grant, path, HOUR)}"
        self.assertEqual((await self.read("nobody", path)).body, DATA)
        body = [{"op": "replace", "path": "/visibility", "value": "private"}]
        record = f"/v2{path}"
        await self.ask(self.server, "admin", "PATCH", record, body, **PATCH)
        while (await self.read("nobody", path)).code == 200:
            await deferLater(reactor, 0.1)
        for who, asked in (("owner", path), ("nobody", signed)):
            self.assertEqual((await self.read(who, asked)).body, DATA)
            self.assertEqual((await self.read("nobody", path)).code, 401, asked)
            self.assertEqual((await self.read("stranger", path)).code, 404, asked)

    async def test_rights(self) -> None:
        """
        A right that is taken away is no more from then on, and a signed URL opens
        nothing to those who have it not.
        """
        await self.start()
        image_id = await self.image("shared")
        members = f"/v2/images/{image_id}/members"
        await self.ask(self.server, "owner", "POST", members, {"member": "beta"})
        path = f"/images/{image_id}"
        grant = Grant("GET", image_id, f"sha256:{sha256(DATA).hexdigest()}")
        signed = f"{path}?{self.signer.sign(grant, path, HOUR)}"
        for _ in range(2):
            self.assertEqual((await self.read("member", path)).body, DATA)
            self.assertEqual((await self.read("nobody", signed)).body, DATA)
            for other in (path, signed[:-1], f"{path}?x=1"):
                self.assertEqual((await self.read("nobody", other)).code, 401, other)
        await self.ask(self.server, "owner", "DELETE", f"{members}/beta")
        self.assertEqual((await self.read("member", path)).code, 404)
        self.assertEqual((await self.read("owner", path)).body, DATA)
        revoke_token(self.tokens_file, self.tokens["owner"].split("_")[1])
        cast(Tokens, self.server.parts.identity).reload()
        self.assertEqual((await self.read("owner", path)).code, 401)

    async def test_zone(self) -> None:
        """
        What a zone reads by its own token for those who may, nobody else gets.
        """
        await self.start()
        parent = await self.image("private")
        credential = os.path.abspath(self.mktemp())
        with open(os.open(credential, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(self.tokens["service"])
        origin = OriginConfig(
            "global", self.server.url, via=self.front.url, credential_file=credential
        )
        zone = await self.serve([origin], identity=self.identity)
        path = f"/images/{parent}"
        grant = Grant("GET", parent, f"sha256:{sha256(DATA).hexdigest()}")
        signed = f"{self.server.url}{path}?{self.signer.sign(grant, path, HOUR)}"
        fields = {"visibility": "private", "parent_id": signed}
        child = await self.make(zone, "owner", fields, DELTA)
        stream = f"/images/{child}/stream"
        for _ in range(2):
            reply = await self.ask(zone, "owner", "GET", stream)
            self.assertEqual(reply.body, DELTA + DATA)
            self.assertEqual(
                (await self.ask(zone, "stranger", "GET", stream)).code, 404
            )
            for who, code in (("nobody", 401), ("stranger", 404)):
                self.assertEqual((await self.read(who, path)).code, code, who)


class VarnishTests(SharedCacheTests, PersonaCase):
    """``docs/samples/varnish.vcl``"""

    kind = VARNISH


class NginxTests(SharedCacheTests, PersonaCase):
    """``docs/samples/nginx-cache.conf``"""

    kind = NGINX


class SquidTests(SharedCacheTests, PersonaCase):
    """``docs/samples/squid.conf``"""

    kind = SQUID
