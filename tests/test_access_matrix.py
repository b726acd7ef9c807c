# Copyright glancetx contributors. See LICENSE for details.

"""
Who may do what: every row of Glance's table, for every visibility and every caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from .matrix import (
    ASKED,
    READERS,
    STATUSES,
    VISIBILITIES,
    changes,
    downloads,
    lists,
    sees,
)
from .personas import PersonaCase
from .servers import Reply, RunningServer

PATCH = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"
DATA = b"some bytes"


class MatrixTests(PersonaCase):
    """Visibility x role x owner x verb"""

    timeout = 240
    server: RunningServer

    async def start(self) -> None:
        self.server = await self.serve(identity=self.identity)

    def cells(self) -> Iterator[tuple[str, str]]:
        return product(VISIBILITIES, ASKED)

    async def image(self, visibility: str, status: str = "accepted") -> str:
        """An active image of the owner; the member's project has it if it is shared."""
        owner = "admin" if visibility == "public" else "owner"
        fields = {"visibility": visibility, "owner": "alpha"}
        image_id = await self.make(self.server, owner, fields, DATA)
        if visibility == "shared":
            await self.share(image_id, status)
        return image_id

    async def share(self, image_id: str, status: str) -> None:
        members = f"/v2/images/{image_id}/members"
        body = {"member": "beta"}
        reply = await self.ask(self.server, "owner", "POST", members, body)
        self.assertEqual(reply.code, 200, reply)
        reply = await self.ask(
            self.server, "member", "PUT", f"{members}/beta", {"status": status}
        )
        self.assertEqual(reply.code, 200, reply)

    def check(
        self, reply: Reply, allowed: bool, who: str, visibility: str, done: int
    ) -> None:
        """What is refused is 401 to nobody, 404 to who sees nothing, else 403."""
        if who == "nobody":
            expected = 401
        elif allowed:
            expected = done
        else:
            expected = 403 if sees(who, visibility) else 404
        self.assertEqual(reply.code, expected, (who, visibility, reply))

    async def test_get(self) -> None:
        """
        Metadata: for the owner's project, for members, for all where it says so.
        """
        await self.start()
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            for who in ASKED:
                reply = await self.ask(
                    self.server, who, "GET", f"/v2/images/{image_id}"
                )
                self.check(reply, sees(who, visibility), who, visibility, 200)

    async def test_get_shared(self) -> None:
        """
        Members see an image whatever they make of it: they need to, to decide.
        """
        await self.start()
        for status in STATUSES:
            image_id = await self.image("shared", status)
            for who in ASKED:
                reply = await self.ask(
                    self.server, who, "GET", f"/v2/images/{image_id}"
                )
                self.check(reply, sees(who, "shared"), who, "shared", 200)

    async def test_list(self) -> None:
        """
        Lists show what is one's own, public, or shared with one and accepted.
        """
        await self.start()
        kinds = [(one, "accepted") for one in VISIBILITIES]
        kinds += [("shared", "pending"), ("shared", "rejected")]
        images = {kind: await self.image(*kind) for kind in kinds}
        for who in ASKED:
            reply = await self.ask(self.server, who, "GET", "/v2/images")
            if who == "nobody":
                self.assertEqual(reply.code, 401)
                continue
            found = {image["id"] for image in reply.json["images"]}
            for kind, image_id in images.items():
                self.assertEqual(image_id in found, lists(who, *kind), (who, kind))

    async def test_list_community(self) -> None:
        """
        Other people's community images are listed if they are asked for.
        """
        await self.start()
        image_id = await self.image("community")
        path = "/v2/images?visibility=community"
        for who in ASKED[:-1]:
            reply = await self.ask(self.server, who, "GET", path)
            found = [image["id"] for image in reply.json["images"]]
            self.assertEqual(found, [image_id], who)

    async def test_download(self) -> None:
        """
        Bytes: members of the projects that see the image; readers do not get them.
        """
        await self.start()
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            for who in ASKED:
                reply = await self.ask(
                    self.server, who, "GET", f"/v2/images/{image_id}/file"
                )
                self.check(reply, downloads(who, visibility), who, visibility, 200)

    async def test_deactivated(self) -> None:
        """
        A deactivated image's bytes are for admins only.
        """
        await self.start()
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            path = f"/v2/images/{image_id}"
            reply = await self.ask(
                self.server, "owner", "POST", f"{path}/actions/deactivate"
            )
            self.assertEqual(reply.code, 204)
            for who in ASKED:
                reply = await self.ask(self.server, who, "GET", f"{path}/file")
                self.check(reply, who == "admin", who, visibility, 200)

    async def test_update(self) -> None:
        """
        Metadata are changed by members of the owner's project, and admins.
        """
        await self.start()
        patch = [{"op": "replace", "path": "/name", "value": "other"}]
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            for who in ASKED:
                reply = await self.ask(
                    self.server,
                    who,
                    "PATCH",
                    f"/v2/images/{image_id}",
                    patch,
                    content_type=PATCH,
                )
                self.check(reply, changes(who), who, visibility, 200)

    async def test_delete(self) -> None:
        """
        Images are deleted by members of the owner's project, and admins.
        """
        await self.start()
        for visibility, who in self.cells():
            image_id = await self.image(visibility)
            reply = await self.ask(self.server, who, "DELETE", f"/v2/images/{image_id}")
            self.check(reply, changes(who), who, visibility, 204)

    async def test_upload(self) -> None:
        """
        Bytes are brought by members of the owner's project, and admins.
        """
        await self.start()
        for visibility, who in self.cells():
            fields = {"visibility": visibility, "owner": "alpha"}
            image_id = await self.make(self.server, "admin", fields, None)
            if visibility == "shared":
                await self.share(image_id, "accepted")
            path = f"/v2/images/{image_id}/file"
            reply = await self.ask(
                self.server, who, "PUT", path, DATA, content_type=OCTETS
            )
            self.check(reply, changes(who), who, visibility, 204)

    async def test_switch(self) -> None:
        """
        Images are deactivated and reactivated by the owner's members, and admins.
        """
        await self.start()
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            for who, verb in product(ASKED, ("deactivate", "reactivate")):
                path = f"/v2/images/{image_id}/actions/{verb}"
                reply = await self.ask(self.server, who, "POST", path)
                self.check(reply, changes(who), who, visibility, 204)

    async def test_create(self) -> None:
        """
        Images are made by members, for their own projects; by admins for any.
        """
        await self.start()
        record = {"disk_format": "raw", "container_format": "bare"}
        for who in ASKED:
            for owner in (None, "alpha"):
                body = record | ({"owner": owner} if owner else {})
                reply = await self.ask(self.server, who, "POST", "/v2/images", body)
                may = who not in {*READERS, "nobody"} and (
                    owner is None or who in ("admin", "owner")
                )
                refused = 401 if who == "nobody" else 403
                self.assertEqual(reply.code, 201 if may else refused, (who, owner))

    async def test_open_up(self) -> None:
        """
        The owner's members may make an image a community's; only admins public.
        """
        await self.start()
        for wanted, who in product(("community", "public"), ASKED):
            image_id = await self.image("private")
            patch = [{"op": "replace", "path": "/visibility", "value": wanted}]
            path = f"/v2/images/{image_id}"
            reply = await self.ask(
                self.server, who, "PATCH", path, patch, content_type=PATCH
            )
            may = changes(who) if wanted == "community" else who == "admin"
            self.check(reply, may, who, "private", 200)
            record = {
                "disk_format": "raw",
                "container_format": "bare",
                "visibility": wanted,
            }
            reply = await self.ask(self.server, who, "POST", "/v2/images", record)
            may = who not in {*READERS, "nobody"} and (
                wanted == "community" or who == "admin"
            )
            refused = 401 if who == "nobody" else 403
            self.assertEqual(reply.code, 201 if may else refused, (who, wanted))

    async def test_members_changed(self) -> None:
        """
        Members are added and removed by the owner's members, and admins.
        """
        await self.start()
        for who in ASKED:
            image_id = await self.image("shared")
            members = f"/v2/images/{image_id}/members"
            body = {"member": "delta"}
            reply = await self.ask(self.server, who, "POST", members, body)
            self.check(reply, changes(who), who, "shared", 200)
            reply = await self.ask(self.server, who, "DELETE", f"{members}/beta")
            self.check(reply, changes(who), who, "shared", 204)

    async def test_members_shown(self) -> None:
        """
        The owner's project sees all members, a member itself, others nothing.
        """
        await self.start()
        image_id = await self.image("shared")
        members = f"/v2/images/{image_id}/members"
        await self.ask(self.server, "owner", "POST", members, {"member": "delta"})
        for who in ASKED:
            reply = await self.ask(self.server, who, "GET", members)
            self.check(reply, sees(who, "shared"), who, "shared", 200)
            if reply.code == 200:
                found = {one["member_id"] for one in reply.json["members"]}
                own = {"beta"} if who.startswith("member") else {"beta", "delta"}
                self.assertEqual(found, own, who)
            reply = await self.ask(self.server, who, "GET", f"{members}/beta")
            self.check(reply, sees(who, "shared"), who, "shared", 200)

    async def test_members_decide(self) -> None:
        """
        A project accepts or rejects an image by one of its members; an admin may, too.
        """
        await self.start()
        image_id = await self.image("shared", "pending")
        path = f"/v2/images/{image_id}/members/beta"
        for who, status in product(ASKED, STATUSES):
            reply = await self.ask(self.server, who, "PUT", path, {"status": status})
            may = who in ("admin", "member")
            self.check(reply, may, who, "shared", 200)

    async def test_members_hidden(self) -> None:
        """
        A member is not told whom the image is shared with besides, whatever it asks.
        """
        await self.start()
        image_id = await self.image("shared")
        members = f"/v2/images/{image_id}/members"
        await self.ask(self.server, "owner", "POST", members, {"member": "delta"})
        body = {"status": "accepted"}
        for who, method in product(("member", "stranger"), ("GET", "PUT", "DELETE")):
            replies = [
                await self.ask(self.server, who, method, f"{members}/{project}", body)
                for project in ("delta", "gamma", "other")
            ]
            said = {
                (
                    one.code,
                    one.body.replace(b"delta", b"other").replace(b"gamma", b"other"),
                )
                for one in replies
            }
            self.assertEqual(len(said), 1, replies)

    async def test_no_members(self) -> None:
        """
        Only shared images have members.
        """
        await self.start()
        for visibility in ("private", "community", "public"):
            image_id = await self.image(visibility)
            members = f"/v2/images/{image_id}/members"
            reply = await self.ask(
                self.server, "admin", "POST", members, {"member": "beta"}
            )
            self.assertEqual(reply.code, 403, reply)
