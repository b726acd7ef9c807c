# Copyright glancetx contributors. See LICENSE for details.

"""
Leases that this server takes of images elsewhere, by whole servers.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from attrs import evolve
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs
from twisted.web.server import Site

from glancetx.catalogue import Hold
from glancetx.config import OriginConfig
from glancetx.errors import CatalogueUnavailable
from glancetx.image import Digest, Lease
from glancetx.library import holding
from glancetx.limits import Limits
from glancetx.times import utcnow

from .loopback import Loopback
from .personas import PersonaCase
from .players import Glance, Glancetx, Played
from .servers import Reply, RunningServer, ServerCase, reactor

GOLDEN, DELTA = b"golden bytes" * 100, b"delta"
RAW = {"x-image-meta-disk_format": "raw"}


class HoldingCase(ServerCase):
    """A test with a global server and a zone."""

    there: RunningServer
    here: RunningServer

    async def start(self) -> None:
        self.there = await self.serve()
        self.here = await self.serve([self.there])

    async def golden(self, **metadata: str) -> str:
        return await self.there.add(GOLDEN, is_public="true", **metadata)

    async def child(self, parent: str) -> str:
        return await self.here.add(DELTA, self.there.uri(parent))

    async def post(self, parent: str) -> Reply:
        """The answer to who makes a child in the zone."""
        headers = RAW | {"x-image-meta-parent_id": parent}
        return await self.here.ask("POST", "/images", headers, DELTA)

    async def leases(self, image_id: str) -> list[dict[str, Any]]:
        """What the global server knows of who needs an image."""
        reply = await self.there.ask("GET", f"/images/{image_id}/leases")
        found: list[dict[str, Any]] = reply.json["leases"]
        return found

    async def delete(self, image_id: str, query: str = "") -> Reply:
        return await self.there.ask("DELETE", f"/images/{image_id}{query}")

    async def see_to(self, server: RunningServer, seconds: float = 0) -> None:
        """Let a server do what is due, after all it has noted is so much older."""
        later = timedelta(seconds=seconds)
        keeping = server.parts.holding
        self.patch(keeping, "_now", lambda: utcnow() + later)
        await keeping._do_due()

    async def shown(self, server: RunningServer, image_id: str) -> list[str | None]:
        """
        How the ancestors of an image stand by the manifest, when headers and the
        Image API say the same.
        """
        path = f"/images/{image_id}"
        chain = (await server.ask("GET", f"{path}/chain")).json["chain"]
        found = [entry.get("lease") for entry in chain[1:]]
        safe = {None, "held", "expired"}.issuperset(found)
        for method in ("HEAD", "GET"):
            headers = (await server.ask(method, path)).headers
            header = headers["x-image-meta-parent-guarded"]
            self.assertEqual(header, "true" if safe else "false")
        record = (await server.ask("GET", f"/v2{path}")).json
        self.assertEqual(
            record["os_glance_parent_guarded"], "true" if safe else "false"
        )
        self.assertNotIn("lease", chain[0])
        return found

    def problem(self, reply: Reply, code: int) -> str:
        self.assertEqual(reply.code, code, reply)
        (problem,) = reply.json.values()
        text: str = problem["message"]
        return text

    def unguarded(self, reply: Reply) -> tuple[str, str, str]:
        """What the maker of a child is told of its one ancestor that may vanish."""
        self.assertEqual(reply.code, 201, reply)
        [told] = reply.json["unguarded"]
        self.assertEqual(set(told), {"uri", "lease", "reason"})
        return told["uri"], told["lease"], told["reason"]


class TakenTests(HoldingCase):
    """A lease is taken before a child is made."""

    async def test_taken(self) -> None:
        """
        The parent's server knows which server needs the image, and where that is, and
        so does who would delete it.
        """
        await self.start()
        golden = await self.golden()
        reply = await self.post(self.there.uri(golden))
        self.assertNotIn("unguarded", reply.json)
        [lease] = await self.leases(golden)
        self.assertEqual(lease["url"], self.here.url)
        name = await self.here.parts.catalogue.server_id()
        self.assertEqual(lease["holder"], name)
        self.assertIn(lease["seconds"], range(604700, 604801))
        child = reply.json["image"]["id"]
        self.assertEqual(await self.shown(self.here, child), ["held"])
        message = self.problem(await self.delete(golden), 409)
        self.assertIn(f"{self.here.url} (holder {name}, until", message)
        reply = await self.here.ask("GET", f"/images/{child}/stream")
        self.assertEqual(reply.body, DELTA + GOLDEN)

    async def test_before(self) -> None:
        """
        The lease is there before the child is: what would delete the parent meanwhile
        finds it.
        """
        await self.start()
        golden = await self.golden()
        seen = []
        add = self.here.parts.catalogue.add

        async def late(image: Any) -> None:
            seen.append((await self.delete(golden)).code)
            await add(image)

        self.patch(self.here.parts.catalogue, "add", late)
        await self.child(golden)
        self.assertEqual(seen, [409])

    async def test_chain(self) -> None:
        """
        Every ancestor is leased at the server that it is on; those here are safe
        anyway.
        """
        self.there = await self.serve()
        middle = await self.serve([self.there])
        self.here = await self.serve([middle, self.there])
        golden = await self.golden()
        second = await middle.add(DELTA, self.there.uri(golden), is_public="true")
        third = await self.here.add(DELTA, middle.uri(second))
        fourth = await self.here.add(DELTA, third)
        found = await self.shown(self.here, fourth)
        self.assertEqual(found, [None, "held", "held"])
        urls = {lease["url"] for lease in await self.leases(golden)}
        self.assertEqual(urls, {middle.url, self.here.url})
        reply = await middle.ask("GET", f"/images/{second}/leases")
        self.assertEqual([one["url"] for one in reply.json["leases"]], [self.here.url])
        self.assertEqual(await self.shown(middle, second), ["held"])

    async def test_here(self) -> None:
        """
        A child of a parent on its own server is guarded without any lease.
        """
        self.here = await self.serve()
        parent = await self.here.add(GOLDEN)
        child = await self.here.add(DELTA, parent)
        self.assertEqual(await self.shown(self.here, child), [None])
        reply = await self.here.ask("HEAD", f"/images/{parent}")
        self.assertNotIn("x-image-meta-parent-guarded", reply.headers)
        record = (await self.here.ask("GET", f"/v2/images/{parent}")).json
        self.assertNotIn("os_glance_parent_guarded", record)

    async def test_v2(self) -> None:
        """
        The Image API says it in its answer, too.
        """
        await self.start()
        body = f'{{"os_glance_parent_id": "{self.there.uri(await self.golden())}"}}'
        headers = {"content-type": "application/json"}
        reply = await self.here.ask("POST", "/v2/images", headers, body.encode())
        self.assertEqual(reply.code, 201)
        self.assertEqual(reply.json["os_glance_parent_guarded"], "true")

    async def test_manifest(self) -> None:
        """
        How leases stand is no part of the archive, whose ETag stays as it is.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        path = f"/images/{child}/chain.tar"
        before = await self.here.ask("GET", path)
        await self.delete(golden, "?force=true")
        await self.see_to(self.here, 7 * 86400)
        self.assertEqual(await self.shown(self.here, child), ["lost"])
        after = await self.here.ask("HEAD", path)
        self.assertEqual(after.headers["etag"], before.headers["etag"])
        self.assertNotIn(b"lease", before.body)

    async def test_two_zones(self) -> None:
        """
        Each server that needs an image has a lease of its own.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        first, self.here = self.here, await self.serve([self.there])
        await self.child(golden)
        self.assertEqual(
            [lease["url"] for lease in await self.leases(golden)],
            [first.url, self.here.url],
        )
        await first.ask("DELETE", f"/images/{child}")
        await self.see_to(first, holding.RELEASE_SECONDS)
        [lease] = await self.leases(golden)
        self.assertEqual(lease["url"], self.here.url)
        self.assertIn(self.here.url, self.problem(await self.delete(golden), 409))


class RefusedTests(HoldingCase):
    """No lease, no child; or a child whose parent is not guarded."""

    async def meanwhile(self, what: Any) -> None:
        """Do something between the look at a parent and the wish for its lease."""
        leasing = self.here.parts.holding._leasing
        take = leasing.take

        async def late(*arguments: Any) -> Any:
            await what()
            return await take(*arguments)

        self.patch(leasing, "take", late)

    async def test_gone(self) -> None:
        """
        A parent that was deleted a moment ago is no parent.
        """
        await self.start()
        golden = await self.golden()
        await self.meanwhile(lambda: self.delete(golden))
        message = self.problem(await self.post(self.there.uri(golden)), 400)
        self.assertEqual(
            message, f"parent_id: origin origin0 has no image {golden} that may be read"
        )
        self.assertEqual((await self.here.ask("GET", "/images")).json["images"], [])

    async def test_other_bytes(self) -> None:
        """
        Nor is one that the origin says to have other bytes.
        """
        await self.start()
        golden = await self.golden()
        image = await self.there.parts.catalogue.find(golden)

        async def changed(image_id: str) -> Any:
            return evolve(image, digest=Digest("sha256", "0" * 64))

        patched = self.patch(self.there.parts.catalogue, "find", changed)
        message = self.problem(await self.post(self.there.uri(golden)), 400)
        patched.restore()
        self.assertIn(f"no image {golden} that may be read", message)

    async def test_busy(self) -> None:
        """
        A server that cannot give it now is asked again; meanwhile it is told that the
        parent is not guarded, and why.
        """
        await self.start()
        golden = await self.golden()

        async def busy(*arguments: Any) -> bool:
            raise CatalogueUnavailable("it is locked")

        patched = self.patch(self.there.parts.catalogue, "lease", busy)
        reply = await self.post(self.there.uri(golden))
        uri, lease, reason = self.unguarded(reply)
        self.assertEqual((uri, lease), (self.there.uri(golden), "wanted"))
        self.assertIn("it answered 503", reason)
        child = reply.json["image"]["id"]
        self.assertEqual(await self.shown(self.here, child), ["wanted"])
        patched.restore()
        await self.see_to(self.here, 30)
        self.assertEqual(await self.leases(golden), [])  # it is left alone for a while
        self.forget_trouble()
        await self.see_to(self.here, 30)
        self.assertEqual(len(await self.leases(golden)), 1)
        self.assertEqual(await self.shown(self.here, child), ["held"])

    def forget_trouble(self) -> None:
        """As if the origin had been left alone for long enough."""
        self.here.parts.holding._patience._until.clear()

    async def test_away(self) -> None:
        """
        A child is made of what is known of a parent whose server is away; the lease is
        taken when that is back.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        for hold in await self.here.parts.catalogue.holds():
            await self.here.parts.catalogue.unhold(hold)
        await self.there.stop()
        reply = await self.post(self.there.uri(golden))
        uri, lease, reason = self.unguarded(reply)
        self.assertEqual((uri, lease), (self.there.uri(golden), "wanted"))
        self.assertIn("refuses connections", reason)
        second = reply.json["image"]["id"]
        folder, port = self.there.folder, self.there.port
        self.there = await self.serve(folder=folder, port=port)
        self.forget_trouble()
        await self.see_to(self.here, 30)
        for image_id in (child, second):
            self.assertEqual(await self.shown(self.here, image_id), ["held"])

    async def test_away_but_held(self) -> None:
        """
        A lease that is held guards another child, though its server is away.
        """
        await self.start()
        golden = await self.golden()
        await self.child(golden)
        await self.there.stop()
        reply = await self.post(self.there.uri(golden))
        self.assertEqual(reply.code, 201)
        self.assertNotIn("unguarded", reply.json)
        shown = await self.shown(self.here, reply.json["image"]["id"])
        self.assertEqual(shown, ["held"])

    async def test_glance(self) -> None:
        """
        A Glance gives no leases: it is not asked, and that is said everywhere.
        """
        image = Played(1, GOLDEN)
        player = Glance(image)
        origin = Loopback(reactor, Site(player))
        self.addCleanup(origin.stop)
        self.here = await self.serve([OriginConfig("glance", origin.url)])
        reply = await self.post(f"{origin.url}/v2/images/{image.id}")
        uri, lease, reason = self.unguarded(reply)
        self.assertEqual(uri, f"{origin.url}/v2/images/{image.id}/file")
        self.assertEqual(lease, "impossible")
        self.assertIn("Glance", reason)
        child = reply.json["image"]["id"]
        self.assertEqual(await self.shown(self.here, child), ["impossible"])
        await self.see_to(self.here, 86400)
        self.assertEqual({method for method, _ in player.asked}, {"HEAD", "GET"})
        self.assertEqual(await self.here.parts.catalogue.holds(), ())

    async def test_without_leases(self) -> None:
        """
        A glancetx of before there were leases gives none, but is a parent's server.
        """
        image = Played(1, GOLDEN)
        origin = Loopback(reactor, Site(Glancetx(image)))
        self.addCleanup(origin.stop)
        self.here = await self.serve([OriginConfig("old", origin.url)])
        reply = await self.post(f"{origin.url}/images/{image.id}")
        self.assertEqual(
            self.unguarded(reply)[1:], ("impossible", "it gives no leases")
        )
        child = reply.json["image"]["id"]
        self.assertEqual(await self.shown(self.here, child), ["impossible"])


