# Copyright glancetx contributors. See LICENSE for details.

"""
What is changed between the moment at which somebody is allowed something, and the one
at which it is done.
"""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from twisted.python.monkey import MonkeyPatcher

from glancetx.image import Image

from .disks import qcow2_disk
from .personas import PersonaCase

OCTETS = "application/octet-stream"


def given_away(image: Image) -> Image:
    """What an admin makes of an image."""
    return evolve(image, owner="gamma")


def uncovered(image: Image) -> Image:
    """What the owner makes of a disk in an envelope that nobody looks into."""
    return evolve(image, container_format="bare")


def unknown(image: Image) -> Image:
    """What the owner makes of an image that still waits for its bytes."""
    return evolve(image, disk_format=None)


class MeanwhileTests(PersonaCase):
    """Changes that come first by a hair"""

    async def start(self) -> None:
        self.server = await self.serve(identity=self.identity)

    def before(self, name: str, alter: Any) -> MonkeyPatcher:
        """Have an image changed right before a call of the catalogue."""
        catalogue = self.server.parts.catalogue
        call, change = getattr(catalogue, name), catalogue.change

        async def later(image_id: str, *arguments: Any) -> Any:
            await change(image_id, alter)
            return await call(image_id, *arguments)

        return cast(MonkeyPatcher, self.patch(catalogue, name, later))

    async def test_formats(self) -> None:
        """
        Bytes are looked at as what the record says when they come, not as what it said.
        """
        await self.start()
        evil = qcow2_disk(backing="/etc/passwd")
        for alter, code in ((uncovered, 415), (unknown, 400)):
            fields = {"disk_format": "qcow2", "container_format": "ovf"}
            image_id = await self.make(self.server, "owner", fields, None)
            patched = self.before("begin", alter)
            path = f"/v2/images/{image_id}/file"
            reply = await self.ask(
                self.server, "owner", "PUT", path, evil, content_type=OCTETS
            )
            patched.restore()
            self.assertEqual(reply.code, code, reply)
            image = await self.server.parts.catalogue.find(image_id)
            self.assertEqual((image.status, image.location), ("queued", None))

    async def test_given_away(self) -> None:
        """
        Who had an image a moment ago does nothing to what is another's now.
        """
        await self.start()
        for call, method, verb, data in (
            ("delete", "DELETE", "", b"some bytes"),
            ("change", "POST", "/actions/deactivate", b"some bytes"),
            ("change", "POST", "/actions/reactivate", b"some bytes"),
            ("begin", "PUT", "/file", None),
        ):
            image_id = await self.make(self.server, "owner", {}, data)
            before = await self.server.parts.catalogue.find(image_id)
            patched = self.before(call, given_away)
            path = f"/v2/images/{image_id}{verb}"
            body = b"" if method == "PUT" else None
            reply = await self.ask(
                self.server, "owner", method, path, body, content_type=OCTETS
            )
            patched.restore()
            self.assertEqual(reply.code, 403, (verb, reply))
            after = await self.server.parts.catalogue.find(image_id)
            self.assertEqual(after.status, before.status)
