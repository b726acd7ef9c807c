# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of what lists and look-ups cost: which indexes they ride on, and how many steps
of its own machine SQLite takes. No time is measured.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from attrs import evolve
from sqlalchemy import Connection, Engine, event, insert
from twisted.trial.unittest import SynchronousTestCase

from glancetx.catalogue import SORT_KEYS, Query
from glancetx.catalogue.db import upgrade
from glancetx.catalogue.engines import make_engine
from glancetx.catalogue.images import find_all
from glancetx.catalogue.listing import list_images
from glancetx.catalogue.records import changing, described
from glancetx.catalogue.schema import ids, images, members, properties, tags
from glancetx.image import Image, Status, Visibility

from .catalogues import DIGEST, NOON, new_image, new_location

LIMIT = 50
FEW = 100
MANY = 3000

ADMIN = Query(hidden=False, limit=LIMIT)
#: His project's community images are in his list, too.
ADMIN_OF_P = evolve(ADMIN, project="p")
MEMBER = evolve(ADMIN_OF_P, admin=False)
#: The one-call door lists hidden images, too.
DOOR = Query(limit=LIMIT)
VIEWERS = (ADMIN, ADMIN_OF_P, MEMBER, DOOR)


def made_up(rng: random.Random, n: int, count: int) -> Image:
    """One of many images: mostly others' public ones, some the project's own."""
    image = new_image(
        id=str(UUID(int=rng.getrandbits(128))),
        name=rng.choice((None, "debian", f"image {n}")),
        disk_format=rng.choice((None, "raw", "qcow2")),
        container_format=rng.choice((None, "bare")),
        created_at=NOON + timedelta(seconds=rng.randrange(count)),
        updated_at=NOON + timedelta(seconds=rng.randrange(count)),
        owner="q",
        visibility=Visibility.PUBLIC,
    )
    if n % (count // 20) == 0:
        image = evolve(image, owner="p", visibility=Visibility.PRIVATE)
    elif n % (count // 20) == 1:
        image = evolve(image, visibility=Visibility.SHARED)
    if n % 4:
        return image
    return evolve(
        image,
        status=Status.ACTIVE,
        size=rng.randrange(count),
        digest=DIGEST,
        location=new_location(),
    )


def fill(engine: Engine, count: int) -> None:
    """That many images, each with properties and tags."""
    rng = random.Random(count)
    made = [made_up(rng, n, count) for n in range(count)]
    shared = [image for image in made if image.visibility is Visibility.SHARED]
    member = {"project": "p", "status": "accepted"}
    times = {"created_at": NOON, "updated_at": NOON}
    with engine.begin() as connection:
        for table, rows in (
            (ids, [{"id": i.id} for i in made]),
            (images, [_row(i) for i in made]),
            (properties, [{"image_id": i.id, "name": "n", "value": ""} for i in made]),
            (tags, [{"image_id": i.id, "tag": "t"} for i in made]),
            (members, [{"image_id": i.id, **member, **times} for i in shared]),
        ):
            connection.execute(insert(table), rows)


def _row(image: Image) -> dict[str, Any]:
    made = {"id": image.id, "created_at": image.created_at}
    return made | described(image) | changing(image)


class Database:
    """A filled catalogue in a file."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url, writes=False)

    def plans(self, query: Query) -> list[str]:
        """How SQLite goes about each statement of a list, a line a step."""
        with self.engine.connect() as connection, self._told(connection) as told:
            list_images(connection, query)
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            return [
                "\n".join(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {s}", p))
                for s, p in told
            ]

    def steps(self, query: Query) -> int:
        """How many instructions SQLite executes for a full page."""
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.set_progress_handler(count, 1)
            page = list_images(connection, query)
            raw.set_progress_handler(None, 1)
        assert len(page) == query.limit
        return counted

    def marker(self, query: Query, pages: int) -> str:
        """The last image of the page that so many are before."""
        with self.engine.connect() as connection:
            wide = evolve(query, limit=pages * LIMIT)
            return list_images(connection, wide)[-1].id

    @contextmanager
    def _told(self, connection: Connection) -> Iterator[list[tuple[str, Any]]]:
        told: list[tuple[str, Any]] = []

        @event.listens_for(connection, "before_cursor_execute")
        def tell(*facts: Any) -> None:
            if facts[2].startswith("SELECT"):
                told.append((facts[2], facts[3]))

        yield told


class CostTests(SynchronousTestCase):
    """``list_images`` and ``find_all``"""

    #: Where they are that the first test made for all.
    _urls: ClassVar[dict[int, str]] = {}

    def setUp(self) -> None:
        self.databases = {count: self.open(count) for count in (FEW, MANY)}

    def open(self, count: int) -> Database:
        if count not in self._urls:
            url = f"sqlite:///{Path(self.mktemp()).absolute()}"
            upgrade(url)
            engine = make_engine(url, writes=True)
            fill(engine, count)
            engine.dispose()
            self._urls[count] = url
        database = Database(self._urls[count])
        self.addCleanup(database.engine.dispose)
        return database

    def orders(self) -> Iterator[tuple[tuple[str, bool], ...]]:
        for key, descending in product(SORT_KEYS, (False, True)):
            yield ((key, descending),)

    def test_rides_on_indexes(self) -> None:
        """
        No list looks at every image, whoever asks, in whichever order, on any page.
        """
        database = self.databases[MANY]
        for viewer, sort in product(VIEWERS, self.orders()):
            query = evolve(viewer, sort=sort)
            marker = database.marker(query, 30)
            for asked in (query, evolve(query, marker=marker)):
                for plan in database.plans(asked):
                    self.assertNotIn("SCAN", plan, asked)

    def test_needs_no_sorting(self) -> None:
        """
        An admin's list comes sorted from its index, in every order.
        """
        database = self.databases[MANY]
        for viewer, sort in product((ADMIN, DOOR), self.orders()):
            query = evolve(viewer, sort=sort)
            marker = database.marker(query, 30)
            for asked in (query, evolve(query, marker=marker)):
                for plan in database.plans(asked):
                    self.assertNotIn("TEMP B-TREE", plan, asked)

    def test_sorts_the_few(self) -> None:
        """
        Of a project's list, what others share with it is sorted; its own images are
        if they are not asked for by name or time.
        """
        database = self.databases[MANY]
        for key, descending in product(SORT_KEYS, (False, True)):
            query = evolve(MEMBER, sort=((key, descending),))
            page, *_ = database.plans(query)
            own = 0 if key in ("name", "created_at") else 3
            shared = 0 if key == "id" else 1
            self.assertEqual(page.count("TEMP B-TREE"), shared + own, key)

    def test_named(self) -> None:
        """
        What is asked for by name, id, or parent is looked up so.
        """
        database = self.databases[MANY]
        for viewer, sort in product((ADMIN, MEMBER), ((), (("size", True),))):
            query = evolve(viewer, sort=sort)
            page, *_ = database.plans(evolve(query, names=("image 7",)))
            self.assertIn("hidden_name_created_at_id (visibility=? AND hidden=?", page)
            self.assertIn("AND name=?", page)
            for narrow in (
                evolve(query, ids=("a", "b")),
                evolve(query, parent_id="a"),
                evolve(query, parent_id=("http://o.invalid", "a")),
            ):
                page = database.plans(narrow)[0]
                self.assertIn("sqlite_autoindex_images_1 (id=?)", page)

    def test_catalogue_grows(self) -> None:
        """
        A page costs no more than half as much again when there are 30 times as many
        images, whoever asks, in whichever order.
        """
        for viewer, sort in product(VIEWERS, self.orders()):
            query = evolve(viewer, sort=sort)
            few, many = (self.databases[count].steps(query) for count in (FEW, MANY))
            self.assertLess(many, 1.5 * few, query)

    def test_deep(self) -> None:
        """
        Nor does a page that is far from the first.
        """
        database = self.databases[MANY]
        for viewer, sort in product(VIEWERS, self.orders()):
            query = evolve(viewer, sort=sort)
            second, late = (
                database.steps(evolve(query, marker=database.marker(query, pages)))
                for pages in (1, 50)
            )
            self.assertLess(late, 1.5 * second, query)

    def test_behind_no_value(self) -> None:
        """
        Nor does the page where those end that have no value.
        """
        database = self.databases[MANY]
        for key in ("name", "disk_format", "container_format", "size"):
            query = evolve(ADMIN, sort=((key, False),))
            with database.engine.connect() as connection:
                listed = list_images(connection, evolve(query, limit=MANY))
            empty = [image.id for image in listed if getattr(image, key) is None]
            second, last = (
                database.steps(evolve(query, marker=marker))
                for marker in (empty[LIMIT], empty[-1])
            )
            self.assertLess(last, 1.5 * second, key)

    def test_find(self) -> None:
        """
        One statement finds images with all that belongs to them, by their ids.
        """
        database = self.databases[MANY]
        image_id = database.marker(ADMIN, 1)
        with database.engine.connect() as connection:
            with database._told(connection) as told:
                find_all(connection, [image_id, "nobody"])
            [(statement, parameters)] = told
            raw: Any = connection.connection.dbapi_connection
            plan = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan]
        self.assertEqual(
            steps[0], "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)"
        )
        self.assertFalse([step for step in steps if "SCAN" in step])