class CredentialTests(PersonaCase):
    """The global server wants to know who leases its images."""

    async def start(self, credential: str | None) -> None:
        """:param credential: of whom the zone shows the token."""
        self.there = await self.serve(identity=self.identity)
        file = None
        if credential is not None:
            file = os.path.abspath(self.mktemp())
            with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as opened:
                opened.write(self.tokens[credential])
        origin = OriginConfig("global", self.there.url, credential_file=file)
        self.here = await self.serve([origin])
        fields = {"visibility": "public"}
        self.golden = await self.make(self.there, "admin", fields, GOLDEN)

    async def post(self) -> Reply:
        headers = RAW | {"x-image-meta-parent_id": self.there.uri(self.golden)}
        return await self.here.ask("POST", "/images", headers, DELTA)

    async def leases(self) -> Any:
        path = f"/images/{self.golden}/leases"
        return (await self.ask(self.there, "admin", "GET", path)).json["leases"]

    async def test_none(self) -> None:
        """
        A zone without a token may make children of a public image, but cannot guard
        it; it is told how it could.
        """
        await self.start(None)
        reply = await self.post()
        self.assertEqual(reply.code, 201)
        [told] = reply.json["unguarded"]
        self.assertEqual(told["lease"], "impossible")
        self.assertIn("it answered 401", told["reason"])
        self.assertIn("credential_file", told["reason"])
        self.assertEqual(await self.leases(), [])

    async def test_service(self) -> None:
        """
        A zone whose token has the role service leases what it reads.
        """
        await self.start("service")
        reply = await self.post()
        self.assertNotIn("unguarded", reply.json)
        [lease] = await self.leases()
        self.assertEqual((lease["project"], lease["url"]), ("services", self.here.url))


