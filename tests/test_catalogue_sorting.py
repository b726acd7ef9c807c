# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of the order of lists, and of pages in every order.
"""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import product
from uuid import UUID

from attrs import evolve

from glancetx.catalogue import SORT_KEYS, Query
from glancetx.image import Image, Visibility

from .catalogues import NOON, CatalogueTestCase

Sort = tuple[tuple[str, bool], ...]

#: Sorted by several keys, also in several directions.
COMBINED: tuple[Sort, ...] = (
    (("name", False), ("size", True)),
    (("name", True), ("size", True), ("disk_format", False)),
    (("status", False), ("created_at", True)),
    (("disk_format", True), ("container_format", False), ("id", True)),
    (("size", False), ("size", True)),
    (("updated_at", True), ("id", False)),
    (("id", True), ("name", True)),
)


def in_order(images: list[Image], sort: Sort) -> list[str]:
    """The ids, sorted as Glance sorts: without a value comes before any value."""
    down = sort[0][1] if sort else True
    keys = [*(sort or [("created_at", True)]), ("created_at", down), ("id", down)]
    images = list(images)
    for name, descending in reversed(keys):
        images.sort(
            key=lambda image, name=name: (  # type: ignore[misc]
                getattr(image, name) is not None,
                getattr(image, name),
            ),
            reverse=descending,
        )
    return [image.id for image in images]


class SortTests(CatalogueTestCase):
    """``list``: the order"""

    async def fill(self, count: int) -> list[Image]:
        """Images that have much in common, and often no value."""
        rng = random.Random(7)
        images = []
        for n in range(count):
            wishes = {
                "id": str(UUID(int=rng.getrandbits(128))),
                "name": rng.choice((None, "", "a", "B", "ä")),
                "disk_format": rng.choice((None, "raw", "qcow2")),
                "container_format": rng.choice((None, "bare")),
                "created_at": NOON + timedelta(seconds=rng.randrange(4)),
                "updated_at": NOON + timedelta(seconds=rng.randrange(4)),
                "visibility": rng.choice(tuple(Visibility)),
                "owner": rng.choice(("p", "q")),
                "hidden": rng.random() < 0.3,
            }
            if n % 3:
                image = await self.active(size=rng.choice((0, 5, 2**40)), **wishes)
            else:
                image = await self.queued(**wishes)
            images.append(image)
        return images

    async def pages(self, query: Query) -> list[str]:
        """The ids on all pages, one after the other."""
        seen: list[str] = []
        while page := await self.catalogue.list(query):
            self.assertLessEqual(len(page), query.limit)
            seen += [image.id for image in page]
            query = evolve(query, marker=seen[-1])
        return seen

    async def test_every_key(self) -> None:
        """
        By every key, up and down, the pages together are the whole list in its order.
        """
        images = await self.fill(40)
        for key, descending, limit in product(SORT_KEYS, (False, True), (1, 7, 40)):
            sort = ((key, descending),)
            found = await self.pages(Query(sort=sort, visibility="all", limit=limit))
            self.assertEqual(found, in_order(images, sort), (sort, limit))

    async def test_combined(self) -> None:
        """
        So they are by several keys, each in its own direction.
        """
        images = await self.fill(40)
        for sort, limit in product(COMBINED, (1, 7, 40)):
            found = await self.pages(Query(sort=sort, visibility="all", limit=limit))
            self.assertEqual(found, in_order(images, sort), (sort, limit))

    async def test_of_a_project(self) -> None:
        """
        So they are for a project that sees some of them.
        """
        images = [
            image
            for image in await self.fill(40)
            if image.owner == "p" or image.visibility is Visibility.PUBLIC
        ]
        for key, descending in product(SORT_KEYS, (False, True)):
            sort = ((key, descending),)
            query = Query(project="p", admin=False, sort=sort, limit=3)
            found = await self.pages(query)
            self.assertEqual(found, in_order(images, sort), sort)

    async def test_filtered(self) -> None:
        """
        So they are where a filter leads to the images by another key.
        """
        images = await self.fill(40)
        for sort in ((), (("size", False),), (("created_at", False),)):
            for field, column, value in (
                ("names", "name", "a"),
                ("statuses", "status", "active"),
                ("disk_formats", "disk_format", "raw"),
                ("container_formats", "container_format", "bare"),
            ):
                query = Query(sort=sort, visibility="all", limit=3)
                found = await self.pages(evolve(query, **{field: (value,)}))  # type: ignore[arg-type]
                matching = [i for i in images if getattr(i, column) == value]
                self.assertEqual(found, in_order(matching, sort), (sort, field))

    async def test_marker_changed(self) -> None:
        """
        A marker that changed leads to where it is now.
        """
        for n, name in enumerate("abcd"):
            await self.queued(name=name, created_at=NOON + timedelta(seconds=n))
        query = Query(sort=(("name", False),), limit=2)
        first, second = await self.catalogue.list(query)
        await self.catalogue.change(second.id, lambda old: evolve(old, name="c2"))
        page = await self.catalogue.list(evolve(query, marker=second.id))
        self.assertEqual([image.name for image in page], ["d"])
