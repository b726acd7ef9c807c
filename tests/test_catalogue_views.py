# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of who sees which images in a list, against the rules as Glance states them.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from glancetx.catalogue import Query
from glancetx.errors import BadValue
from glancetx.image import Image, Member, MemberStatus, Visibility

from .catalogues import NOON, CatalogueTestCase, far_pin, pin_of

#: Nobody's, the viewer's own, and others'.
OWNERS = (None, "p", "q")
STATUSES = (None, *MemberStatus)
VISIBILITIES = (None, "all", *Visibility)
MEMBER_STATUSES = ("accepted", "pending", "rejected", "all")


def is_listed(query: Query, image: Image, shared: MemberStatus | None) -> bool:
    """
    Image API v2, "List images", and Glance's ``image_get_all``, sentence by sentence.

    :param shared: what the viewer's project is to the image.
    """
    return (
        query.hidden in (None, image.hidden)
        and query.owner in (None, image.owner)
        and query.visibility in (None, "all", image.visibility)
        and is_seen(query, image, shared)
    )


def is_seen(query: Query, image: Image, shared: MemberStatus | None) -> bool:
    """Whether what matches is the viewer's to see."""
    if query.project is None and query.admin:
        return True
    if query.project is not None and image.owner == query.project:
        return True
    if image.visibility is Visibility.COMMUNITY:
        return query.visibility is not None
    if query.admin or image.visibility is Visibility.PUBLIC:
        return True
    return (
        image.visibility is Visibility.SHARED
        and query.project is not None
        and shared is not None
        and query.member_status in ("all", shared)
    )


class ViewTests(CatalogueTestCase):
    """``list``: whose images, and of which visibility"""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.shared: dict[str, MemberStatus | None] = {}
        self.images: list[Image] = []

    async def fill(self) -> None:
        """An image of each kind, each shared with the project in each way."""
        kinds = product(OWNERS, Visibility, (False, True), STATUSES)
        for owner, visibility, hidden, status in kinds:
            image = await self.queued(owner=owner, visibility=visibility, hidden=hidden)
            self.images.append(image)
            self.shared[image.id] = status
            if status is not None:
                member = Member(image.id, "p", status, NOON, NOON)
                await self.catalogue.add_member(member, 9)

    def expected(self, query: Query) -> list[str]:
        """The ids, sorted."""
        return sorted(
            image.id
            for image in self.images
            if is_listed(query, image, self.shared.get(image.id))
        )

    async def assert_listed(self, **fields: Any) -> None:
        query = Query(limit=1000, **fields)
        found = [image.id for image in await self.catalogue.list(query)]
        self.assertEqual(sorted(found), self.expected(query), query)

    async def test_all_rules(self) -> None:
        """
        Each viewer's list has exactly what the rules say, each image once.
        """
        await self.fill()
        for (project, admin), visibility, member_status, hidden in product(
            (("p", False), (None, False), ("p", True), (None, True)),
            VISIBILITIES,
            MEMBER_STATUSES,
            (None, False, True),
        ):
            await self.assert_listed(
                project=project,
                admin=admin,
                visibility=visibility,
                member_status=member_status,
                hidden=hidden,
            )

    async def test_owner(self) -> None:
        """
        A filter by owner shows no more than the list without it.
        """
        await self.fill()
        for (project, admin), visibility, owner in product(
            (("p", False), (None, False), ("p", True)), VISIBILITIES, ("p", "q", "z")
        ):
            await self.assert_listed(
                project=project, admin=admin, visibility=visibility, owner=owner
            )

    async def test_ids(self) -> None:
        """
        Nor does a filter by ids, or by the parent.
        """
        parent = await self.active(owner="z", visibility=Visibility.PRIVATE)
        pins = (pin_of(parent),)
        for owner, visibility in product(OWNERS, Visibility):
            fields = {"owner": owner, "visibility": visibility, "parents": pins}
            self.images.append(await self.queued(**fields))
        ids = tuple(image.id for image in self.images)
        for visibility, admin in product(VISIBILITIES, (False, True)):
            who = {"project": "p", "admin": admin, "visibility": visibility}
            await self.assert_listed(ids=(*ids, "nobody"), **who)
            await self.assert_listed(parent_id=parent.id, **who)

    async def test_parent(self) -> None:
        """
        Children are found by their direct parent, on the server that it is on.
        """
        here, far = await self.active(), far_pin()
        child = await self.queued(parents=(pin_of(here), far))
        other = await self.queued(parents=(far, pin_of(here)))
        assert far.origin is not None
        parent: str | tuple[str, str]
        for parent, found in (
            (here.id, [child]),
            ((far.origin, far.image_id), [other]),
            ((far.origin, here.id), []),
            (far.image_id, []),
        ):
            listed = await self.catalogue.list(Query(parent_id=parent))
            self.assertEqual(listed, found)

    async def test_marker(self) -> None:
        """
        A marker that the viewer may not see is unknown to him; any other will do,
        whether it is in the list or not.
        """
        await self.fill()
        for (project, admin), image in product(
            (("p", False), (None, False), (None, True)), self.images
        ):
            query = Query(project=project, admin=admin, marker=image.id)
            widest = Query(
                project=project, admin=admin, visibility="all", member_status="all"
            )
            if is_listed(widest, image, self.shared[image.id]):
                await self.catalogue.list(query)
                continue
            with self.assertRaises(BadValue) as caught:
                await self.catalogue.list(query)
            self.assertEqual(caught.exception.problem, f"no image {image.id}")