class KeptTests(HoldingCase):
    """Leases are renewed, found again, and ended."""

    async def test_released(self) -> None:
        """
        When the last child is gone its parent may be deleted, though not at once: a
        child may be in the making.
        """
        await self.start()
        golden = await self.golden()
        children = [await self.child(golden) for _ in range(2)]
        for child in children:
            await self.see_to(self.here, holding.RELEASE_SECONDS)
            self.assertEqual(len(await self.leases(golden)), 1)
            await self.here.ask("DELETE", f"/images/{child}")
        await self.see_to(self.here)
        self.assertEqual(len(await self.leases(golden)), 1)
        await self.see_to(self.here, holding.RELEASE_SECONDS)
        self.assertEqual(await self.leases(golden), [])
        self.assertEqual(await self.here.parts.catalogue.holds(), ())
        self.assertEqual((await self.delete(golden)).code, 204)

    async def test_released_already(self) -> None:
        """
        A lease that an admin ended, or that went with its image, is ended.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        await self.delete(golden, "?force=true")
        await self.here.ask("DELETE", f"/images/{child}")
        await self.see_to(self.here, holding.RELEASE_SECONDS)
        self.assertEqual(await self.here.parts.catalogue.holds(), ())

    async def test_expired(self) -> None:
        """
        A lease that could not be renewed guards on, and is shown as what it is.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        [hold] = await self.here.parts.catalogue.holds()
        past = utcnow() - timedelta(seconds=1)
        await self.here.parts.catalogue.hold(evolve(hold, until=past))
        name = await self.here.parts.catalogue.server_id()
        lease = Lease(golden, name, self.here.url, None, past, past)
        await self.there.parts.catalogue.lease(lease, hold.digest, 9)
        self.assertEqual(await self.shown(self.here, child), ["expired"])
        message = self.problem(await self.delete(golden), 409)
        self.assertIn(f"{self.here.url} (holder {name}, expired", message)
        await self.see_to(self.here)
        self.assertEqual(await self.shown(self.here, child), ["held"])
        [renewed] = await self.leases(golden)
        self.assertFalse(renewed["expired"])

    async def test_lost(self) -> None:
        """
        That a parent was deleted nevertheless is said loudly, and shown.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        await self.delete(golden, "?force=true")
        with capturedLogs() as events:
            await self.see_to(self.here, 7 * 86400)
        [said] = [one for one in events if one["log_level"] is LogLevel.error]
        self.assertEqual(said["image_id"], golden)
        self.assertIn("no such image", said["problem"])
        self.assertEqual(await self.shown(self.here, child), ["lost"])

    async def test_restart(self) -> None:
        """
        A server that starts again knows its leases, and takes those that it wants.
        """
        await self.start()
        golden, other = await self.golden(), await self.golden()
        child, second = await self.child(golden), await self.child(other)
        before = await self.leases(golden)
        held, lacking = sorted(
            await self.here.parts.catalogue.holds(),
            key=lambda one: one.image_id != golden,
        )
        await self.here.parts.catalogue.unhold(lacking)
        wanted = Hold(lacking.origin, other, lacking.digest, "wanted", None, "away")
        await self.here.parts.catalogue.hold(wanted)
        await self.here.stop()
        await self.there.ask("DELETE", f"/images/{other}/leases/{before[0]['holder']}")
        folder, port = self.here.folder, self.here.port
        self.here = await self.serve([self.there], folder=folder, port=port)
        await self.settled(self.here)
        [after] = await self.leases(golden)
        self.assertEqual(after["created_at"], before[0]["created_at"])
        self.assertEqual(after["until"], before[0]["until"])
        self.assertEqual(len(await self.leases(other)), 1)
        for image_id in (child, second):
            self.assertEqual(await self.shown(self.here, image_id), ["held"])
        self.assertIn(held, await self.here.parts.catalogue.holds())

    async def settled(self, server: RunningServer) -> None:
        """Wait for the pass that a server begins with."""
        while server.parts.holding._passing is not None:
            await deferLater(reactor, 0.01)

    async def test_older_children(self) -> None:
        """
        Children of before there were leases get them.
        """
        await self.start()
        golden = await self.golden()
        child = await self.child(golden)
        [hold] = await self.here.parts.catalogue.holds()
        await self.here.parts.catalogue.unhold(hold)
        await self.there.ask(
            "DELETE",
            f"/images/{golden}/leases/{(await self.leases(golden))[0]['holder']}",
        )
        self.assertEqual(await self.shown(self.here, child), ["wanted"])
        await self.see_to(self.here)
        self.assertEqual(await self.shown(self.here, child), ["held"])
        self.assertEqual(len(await self.leases(golden)), 1)

    async def test_shorter(self) -> None:
        """
        A server that gives leases for less is asked again sooner.
        """
        self.there = await self.serve(limits=Limits(lease_seconds=600))
        self.here = await self.serve([self.there])
        golden = await self.golden()
        await self.child(golden)
        [hold] = await self.here.parts.catalogue.holds()
        assert hold.until is not None
        left = (hold.until - utcnow()).total_seconds()
        self.assertIn(int(left), range(570, 601))
        await self.see_to(self.here, 200)
        self.assertEqual(await self.here.parts.catalogue.holds(), (hold,))
        await self.see_to(self.here, 400)
        [renewed] = await self.here.parts.catalogue.holds()
        assert renewed.until is not None
        self.assertGreater(renewed.until, hold.until)

    async def test_metrics(self) -> None:
        """
        How many leases stand how can be watched.
        """
        await self.start()
        await self.child(await self.golden())
        await self.see_to(self.here)
        text = (await self.here.ask("GET", "/metrics")).body.decode()
        self.assertIn('glancetx_parent_leases{state="held"} 1.0', text)
        self.assertIn('glancetx_parent_leases{state="wanted"} 0.0', text)
