# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the list of images: its order, its pages, its filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from glancetx.catalogue import Query, TimeFilter
from glancetx.errors import BadValue
from glancetx.image import Digest, Image

from .catalogues import DIGEST, NOON, CatalogueTestCase, far_pin, new_location


class PageTests(CatalogueTestCase):
    """Order, marker and limit."""

    async def queue(self, *seconds: int) -> list[Image]:
        """Images made that long after noon."""
        return [
            await self.queued(created_at=NOON + timedelta(seconds=second))
            for second in seconds
        ]

    async def page(self, **query: Any) -> list[str]:
        return [image.id for image in await self.catalogue.list(Query(**query))]

    async def pages(self, limit: int) -> list[str]:
        """All pages, one after the other."""
        seen: list[str] = []
        while page := await self.page(limit=limit, marker=seen[-1] if seen else None):
            seen += page
        return seen

    async def test_empty(self) -> None:
        """
        Where nothing is, the list is empty.
        """
        self.assertEqual(await self.catalogue.list(Query()), [])

    async def test_newest_first(self) -> None:
        """
        The newest image comes first, whatever the order they were added in.
        """
        second, third, first = await self.queue(2, 3, 1)
        self.assertEqual(await self.page(), [third.id, second.id, first.id])

    async def test_microseconds(self) -> None:
        """
        A microsecond decides, also where the fraction is written shorter.
        """
        early = await self.queued(created_at=NOON.replace(microsecond=0))
        late = await self.queued(created_at=NOON.replace(microsecond=1))
        self.assertEqual(await self.page(), [late.id, early.id])
        self.assertEqual(await self.pages(1), [late.id, early.id])

    async def test_ties(self) -> None:
        """
        Images of one moment are in the order of their ids, over all pages.
        """
        images = await self.queue(0, 0, 0, 0, 0, 1, 1)
        early = sorted((image.id for image in images[:5]), reverse=True)
        late = sorted((image.id for image in images[5:]), reverse=True)
        for limit in (1, 2, 3, 7, 25):
            self.assertEqual(await self.pages(limit), late + early)

    async def test_changes_between_pages(self) -> None:
        """
        What comes or goes between two pages neither repeats nor hides an image.
        """
        first, second, third = await self.queue(1, 2, 3)
        self.assertEqual(await self.page(limit=2), [third.id, second.id])
        await self.queue(4)
        await self.catalogue.delete(third.id)
        self.assertEqual(await self.page(limit=2, marker=second.id), [first.id])

    async def test_unknown_marker(self) -> None:
        """
        A marker that is no image is refused by name.
        """
        [gone] = await self.queue(1)
        await self.catalogue.delete(gone.id)
        for marker in ("nobody", gone.id, ""):
            with self.assertRaises(BadValue) as caught:
                await self.page(marker=marker)
            self.assertEqual(caught.exception.field, "marker")

    async def test_limits(self) -> None:
        """
        A limit of nothing, or less, gives nothing.
        """
        await self.queue(1, 2)
        for limit, count in ((-1, 0), (0, 0), (1, 1), (2, 2), (3, 2)):
            self.assertEqual(len(await self.page(limit=limit)), count)

    async def test_whole(self) -> None:
        """
        Listed images are whole: each has its own properties and its own chain.
        """
        images = [
            await self.queued(
                properties={"n": str(n), "m": "x"},
                parents=tuple(far_pin() for _ in range(n)),
            )
            for n in range(3)
        ]
        listed = await self.catalogue.list(Query())
        self.assertEqual({i.id: i for i in listed}, {i.id: i for i in images})


