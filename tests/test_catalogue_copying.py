# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of copies of a catalogue, and of what is forgotten of what is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text, update
from twisted.internet.threads import deferToThread

from glancetx.catalogue import Hold, Process
from glancetx.catalogue import copying as copying_module
from glancetx.catalogue.copying import copy
from glancetx.catalogue.db import check, connected, upgrade
from glancetx.catalogue.purging import Purged, purge
from glancetx.catalogue.schema import ids, images, metadata
from glancetx.errors import BadValue, CatalogueUnavailable
from glancetx.image import Member, MemberStatus

from .catalogues import DIGEST, NOON, CatalogueTestCase, far_pin, pin_of
from .test_catalogue_change import lease_of
from .test_catalogue_holds import ORIGIN


def rows_of(url: str) -> dict[str, Any]:
    """All that a catalogue has."""
    with connected(url, False) as connection:
        return {
            table.name: sorted(connection.execute(select(table)).all(), key=repr)
            for table in metadata.sorted_tables
        }


class CopyTests(CatalogueTestCase):
    """``copy``"""

    def target(self) -> str:
        """Where nothing is yet."""
        return f"sqlite:///{Path(self.mktemp()).absolute()}"

    async def fill(self) -> None:
        """Something in each table."""
        golden = await self.active(
            name="ä", tags=frozenset("ab"), properties={"p": "q"}, owner="me"
        )
        await self.saving(parents=(pin_of(golden), far_pin()))
        member = Member(golden.id, "p", MemberStatus.ACCEPTED, NOON, NOON)
        await self.catalogue.add_member(member, 9)
        await self.catalogue.lease(lease_of(golden), DIGEST, 9)
        await self.catalogue.hold(Hold(ORIGIN, "an image", DIGEST, "held"))
        await self.catalogue.delete((await self.active()).id)

    async def test_all(self) -> None:
        """
        All rows come, in steps that are told, and the source keeps its name and rows.
        """
        await self.fill()
        target, told = self.target(), list[tuple[int, int]]()
        before = rows_of(self.url)
        self.assertFalse([name for name, rows in before.items() if not rows])
        self.patch(copying_module, "BATCH", 1)
        counts = await deferToThread(
            copy, self.url, target, lambda *came: told.append(came)
        )
        self.assertEqual(counts, {name: len(rows) for name, rows in before.items()})
        total = sum(counts.values())
        self.assertEqual(told, [(n, total) for n in range(total + 1)])
        self.assertEqual(rows_of(target), before)
        self.assertEqual(rows_of(self.url), before)
        check(target)

    async def test_not_empty(self) -> None:
        """
        Nothing is copied to where something is.
        """
        await self.fill()
        target = self.target()
        copy(self.url, target)
        before = rows_of(target)
        await self.queued()
        with self.assertRaises(CatalogueUnavailable) as caught:
            copy(self.url, target)
        self.assertIn("not empty", str(caught.exception))
        self.assertEqual(rows_of(target), before)

    async def test_half_way(self) -> None:
        """
        A copy that ends half-way leaves nothing, and can be made again.
        """
        await self.fill()
        target = self.target()

        def stop(came: int, total: int) -> None:
            if 2 * came > total:
                raise KeyError("stopped")

        with self.assertRaises(KeyError):
            copy(self.url, target, stop)
        copy(self.url, target)
        self.assertEqual(rows_of(target), rows_of(self.url))

    async def test_in_use(self) -> None:
        """
        Who is known at the source may be in the way.
        """
        seen: list[str] = []

        def check(processes: Any) -> None:
            seen.extend(process.id for process in processes)
            raise KeyError("in use")

        with self.assertRaises(KeyError):
            copy(self.url, self.target(), check=check)
        self.assertEqual(seen, [self.process])

    async def test_nul(self) -> None:
        """
        A text that PostgreSQL cannot keep is named.
        """
        image = await self.queued()
        with connected(self.url, True) as connection:
            connection.execute(update(images).values(name=text("'a' || char(0)")))
        with self.assertRaises(BadValue) as caught:
            copy(self.url, self.target())
        self.assertEqual(caught.exception.field, "images.name")
        self.assertIn(image.id, str(caught.exception))

    async def test_old(self) -> None:
        """
        What is no catalogue of this version is not copied.
        """
        old = Path(self.mktemp()).absolute()
        old.touch()
        with self.assertRaises(CatalogueUnavailable) as caught:
            copy(f"sqlite:///{old}", self.target())
        self.assertIn("upgrade it first", str(caught.exception))

    async def test_nothing(self) -> None:
        """
        Where nothing is, nothing is copied, and nothing made.
        """
        file = Path(self.mktemp()).absolute()
        with self.assertRaises(CatalogueUnavailable) as caught:
            copy(f"sqlite:///{file}", self.target())
        self.assertIn("nothing to be copied", str(caught.exception))
        self.assertEqual(list(file.parent.glob(f"{file.name}*")), [])

    async def test_itself(self) -> None:
        """
        None is copied to where it is, by whatever name; nobody waits for himself.
        """
        urls = [self.url]
        if self.url.startswith("sqlite"):
            other = Path(self.mktemp()).absolute()
            other.symlink_to(self.path)
            urls.append(f"sqlite:///{other}")
        for url in urls:
            with self.assertRaises(CatalogueUnavailable) as caught:
                await deferToThread(copy, self.url, url)
            self.assertIn("to where it is", str(caught.exception))


class PurgeTests(CatalogueTestCase):
    """``purge``"""

    def deleted(self, image_id: str) -> datetime | None:
        with connected(self.url, False) as connection:
            found = select(ids.c.deleted_at).where(ids.c.id == image_id)
            when: datetime | None = connection.execute(found).scalar_one()
            return when

    async def test_purged(self) -> None:
        """
        Of an old deletion the id alone stays, and is not given again.
        """
        old, new = await self.active(), await self.queued()
        await self.catalogue.delete(old.id)
        then = self.pass_seconds(1)
        await self.catalogue.delete(new.id)
        self.assertEqual(purge(self.url, then), Purged(1, 1))
        self.assertIsNone(self.deleted(old.id))
        self.assertEqual(self.deleted(new.id), then)
        [intent] = await self.catalogue.leftovers()
        self.assertEqual(intent.location, old.location)
        self.assertEqual(purge(self.url, then), Purged(0, 0))

    async def test_processes(self) -> None:
        """
        Processes that were heard of since, or whose bytes may lie somewhere, stay.
        """
        await self.saving()
        other = await self.join(self.catalogue)
        self.pass_seconds(1)
        later = Process("later", "h", 1, "", self.now)
        await self.catalogue.join(later)
        self.assertEqual(purge(self.url, self.now), Purged(0, 1))
        left = {process.id for process in await self.catalogue.processes()}
        self.assertEqual(left, {self.process, "later"})
        self.assertNotIn(other, left)

    def test_nothing(self) -> None:
        """
        Where there is no catalogue nothing is forgotten.
        """
        url = f"sqlite:///{Path(self.mktemp()).absolute()}"
        with self.assertRaises(CatalogueUnavailable):
            purge(url, NOON + timedelta(days=1))
        upgrade(url)
        self.assertEqual(purge(url, NOON), Purged(0, 0))
