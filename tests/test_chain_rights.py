# Copyright glancetx contributors. See LICENSE for details.

"""
Who may attach a parent, and who may read through a chain, by every layout of it.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import product
from typing import Any

from attrs import evolve

from glancetx.caller import Grant
from glancetx.config import OriginConfig
from glancetx.identity.keyfile import add_key
from glancetx.identity.signatures import Signatures
from glancetx.identity.tokenfile import add_token
from glancetx.times import utcnow

from .fake_keystone import FakeKeystone
from .matrix import ASKED, VISIBILITIES, downloads, sees
from .personas import CAST, PersonaCase
from .servers import Reply, RunningServer

LAYOUTS = ("chain", "stream", "chain.tar")
PATCH = "application/openstack-images-v2.1-json-patch"
GOLDEN, DELTA = b"golden bytes", b"delta"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def reads_through(who: str, visibility: str) -> bool:
    """Whoever may read the child by ``/images`` may read its chain."""
    if who == "service" or visibility == "public":
        return True
    return downloads(who, visibility)


class ChainCase(PersonaCase):
    """A test of chains, and of callers who read them."""

    async def golden(self, server: RunningServer, visibility: str) -> str:
        """A parent of the project alpha, of which beta is a member if it is shared."""
        fields = {"visibility": visibility, "owner": "alpha"}
        image_id = await self.make(server, "admin", fields, GOLDEN)
        if visibility == "shared":
            await self.invite(server, image_id)
        return image_id

    async def invite(self, server: RunningServer, image_id: str) -> None:
        reply = await self.ask(
            server,
            "admin",
            "POST",
            f"/v2/images/{image_id}/members",
            {"member": "beta"},
        )
        self.assertEqual(reply.code, 200, reply)

    async def attach(
        self, server: RunningServer, who: str, parent: str, **fields: Any
    ) -> Reply:
        """Try to make a child."""
        record = {"disk_format": "raw", "container_format": "bare"}
        body = record | {"parent_id": parent} | fields
        return await self.ask(server, who, "POST", "/v2/images", body)

    async def child(self, server: RunningServer, visibility: str, parent: str) -> str:
        """A child of the project alpha with bytes, made by an admin."""
        fields = {"visibility": visibility, "owner": "alpha", "parent_id": parent}
        image_id = await self.make(server, "admin", fields, DELTA)
        if visibility == "shared":
            await self.invite(server, image_id)
        return image_id

    async def check_readers(
        self, server: RunningServer, image_id: str, visibility: str
    ) -> None:
        """All of the cast, and nobody, by all layouts."""
        for who, layout in product((*ASKED, "service"), LAYOUTS):
            reply = await self.ask(server, who, "GET", f"/images/{image_id}/{layout}")
            cell = (who, visibility, layout, reply)
            if reads_through(who, visibility):
                self.assertEqual(reply.code, 200, cell)
                if layout == "stream":
                    self.assertEqual(reply.body, DELTA + GOLDEN, cell)
                continue
            refused = 403 if sees(who, visibility) else 404
            self.assertEqual(reply.code, 401 if who == "nobody" else refused, cell)
            self.assertNotIn(GOLDEN, reply.body)


class LocalTests(ChainCase):
    """The parent is on the same server."""

    timeout = 240

    async def test_attach(self) -> None:
        """
        A parent is attached by those who may read its bytes; to others there is none.
        """
        server = await self.serve(identity=self.identity)
        for visibility in VISIBILITIES:
            parent = await self.golden(server, visibility)
            for who in ASKED[:-1]:
                if who.endswith("reader"):
                    continue  # a reader makes no images
                reply = await self.attach(server, who, parent)
                if downloads(who, visibility):
                    self.assertEqual(reply.code, 201, (who, visibility, reply))
                    continue
                self.assertEqual(reply.code, 400, (who, visibility, reply))
                other = await self.attach(server, who, NOWHERE)
                self.assertEqual(
                    reply.body, other.body.replace(NOWHERE.encode(), parent.encode())
                )

    async def test_no_more_visible(self) -> None:
        """
        A child is at most as visible as its parent, when it is made and ever after.
        """
        server = await self.serve(identity=self.identity)
        ranks = {name: rank for rank, name in enumerate(VISIBILITIES)}
        for parent_is, child_is in product(VISIBILITIES, VISIBILITIES):
            parent = await self.golden(server, parent_is)
            may = ranks[child_is] <= ranks[parent_is]
            reply = await self.attach(server, "admin", parent, visibility=child_is)
            self.assertEqual(reply.code, 201 if may else 403, (parent_is, child_is))
            reply = await self.attach(server, "admin", parent)
            default = min(("shared", parent_is), key=lambda name: ranks[name])
            self.assertEqual(reply.json["visibility"], default)
            patch = [{"op": "replace", "path": "/visibility", "value": child_is}]
            reply = await self.ask(
                server,
                "admin",
                "PATCH",
                f"/v2/images/{reply.json['id']}",
                patch,
                content_type=PATCH,
            )
            self.assertEqual(reply.code, 200 if may else 403, (parent_is, child_is))

    async def test_read(self) -> None:
        """
        A chain is read by those who may read the child, whatever its parent is now.
        """
        server = await self.serve(identity=self.identity)
        ranks = {name: rank for rank, name in enumerate(VISIBILITIES)}
        for parent_is, child_is in product(VISIBILITIES, VISIBILITIES):
            if ranks[child_is] > ranks[parent_is]:
                continue
            parent = await self.golden(server, parent_is)
            image_id = await self.child(server, child_is, parent)
            await self.check_readers(server, image_id, child_is)

    async def test_granted(self) -> None:
        """
        What could be read when the child was made stays readable through it.
        """
        server = await self.serve(identity=self.identity)
        parent = await self.golden(server, "shared")
        fields = {"parent_id": parent, "visibility": "private"}
        image_id = await self.make(server, "member", fields, DELTA)
        path = f"/v2/images/{parent}"
        reply = await self.ask(server, "admin", "DELETE", f"{path}/members/beta")
        self.assertEqual(reply.code, 204)
        reply = await self.ask(server, "member", "GET", path)
        self.assertEqual(reply.code, 404)
        reply = await self.ask(server, "member", "GET", f"/images/{image_id}/stream")
        self.assertEqual(reply.body, DELTA + GOLDEN)
        reply = await self.attach(server, "member", parent)
        self.assertEqual(reply.code, 400)

    async def test_shared_on(self) -> None:
        """
        Whom a child is shared with its owner says, though a parent is not shared with
        him; that the parent is hidden later takes nothing from it.
        """
        server = await self.serve(identity=self.identity)
        parent = await self.golden(server, "shared")
        fields = {"parent_id": parent, "visibility": "shared"}
        image_id = await self.make(server, "member", fields, DELTA)
        members = f"/v2/images/{image_id}/members"
        stream = f"/images/{image_id}/stream"
        patch = [{"op": "replace", "path": "/visibility", "value": "private"}]
        path = f"/v2/images/{parent}"

        async def check(project: str) -> None:
            reply = await self.ask(
                server, "member", "POST", members, {"member": project}
            )
            self.assertEqual(reply.code, 200, reply)
            for who in ("member", "stranger"):
                reply = await self.ask(server, who, "GET", stream)
                self.assertEqual(reply.body, DELTA + GOLDEN, who)
            reply = await self.ask(server, "stranger", "GET", path)
            self.assertEqual(reply.code, 404)
            reply = await self.attach(server, "stranger", parent)
            self.assertEqual(reply.code, 400)

        await check("gamma")
        reply = await self.ask(
            server, "owner", "PATCH", path, patch, content_type=PATCH
        )
        self.assertEqual(reply.code, 200, reply)
        await check("delta")

    async def test_hidden_more(self) -> None:
        """
        A child may become less visible, though not so little as its parent is by now.
        """
        server = await self.serve(identity=self.identity)
        parent = await self.golden(server, "community")
        image_id = await self.child(server, "community", parent)
        for which, visibility, code in (
            (parent, "private", 200),
            (image_id, "shared", 200),
            (image_id, "community", 403),
            (image_id, "private", 200),
            (image_id, "shared", 403),
        ):
            path = f"/v2/images/{which}"
            patch = [{"op": "replace", "path": "/visibility", "value": visibility}]
            reply = await self.ask(
                server, "owner", "PATCH", path, patch, content_type=PATCH
            )
            self.assertEqual(reply.code, code, (visibility, reply))

    async def test_guard(self) -> None:
        """
        Who would delete a parent is told which children there are that he can see, and
        how many that he cannot.
        """
        server = await self.serve(identity=self.identity)
        parent = await self.golden(server, "community")
        for who in ("stranger", "member"):
            fields = {"parent_id": parent, "visibility": "private"}
            await self.make(server, who, fields, DELTA)
        mine = await self.child(server, "private", parent)
        path = f"/v2/images/{parent}"
        reply = await self.ask(server, "owner", "DELETE", path)
        self.assertEqual(reply.code, 409)
        said = reply.json["conflictingRequest"]["message"]
        self.assertIn(f"is the parent of {mine} and 2 other images;", said)
        await self.ask(server, "owner", "DELETE", f"/v2/images/{mine}")
        reply = await self.ask(server, "owner", "DELETE", path)
        said = reply.json["conflictingRequest"]["message"]
        self.assertIn("is the parent of 2 other images;", said)
        reply = await self.ask(server, "admin", "DELETE", path)
        self.assertNotIn("other", reply.json["conflictingRequest"]["message"])

    async def test_deactivated(self) -> None:
        """
        A deactivated image anywhere in a chain stops all reads but an admin's.
        """
        server = await self.serve(identity=self.identity)
        for stopped in (0, 1):
            parent = await self.golden(server, "public")
            image_id = await self.child(server, "public", parent)
            which = (image_id, parent)[stopped]
            path = f"/v2/images/{which}/actions/deactivate"
            await self.ask(server, "admin", "POST", path)
            for who, layout in product((*ASKED, "service"), LAYOUTS):
                path = f"/images/{image_id}/{layout}"
                reply = await self.ask(server, who, "GET", path)
                expected = {"admin": 200, "nobody": 401}.get(who, 403)
                self.assertEqual(reply.code, expected, (stopped, who, layout, reply))

    async def test_no_half_disk(self) -> None:
        """
        A difference is no file of the Image API, unless its own bytes are asked for.
        """
        server = await self.serve(identity=self.identity)
        parent = await self.golden(server, "public")
        image_id = await self.child(server, "public", parent)
        path = f"/v2/images/{image_id}/file"
        reply = await self.ask(server, "owner", "GET", path)
        self.assertEqual(reply.code, 403)
        for words in (f"/images/{image_id}/stream", "glancetx restore", "?layout=own"):
            self.assertIn(words, reply.json["forbidden"]["message"])
        reply = await self.ask(server, "owner", "GET", f"{path}?layout=own")
        self.assertEqual((reply.code, reply.body), (200, DELTA))


class RemoteTests(ChainCase):
    """The parent is on another server, which knows other callers."""

    timeout = 240

    async def start(self) -> tuple[RunningServer, RunningServer]:
        """A global server and a zone, which has a credential to carry bytes with."""
        folder = os.path.dirname(self.identity.tokens_file or "")
        self.keys = os.path.join(folder, "keys.toml")
        add_key(self.keys)
        known = evolve(self.identity, signing_keys_file=self.keys)
        there = await self.serve(identity=known)
        zone_tokens = os.path.join(folder, "zone.toml")
        self.there, self.here = self.tokens, {"nobody": ""}
        for one in CAST:
            made = add_token(
                zone_tokens, one.name, one.project, one.roles, None, utcnow()
            )
            self.here[one.name] = made.text
        credential = os.path.join(folder, "credential")
        with open(os.open(credential, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(self.there["service"])
        origin = OriginConfig("global", there.url, credential_file=credential)
        zone = await self.serve(
            [origin], identity=evolve(self.identity, tokens_file=zone_tokens)
        )
        return there, zone

    async def remote(self, there: RunningServer, visibility: str) -> str:
        self.tokens = self.there
        image_id = await self.golden(there, visibility)
        self.tokens = self.here
        return image_id

    async def test_attach(self) -> None:
        """
        Only what the origin shows to anyone, or calls public, can be attached: what
        this server may read there proves nothing of who asks.
        """
        there, zone = await self.start()
        for visibility in VISIBILITIES:
            parent = await self.remote(there, visibility)
            for who in ("admin", "owner", "member", "stranger"):
                reply = await self.attach(zone, who, there.uri(parent))
                expected = 201 if visibility == "public" else 400
                self.assertEqual(reply.code, expected, (who, visibility, reply))

    async def test_public_to_the_known(self) -> None:
        """
        What is public, but shown to those with a token only, can be attached.
        """
        there, zone = await self.start()
        parent = await self.remote(there, "public")
        rules = there.parts.images._access._policy
        allows = rules.allows

        def stricter(rule: str, *arguments: Any) -> bool:
            return rule != "read_public_image" and allows(rule, *arguments)

        self.patch(rules, "allows", stricter)
        fields = {"parent_id": there.uri(parent), "visibility": "public"}
        image_id = await self.make(zone, "admin", fields, DELTA)
        reply = await self.ask(zone, "stranger", "GET", f"/images/{image_id}/stream")
        self.assertEqual(reply.body, DELTA + GOLDEN)

    async def test_signed(self) -> None:
        """
        Whoever has a signed URL of an image may attach it; its bytes are carried by the
        zone's own credential then, to those who may read the child.
        """
        there, zone = await self.start()
        signer = Signatures(self.keys)
        for visibility in ("private", "shared", "community"):
            parent = await self.remote(there, visibility)
            image = await there.parts.catalogue.find(parent)
            assert image.digest is not None
            digest = f"{image.digest.algorithm}:{image.digest.value}"
            grant = Grant("GET", parent, digest)
            query = signer.sign(grant, f"/images/{parent}", timedelta(hours=1))
            for child_is in ("private", visibility):
                uri = f"{there.uri(parent)}?{query}"
                image_id = await self.child(zone, child_is, uri)
                await self.check_readers(zone, image_id, child_is)
            reply = await self.attach(zone, "admin", uri, visibility="public")
            self.assertEqual(reply.code, 403, reply)
            forged = uri[:-1] + ("0" if uri[-1] != "0" else "1")
            reply = await self.attach(zone, "owner", forged)
            self.assertEqual(reply.code, 400, reply)

    async def test_read(self) -> None:
        """
        A chain with a public parent elsewhere is read by those who may read the child.
        """
        there, zone = await self.start()
        parent = await self.remote(there, "public")
        for visibility in VISIBILITIES:
            image_id = await self.child(zone, visibility, there.uri(parent))
            await self.check_readers(zone, image_id, visibility)


class SameKeystoneTests(ChainCase):
    """The parent is on another server, which knows the same callers."""

    timeout = 240

    async def start(
        self, policy_file: str | None = None
    ) -> tuple[RunningServer, RunningServer]:
        """A global server, perhaps with a policy of its own, and a zone."""
        self.keystone = await FakeKeystone().start(self)
        for one in CAST:
            roles = {
                "admin": ["admin", "member", "reader"],
                "member": ["member", "reader"],
            }
            self.tokens[one.name] = self.keystone.give(
                one.name, one.project, roles.get(one.roles[0], list(one.roles))
            )
        known = self.keystone.config()
        there = await self.serve(identity=evolve(known, policy_file=policy_file))
        origin = OriginConfig("global", there.url, same_keystone=True)
        return there, await self.serve([origin], identity=known)

    async def test_attach(self) -> None:
        """
        A parent elsewhere is attached by those who may read it there.
        """
        there, zone = await self.start()
        for visibility in VISIBILITIES:
            parent = await self.golden(there, visibility)
            for who in ("admin", "owner", "member", "stranger"):
                reply = await self.attach(zone, who, there.uri(parent))
                may = downloads(who, visibility)
                self.assertEqual(reply.code, 201 if may else 400, (who, visibility))

    async def test_seen_only(self) -> None:
        """
        To be shown a parent is not enough where the origin lets others read it.
        """
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write("download_image: rule:context_is_admin\n")
        there, zone = await self.start(path)
        parent = await self.golden(there, "community")
        for who, code in (("admin", 201), ("owner", 400), ("stranger", 400)):
            reply = await self.ask(there, who, "GET", f"/v2/images/{parent}")
            self.assertEqual(reply.code, 200)
            reply = await self.attach(zone, who, there.uri(parent))
            self.assertEqual(reply.code, code, (who, reply))

    async def test_read(self) -> None:
        """
        A chain is read by those who may read the child.
        """
        there, zone = await self.start()
        ranks = {name: rank for rank, name in enumerate(VISIBILITIES)}
        for parent_is, child_is in product(VISIBILITIES, VISIBILITIES):
            parent = await self.golden(there, parent_is)
            reply = await self.attach(
                zone, "admin", there.uri(parent), visibility=child_is
            )
            if ranks[child_is] > ranks[parent_is]:
                self.assertEqual(reply.code, 403, (parent_is, child_is))
                continue
            image_id = await self.child(zone, child_is, there.uri(parent))
            await self.check_readers(zone, image_id, child_is)