class FilterTests(CatalogueTestCase):
    """Filters, alone and together."""

    async def assert_found(self, images: Sequence[Image], **query: Any) -> None:
        found = await self.catalogue.list(Query(**query))
        expected = sorted(image.id for image in images)
        self.assertEqual(sorted(image.id for image in found), expected, query)

    async def test_text(self) -> None:
        """
        Name and formats are found by equality, letter for letter.
        """
        one = await self.queued(name="a_b", disk_format="qcow2")
        two = await self.queued(name="A_b", disk_format="raw", container_format="bare")
        await self.queued()
        await self.assert_found([one], names=("a_b",))
        await self.assert_found([two], names=("A_b",))
        await self.assert_found([], names=("a%b",))
        await self.assert_found([], names=("",))
        await self.assert_found([one], disk_formats=("qcow2",))
        await self.assert_found([two], container_formats=("bare",))
        await self.assert_found([], names=("a_b",), disk_formats=("raw",))

    async def test_status(self) -> None:
        """
        Images are found by their state.
        """
        queued, (saving, _), active = (
            await self.queued(),
            await self.saving(),
            await self.active(),
        )
        await self.assert_found([queued], statuses=("queued",))
        await self.assert_found([saving], statuses=("saving",))
        await self.assert_found([active], statuses=("active",))
        await self.assert_found([], statuses=("deleted",))

    async def test_size(self) -> None:
        """
        Sizes are inclusive; an image without bytes has none; any number may be asked.
        """
        small, large = await self.active(size=10), await self.active(size=2**40)
        await self.queued()
        await self.assert_found([small, large], numbers={"size": (10, None)})
        await self.assert_found([large], numbers={"size": (11, None)})
        await self.assert_found([small], numbers={"size": (None, 10)})
        await self.assert_found([], numbers={"size": (None, 9)})
        await self.assert_found([small], numbers={"size": (10, 10)})
        await self.assert_found([small, large], numbers={"size": (-(10**30), 10**30)})
        await self.assert_found([], numbers={"size": (10**30, None)})

    async def test_properties(self) -> None:
        """
        Properties are found by equality, and all that are asked for must match.
        """
        one = await self.queued(properties={"os": "debian", "arch": "arm"})
        two = await self.queued(properties={"os": "debian", "arch": "x86"})
        await self.queued(properties={"arch": "debian"})
        await self.assert_found([one, two], properties={"os": "debian"})
        await self.assert_found([two], properties={"os": "debian", "arch": "x86"})
        await self.assert_found([], properties={"os": "deb"})
        await self.assert_found([], properties={"none": ""})

    async def test_any_of(self) -> None:
        """
        Of some fields several values can be asked for: any of them will do.
        """
        one = await self.queued(name="a", disk_format="raw", container_format="bare")
        two = await self.queued(name="b,c", disk_format="qcow2", container_format="ova")
        three = await self.active(name="a")
        await self.assert_found([one, two, three], names=("a", "b,c", "d"))
        await self.assert_found([one, two], disk_formats=("raw", "qcow2"))
        await self.assert_found([one, two], container_formats=("bare", "ova"))
        await self.assert_found([one, two, three], statuses=("active", "queued"))
        await self.assert_found([three], names=("a", "d"), statuses=("active", "x"))
        await self.assert_found([two, three], ids=(two.id, three.id, "nobody"))
        await self.assert_found([one], ids=(one.id,))

    async def test_flags(self) -> None:
        """
        Images are found by whether they are protected or hidden; unasked, by neither.
        """
        images = [
            await self.queued(protected=protected, hidden=hidden)
            for protected in (False, True)
            for hidden in (False, True)
        ]
        for flag in (False, True):
            protected = [image for image in images if image.protected is flag]
            await self.assert_found(protected, protected=flag)
            hidden = [image for image in images if image.hidden is flag]
            await self.assert_found(hidden, hidden=flag)
        await self.assert_found(images)

    async def test_tags(self) -> None:
        """
        All tags that are asked for must be there, however often each is asked for.
        """
        one = await self.queued(tags=frozenset({"a", "b"}))
        two = await self.queued(tags=frozenset({"a"}))
        await self.queued()
        await self.assert_found([one, two], tags=("a",))
        await self.assert_found([one], tags=("b", "a", "b"))
        await self.assert_found([], tags=("a", "A"))

    async def test_digests(self) -> None:
        """
        Images are found by the digests of their bytes.
        """
        image, location = await self.saving()
        await self.active()
        digest = Digest("sha512", "cd" * 64)
        image = await self.catalogue.commit(image.id, location, 1, digest, "ef" * 16)
        await self.assert_found([image], checksum="ef" * 16)
        await self.assert_found([image], os_hash_value=digest.value)
        await self.assert_found([image], os_hash_algo="sha512")
        await self.assert_found([], os_hash_algo="sha256", os_hash_value=digest.value)

    async def test_numbers(self) -> None:
        """
        All bounds of numbers must hold.
        """
        one, location = await self.saving(min_disk=1, min_ram=2)
        await self.catalogue.commit(one.id, location, 5, DIGEST, None, 7)
        two = await self.queued(min_disk=3, min_ram=4)
        await self.assert_found([one], numbers={"size": (5, 5), "virtual_size": (7, 7)})
        await self.assert_found([one], numbers={"min_disk": (None, 2)})
        await self.assert_found([two], numbers={"min_disk": (2, None)})
        await self.assert_found([two], numbers={"min_ram": (4, 4)})
        both = {"min_disk": (0, 9), "min_ram": (3, None)}
        await self.assert_found([two], numbers=both)

    async def test_times(self) -> None:
        """
        Times are compared as they are shown, to the second, and all must hold.
        """
        full = NOON.replace(microsecond=0)
        almost = timedelta(microseconds=999_999)
        early, noon, late = [
            await self.queued(created_at=full + later, updated_at=full - later)
            for later in (-timedelta(microseconds=1), almost, timedelta(seconds=1))
        ]
        for op, found in (
            ("gt", [late]),
            ("gte", [noon, late]),
            ("lt", [early]),
            ("lte", [early, noon]),
            ("eq", [noon]),
            ("neq", [early, late]),
        ):
            await self.assert_found(found, times=(TimeFilter("created_at", op, full),))
            half = full + timedelta(seconds=0.5)
            await self.assert_found(found, times=(TimeFilter("created_at", op, half),))
        updated = TimeFilter("updated_at", "lt", full)
        await self.assert_found([noon, late], times=(updated,))
        created = TimeFilter("created_at", "lt", late.created_at)
        await self.assert_found([noon], times=(updated, created))

    async def test_much_at_once(self) -> None:
        """
        As much can be asked for at once as anybody needs; more is refused by name.
        """
        names = tuple(f"image {n}" for n in range(500))
        image = await self.queued(
            name=names[-1],
            disk_format="raw",
            properties={f"p{n}": "x" for n in range(64)},
            tags=frozenset(names),
        )
        query: dict[str, Any] = {
            "names": names,
            "disk_formats": (*names[1:], "raw"),
            "statuses": (*names[1:], "queued"),
            "tags": names,
            "properties": image.properties,
        }
        await self.assert_found([image], **query)
        member = {"project": "p", "admin": False, "visibility": "all"}
        await self.assert_found([], **query, **member)
        ids = (*names[1:], image.id)
        await self.assert_found([image], ids=ids, **query)
        more = (*names, "one more")
        for field, refused in (("name", Query(names=more)), ("tag", Query(tags=more))):
            with self.assertRaises(BadValue) as caught:
                await self.catalogue.list(refused)
            self.assertEqual(caught.exception.field, field)

    async def test_pages_of_found(self) -> None:
        """
        Filters hold on every page; the marker itself need not match them.
        """
        images = [
            await self.queued(
                created_at=NOON + timedelta(seconds=n), name=f"{'eo'[n % 2]}"
            )
            for n in range(6)
        ]
        await self.assert_found([images[3]], names=("o",), marker=images[5].id, limit=1)
        await self.assert_found(
            [images[1], images[3]], names=("o",), marker=images[4].id, limit=9
        )

    async def test_upload_changes_what_is_found(self) -> None:
        """
        An image is found by the state that it has now.
        """
        image = await self.queued()
        await self.catalogue.begin(image.id, new_location(), self.process)
        await self.assert_found([], statuses=("queued",))
        await self.assert_found([image], statuses=("saving",))
