# Copyright glancetx contributors. See LICENSE for details.

"""
Leases as they are given: ``/images/ID/leases``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from glancetx.image import Digest, Lease
from glancetx.limits import Limits
from glancetx.times import utcnow

from .matrix import ASKED, VISIBILITIES, downloads, sees
from .personas import PersonaCase
from .servers import Reply, RunningServer

DATA = b"some bytes"
DIGEST = {"algorithm": "sha256", "value": hashlib.sha256(DATA).hexdigest()}
URL = "http://zone.example.com:9292"
HOLDER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
NOWHERE = "00000000-0000-4000-8000-000000000000"
OCTETS = "application/octet-stream"


class LeaseCase(PersonaCase):
    """A test with one server, whose images others may lease."""

    server: RunningServer

    async def start(self, **limits: int) -> None:
        self.server = await self.serve(identity=self.identity, limits=Limits(**limits))

    async def image(self, visibility: str = "public") -> str:
        """An image of the project alpha; beta is a member of it if it is shared."""
        fields = {"visibility": visibility, "owner": "alpha"}
        image_id = await self.make(self.server, "admin", fields, DATA)
        if visibility == "shared":
            path = f"/v2/images/{image_id}/members"
            await self.ask(self.server, "admin", "POST", path, {"member": "beta"})
        return image_id

    async def lease(
        self, who: str, image_id: str, holder: str = HOLDER, **wish: Any
    ) -> Reply:
        body = {"digest": DIGEST, "seconds": 3600, "url": URL, **wish}
        path = f"/images/{image_id}/leases/{holder}"
        return await self.ask(self.server, who, "PUT", path, body)

    async def end(self, who: str, image_id: str, holder: str = HOLDER) -> Reply:
        path = f"/images/{image_id}/leases/{holder}"
        return await self.ask(self.server, who, "DELETE", path)

    async def leases(self, image_id: str, who: str = "admin") -> list[dict[str, Any]]:
        reply = await self.ask(self.server, who, "GET", f"/images/{image_id}/leases")
        self.assertEqual(reply.code, 200, reply)
        found: list[dict[str, Any]] = reply.json["leases"]
        return found

    async def delete(self, image_id: str, who: str = "admin", query: str = "") -> Reply:
        path = f"/images/{image_id}{query}"
        return await self.ask(self.server, who, "DELETE", path)

    async def expire(self, image_id: str, holder: str = HOLDER) -> None:
        """Let the time of a lease be over."""
        past = utcnow() - timedelta(hours=1)
        lease = Lease(image_id, holder, URL, "services", past, past)
        await self.server.parts.catalogue.lease(lease, Digest(**DIGEST), 9)

    def message(self, reply: Reply, code: int) -> str:
        """What a refusal of this status says."""
        self.assertEqual(reply.code, code, reply)
        (problem,) = reply.json.values()
        text: str = problem["message"]
        return text


class GivingTests(LeaseCase):
    """``PUT /images/ID/leases/HOLDER``"""

    timeout = 240

    async def test_new(self) -> None:
        """
        A lease says who needs the image, and until when.
        """
        await self.start()
        image_id = await self.image()
        before = utcnow()
        reply = await self.lease("service", image_id, seconds=600)
        self.assertEqual(reply.code, 201)
        lease = reply.json["lease"]
        until = datetime.fromisoformat(lease.pop("until"))
        self.assertApproximates((until - before).total_seconds(), 600, 30)
        self.assertApproximates(lease.pop("seconds"), 600, 30)
        created = datetime.fromisoformat(lease.pop("created_at"))
        self.assertApproximates((created - before).total_seconds(), 0, 30)
        self.assertEqual(
            lease,
            {
                "image_id": image_id,
                "holder": HOLDER,
                "url": URL,
                "project": "services",
                "expired": False,
            },
        )
        [listed] = await self.leases(image_id)
        self.assertEqual(listed, {**reply.json["lease"], "seconds": listed["seconds"]})

    async def test_renewed(self) -> None:
        """
        Who has a lease renews it by the same request, and may have moved meanwhile.
        """
        await self.start()
        image_id = await self.image()
        await self.expire(image_id)
        [old] = await self.leases(image_id)
        self.assertEqual((old["expired"], old["seconds"]), (True, 0))
        reply = await self.lease("service", image_id, url="http://moved.example.com/")
        self.assertEqual(reply.code, 200)
        lease = reply.json["lease"]
        self.assertIs(lease["expired"], False)
        self.assertEqual(lease["url"], "http://moved.example.com")
        self.assertEqual(lease["created_at"], old["created_at"])
        self.assertEqual(len(await self.leases(image_id)), 1)

    async def test_not_for_so_long(self) -> None:
        """
        The server gives no lease for longer than its own limit, and says for how long.
        """
        await self.start(lease_seconds=60)
        reply = await self.lease("service", await self.image(), seconds=2**31 - 1)
        self.assertEqual(reply.code, 201)
        self.assertIn(reply.json["lease"]["seconds"], range(30, 61))

    async def test_who_may(self) -> None:
        """
        Those lease an image who may read its bytes, and the servers of zones.
        """
        await self.start()
        for visibility in VISIBILITIES:
            image_id = await self.image(visibility)
            for who in (*ASKED, "service"):
                reply = await self.lease(who, image_id, await self.new_holder())
                if who == "nobody":
                    expected = 401
                elif self.reads(who, visibility):
                    expected = 201
                else:
                    expected = 403 if sees(who, visibility) else 404
                self.assertEqual(reply.code, expected, (who, visibility, reply))

    def reads(self, who: str, visibility: str) -> bool:
        public = visibility == "public" and who != "nobody"
        return who == "service" or public or downloads(who, visibility)

    async def new_holder(self) -> str:
        self.count = getattr(self, "count", 0) + 1
        return f"33333333-3333-4333-8333-{self.count:012d}"

    async def test_nobody_is_asked(self) -> None:
        """
        A server that asks nobody who he is leases to anyone.
        """
        self.server = await self.serve()
        self.tokens = dict.fromkeys(self.tokens, "")
        image_id = await self.server.add(DATA)
        self.assertEqual((await self.lease("nobody", image_id)).code, 201)
        [lease] = await self.leases(image_id)
        self.assertIsNone(lease["project"])
        self.assertEqual((await self.end("nobody", image_id)).code, 204)

    async def test_other_bytes(self) -> None:
        """
        Who needs other bytes than the image has gets no lease, nor who comes early.
        """
        await self.start()
        image_id = await self.image()
        wrong = {"algorithm": "sha256", "value": "0" * 64}
        reply = await self.lease("service", image_id, digest=wrong)
        self.assertIn("0" * 64, self.message(reply, 409))
        queued = await self.make(self.server, "owner", {}, None)
        reply = await self.lease("owner", queued)
        self.assertIn("no bytes yet", self.message(reply, 409))
        for one in (image_id, queued):
            self.assertEqual(await self.leases(one), [])

    async def test_bad(self) -> None:
        """
        What cannot be a lease is refused by a sentence about its field.
        """
        await self.start()
        image_id = await self.image()
        wishes: list[tuple[dict[str, Any], str]] = [
            ({"seconds": 59}, "seconds: must be 60 or more"),
            ({"seconds": "60"}, "seconds: must be a whole number"),
            ({"url": "zone"}, "url: 'zone' is no usable address"),
            ({"url": "http://a:b@zone"}, "url: "),
            ({"digest": {**DIGEST, "algorithm": "md5"}}, "digest.algorithm: "),
            ({"more": 1}, "more: is not known"),
        ]
        for wish, words in wishes:
            reply = await self.lease("service", image_id, **wish)
            self.assertIn(words, self.message(reply, 400))
        for holder in (
            "zone",
            HOLDER.replace("-", ""),
            OTHER.upper().replace("2", "A"),
        ):
            reply = await self.lease("service", image_id, holder)
            self.assertIn("holder: must be a lower-case UUID", self.message(reply, 400))
        self.assertEqual((await self.lease("service", NOWHERE)).code, 404)
        self.assertEqual((await self.lease("service", "no-id")).code, 404)
        self.assertEqual(await self.leases(image_id), [])

    async def test_too_many(self) -> None:
        """
        A project has so many leases of an image and no more, which takes none from
        others; those that are there are renewed.
        """
        await self.start(image_leases=1)
        image_id = await self.image()
        self.assertEqual((await self.lease("service", image_id)).code, 201)
        reply = await self.lease("service", image_id, OTHER)
        self.assertIn("leases: at most 1", self.message(reply, 413))
        self.assertEqual((await self.lease("service", image_id)).code, 200)
        self.assertEqual((await self.lease("owner", image_id, OTHER)).code, 201)

    async def test_anothers(self) -> None:
        """
        A holder's lease is renewed by the project alone that took it.
        """
        await self.start()
        image_id = await self.image()
        await self.lease("service", image_id)
        reply = await self.lease("stranger", image_id, url="http://evil.example.com")
        self.assertIn("another project's", self.message(reply, 403))
        [lease] = await self.leases(image_id)
        self.assertEqual((lease["url"], lease["project"]), (URL, "services"))

    async def test_nobodys(self) -> None:
        """
        A lease of a time when nobody was asked is its holder's, once he is known.
        """
        await self.start()
        image_id = await self.image()
        past = utcnow()
        lease = Lease(image_id, HOLDER, URL, None, past, past)
        await self.server.parts.catalogue.lease(lease, Digest(**DIGEST), 9)
        reply = await self.lease("service", image_id)
        self.assertEqual(reply.json["lease"]["project"], "services")

    async def test_deactivated(self) -> None:
        """
        An image that only admins may read for now is needed nevertheless.
        """
        await self.start()
        image_id = await self.image()
        path = f"/v2/images/{image_id}/actions/deactivate"
        await self.ask(self.server, "admin", "POST", path)
        self.assertEqual((await self.lease("service", image_id)).code, 201)


class ListTests(LeaseCase):
    """``GET /images/ID/leases``"""

    async def test_all(self) -> None:
        """
        All are there, the oldest first, those that have expired too.
        """
        await self.start()
        image_id = await self.image()
        self.assertEqual(await self.leases(image_id), [])
        await self.expire(image_id, OTHER)
        await self.lease("service", image_id)
        found = [(one["holder"], one["expired"]) for one in await self.leases(image_id)]
        self.assertEqual(found, [(OTHER, True), (HOLDER, False)])

    async def test_who_may(self) -> None:
        """
        Those see the leases whose project's the image is, and admins.
        """
        await self.start()
        for visibility, who in product(VISIBILITIES, ASKED):
            image_id = await self.image(visibility)
            path = f"/images/{image_id}/leases"
            reply = await self.ask(self.server, who, "GET", path)
            if who in ("admin", "owner", "owner-reader"):
                expected = 200
            elif who == "nobody":
                expected = 401
            else:
                expected = 403 if sees(who, visibility) else 404
            self.assertEqual(reply.code, expected, (who, visibility, reply))

    test_who_may.timeout = 240  # type: ignore[attr-defined]


class GuardTests(LeaseCase):
    """A leased image is not deleted."""

    async def test_leased(self) -> None:
        """
        Who would delete it is told who needs it, where he is, and until when.
        """
        await self.start()
        image_id = await self.image()
        await self.lease("service", image_id)
        await self.lease("stranger", image_id, OTHER, url="http://far.example.com")
        leases = await self.leases(image_id)
        for who, path in product(("owner", "admin"), ("/images", "/v2/images")):
            reply = await self.ask(self.server, who, "DELETE", f"{path}/{image_id}")
            message = self.message(reply, 409)
            for lease in leases:
                words = f"{lease['url']} (holder {lease['holder']}, "
                self.assertIn(f"{words}until {lease['until']})", message)
        reply = await self.ask(self.server, "owner", "GET", f"/images/{image_id}")
        self.assertEqual(reply.body, DATA)
        self.assertEqual(len(self.server.pieces()), 1)

    async def test_expired(self) -> None:
        """
        A lease guards though its time is over: the holder may only be out of reach.
        """
        await self.start()
        image_id = await self.image()
        await self.expire(image_id)
        message = self.message(await self.delete(image_id), 409)
        [lease] = await self.leases(image_id)
        self.assertIn(f"{URL} (holder {HOLDER}, expired {lease['until']}", message)
        self.assertEqual(len(self.server.pieces()), 1)

    async def test_ended(self) -> None:
        """
        Once the last lease is ended the image may be deleted.
        """
        await self.start()
        image_id = await self.image()
        for holder in (HOLDER, OTHER):
            await self.lease("service", image_id, holder)
        for holder in (HOLDER, OTHER):
            self.message(await self.delete(image_id), 409)
            self.assertEqual((await self.end("service", image_id, holder)).code, 204)
        self.assertEqual((await self.delete(image_id, "owner")).code, 204)

    async def test_force(self) -> None:
        """
        An admin who insists deletes it with its leases; nobody else does.
        """
        await self.start()
        for prefix in ("/images", "/v2/images"):
            image_id = await self.image()
            await self.lease("service", image_id)
            path = f"{prefix}/{image_id}?force=true"
            for who, code in [("owner", 403), ("stranger", 403), ("nobody", 401)]:
                reply = await self.ask(self.server, who, "DELETE", path)
                self.assertEqual(reply.code, code, who)
            self.assertEqual(len(await self.leases(image_id)), 1)
            reply = await self.ask(self.server, "admin", "DELETE", path)
            self.assertEqual(reply.code, 204)
            self.assertEqual(self.server.pieces(), [])
            self.assertEqual((await self.lease("service", image_id)).code, 404)


class EndTests(LeaseCase):
    """``DELETE /images/ID/leases/HOLDER``"""

    async def test_who_may(self) -> None:
        """
        It is ended by the project that took it, or by an admin.
        """
        await self.start()
        image_id = await self.image()
        for who, expected in [
            ("nobody", 401),
            ("stranger", 403),
            ("owner", 403),
            ("service", 204),
            ("admin", 204),
        ]:
            await self.lease("service", image_id)
            reply = await self.end(who, image_id)
            self.assertEqual(reply.code, expected, (who, reply))
            left = len(await self.leases(image_id))
            self.assertEqual(left, 0 if expected == 204 else 1, who)

    async def test_missing(self) -> None:
        """
        One that is not there is a 404, as is one of an image that is not to be seen.
        """
        await self.start()
        image_id, private = await self.image(), await self.image("private")
        await self.lease("service", private)
        message = self.message(await self.end("service", image_id), 404)
        self.assertIn(f"has no lease of {HOLDER}", message)
        for unseen in (private, NOWHERE):
            message = self.message(await self.end("stranger", unseen), 404)
            self.assertEqual(message, f"no image {unseen}")
        self.assertEqual(len(await self.leases(private)), 1)

    async def test_hidden_since(self) -> None:
        """
        Who took a lease ends it, though he may not see the image any more.
        """
        await self.start()
        image_id = await self.image()
        self.assertEqual((await self.lease("stranger", image_id)).code, 201)
        patch = [{"op": "replace", "path": "/visibility", "value": "private"}]
        media_type = "application/openstack-images-v2.1-json-patch"
        path = f"/v2/images/{image_id}"
        await self.ask(
            self.server, "admin", "PATCH", path, patch, content_type=media_type
        )
        reply = await self.ask(self.server, "stranger", "GET", path)
        self.assertEqual(reply.code, 404)
        self.assertEqual((await self.end("stranger", image_id)).code, 204)
        self.assertEqual(await self.leases(image_id), [])
