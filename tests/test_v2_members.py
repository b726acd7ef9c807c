# Copyright glancetx contributors. See LICENSE for details.

"""
Members of a shared image by the Image API v2: what is asked for and answered.

Who may do which of it is told by ``test_access_matrix``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from glancetx.limits import Limits

from .servers import Reply
from .test_v2_images import RecordCase

NOWHERE = "00000000-0000-4000-8000-000000000000"


class MemberCase(RecordCase):
    """A test with one server, whose callers may do everything."""

    async def shared(self) -> str:
        """Where the members of a shared image are."""
        return f"{(await self.make())['self']}/members"

    async def add(self, members: str, document: Any) -> Reply:
        return await self.send("POST", members, document)

    async def decide(self, member: str, document: Any) -> Reply:
        return await self.send("PUT", member, document)


class MemberTests(MemberCase):
    """``/v2/images/ID/members``"""

    async def test_life(self) -> None:
        """
        A project is added as pending, decides, is shown and removed.
        """
        await self.start()
        members = await self.shared()
        reply = await self.add(members, {"member": "beta"})
        self.assertEqual(reply.code, 200)
        made = reply.json
        self.assertEqual(made["status"], "pending")
        for name in ("created_at", "updated_at"):
            self.assertRegex(made.pop(name), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        self.assertEqual(
            made,
            {
                "member_id": "beta",
                "image_id": members.split("/")[3],
                "status": "pending",
                "schema": "/v2/schemas/member",
            },
        )
        for status in ("accepted", "rejected", "pending"):
            reply = await self.decide(f"{members}/beta", {"status": status})
            self.assertEqual((reply.code, reply.json["status"]), (200, status))
        listed = (await self.zone.ask("GET", members)).json
        self.assertEqual(listed.pop("schema"), "/v2/schemas/members")
        self.assertEqual(listed, {"members": [reply.json]})
        reply = await self.zone.ask("GET", f"{members}/beta")
        self.assertEqual([reply.json], listed["members"])
        reply = await self.zone.ask("DELETE", f"{members}/beta")
        self.assertEqual((reply.code, reply.body), (204, b""))
        self.assertEqual((await self.zone.ask("GET", members)).json["members"], [])

    async def test_unknown(self) -> None:
        """
        A project that an image is not shared with is a 404, as is no image.
        """
        await self.start()
        members = await self.shared()
        status = {"status": "accepted"}
        for one in (f"{members}/beta", f"/v2/images/{NOWHERE}/members/beta"):
            for method in ("GET", "DELETE"):
                self.assert_problem(await self.zone.ask(method, one), 404)
            self.assert_problem(await self.decide(one, status), 404)
        nowhere = f"/v2/images/{NOWHERE}/members"
        self.assert_problem(await self.zone.ask("GET", nowhere), 404)
        self.assert_problem(await self.add(nowhere, {"member": "beta"}), 404)

    async def test_nonsense(self) -> None:
        """
        A body that is not lawful is told by its field.
        """
        await self.start()
        members = await self.shared()
        for document, words in (
            ([], "body: must be an object"),
            ({}, "member: must be given"),
            ({"member": 5}, "member: must be a text"),
            ({"member": ""}, "member: must not be empty"),
            ({"member": "x" * 256}, "member: must have at most 255"),
            ({"member": "a/b"}, "member: must be an id that can stand in a path"),
            ({"member": ".."}, "member: must be an id that can stand in a path"),
        ):
            self.assert_problem(await self.add(members, document), 400, words)
        await self.add(members, {"member": "beta"})
        for decision, words in (
            ({}, "status: must be given"),
            ({"status": "yes"}, "status: must be one of pending, accepted, rejected"),
            ({"status": ""}, "status: must be one of pending, accepted, rejected"),
        ):
            reply = await self.decide(f"{members}/beta", decision)
            self.assert_problem(reply, 400, words)

    async def test_names(self) -> None:
        """
        An id of any characters that can stand in a path is found by it.
        """
        await self.start()
        members = await self.shared()
        for project in ("pä €", "a?b&c=d", "x" * 255):
            reply = await self.add(members, {"member": project})
            self.assertEqual(reply.code, 200, reply)
            one = f"{members}/{quote(project)}"
            reply = await self.zone.ask("GET", one)
            self.assertEqual(reply.json["member_id"], project)
            self.assertEqual((await self.zone.ask("DELETE", one)).code, 204)

    async def test_too_many(self) -> None:
        """
        An image is shared once with a project, and with so many at most.
        """
        self.zone = await self.serve(limits=Limits(image_members=2))
        members = await self.shared()
        for project, code in (("a", 200), ("a", 409), ("b", 200), ("c", 413)):
            reply = await self.add(members, {"member": project})
            self.assertEqual(reply.code, code, (project, reply))

    async def test_unshared(self) -> None:
        """
        An image that is not shared has no members; those it had come back with sharing.
        """
        await self.start()
        members = await self.shared()
        await self.add(members, {"member": "beta"})
        image_id = members.split("/")[3]
        change = {"op": "replace", "path": "/visibility"}
        for visibility in ("private", "community", "public"):
            await self.patch(image_id, {**change, "value": visibility})
            for reply in (
                await self.zone.ask("GET", members),
                await self.add(members, {"member": "gamma"}),
                await self.decide(f"{members}/beta", {"status": "accepted"}),
                await self.zone.ask("DELETE", f"{members}/beta"),
            ):
                self.assert_problem(reply, 403, "visibility is shared")
        await self.patch(image_id, {**change, "value": "shared"})
        (member,) = (await self.zone.ask("GET", members)).json["members"]
        self.assertEqual((member["member_id"], member["status"]), ("beta", "pending"))
