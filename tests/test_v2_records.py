# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.v2.records`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue, Forbidden, GlancetxError
from glancetx.image import Digest, Image, Location, Pin, Status, Visibility
from glancetx.library.images import Draft
from glancetx.uris import Names
from glancetx.web.fields import NAMESPACE, SETTABLE
from glancetx.web.v2.records import read_draft, to_record
from glancetx.web.v2.schemas import validate

ID = "11111111-1111-4111-8111-111111111111"
PARENT = "22222222-2222-4222-8222-222222222222"
GRANDPARENT = "33333333-3333-4333-8333-333333333333"
MD5 = "0123456789abcdef" * 2
OWN = Names("http://zone.example.com/")

QUEUED = Image(
    id=ID,
    status=Status.QUEUED,
    visibility=Visibility.SHARED,
    created_at=datetime(2026, 11, 23, 10, 0, 7, 999_999, tzinfo=UTC),
    updated_at=datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=2))),
)
ACTIVE = evolve(
    QUEUED,
    status=Status.ACTIVE,
    visibility=Visibility.PUBLIC,
    name="Gölden",
    disk_format="qcow2",
    container_format="bare",
    properties={"os_type": "linux", "Any key, écrit": "\n"},
    size=7,
    virtual_size=100,
    checksum=MD5,
    digest=Digest("sha512", "1" * 128),
    location=Location("main", "secret"),
    min_disk=1,
    min_ram=2,
    owner="project",
    protected=True,
    hidden=True,
    tags=frozenset({"b", "a", "ä"}),
)


def pin(image_id: str, origin: str | None = None, path: str = "") -> Pin:
    digest = Digest("sha256", "2" * 64)
    return Pin(origin, image_id, path, None, "raw", 1, 1, None, digest)


class RecordTests(SynchronousTestCase):
    """``to_record``"""

    def test_everything(self) -> None:
        """
        Fields and properties stand side by side; times have no fraction; where the
        bytes lie is not told.
        """
        expected: dict[str, Any] = {
            "id": ID,
            "name": "Gölden",
            "status": "active",
            "visibility": "public",
            "protected": True,
            "os_hidden": True,
            "owner": "project",
            "tags": ["a", "b", "ä"],
            "container_format": "bare",
            "disk_format": "qcow2",
            "min_disk": 1,
            "min_ram": 2,
            "size": 7,
            "virtual_size": 100,
            "checksum": MD5,
            "os_hash_algo": "sha512",
            "os_hash_value": "1" * 128,
            "created_at": "2026-11-23T10:00:07Z",
            "updated_at": "2026-11-23T11:00:00Z",
            "self": f"/v2/images/{ID}",
            "file": f"/v2/images/{ID}/file",
            "schema": "/v2/schemas/image",
            "os_type": "linux",
            "Any key, écrit": "\n",
        }
        self.assertEqual(json.loads(json.dumps(to_record(ACTIVE, OWN))), expected)

    def test_queued(self) -> None:
        """
        The same fields are there as long as nothing is known, as null.
        """
        record = to_record(QUEUED, OWN)
        known = to_record(evolve(ACTIVE, properties={}), OWN)
        self.assertEqual(record.keys(), known.keys())
        empty = {name for name, value in record.items() if value is None}
        self.assertEqual(
            empty,
            {
                "name",
                "owner",
                "container_format",
                "disk_format",
                "size",
                "virtual_size",
                "checksum",
                "os_hash_algo",
                "os_hash_value",
            },
        )
        self.assertEqual(record["tags"], [])

    def test_published(self) -> None:
        """
        A record obeys the schema that clients are given.
        """
        child = evolve(ACTIVE, parents=(pin(PARENT),))
        for image in (QUEUED, ACTIVE, child):
            validate("image", to_record(image, OWN))

    def test_parent_here(self) -> None:
        """
        A parent on this server is named by its URI.
        """
        record = to_record(evolve(QUEUED, parents=(pin(PARENT),)), OWN)
        found = {key: record[key] for key in record if key.startswith(NAMESPACE)}
        expected = {
            "os_glance_parent_id": f"http://zone.example.com/images/{PARENT}",
            "os_glance_parent_digest": f"sha256:{'2' * 64}",
            "os_glance_chain_length": "2",
        }
        self.assertEqual(found, expected)

    def test_parent_elsewhere(self) -> None:
        """
        A parent elsewhere is named by the URI that it has there; the chain is counted
        to its end.
        """
        parents = (
            pin(PARENT, "http://global", f"/images/{PARENT}"),
            pin(GRANDPARENT, "http://global", f"/images/{GRANDPARENT}"),
        )
        record = to_record(evolve(QUEUED, parents=parents), OWN)
        found = record["os_glance_parent_id"], record["os_glance_chain_length"]
        self.assertEqual(found, (f"http://global/images/{PARENT}", "3"))

    def test_fields_win(self) -> None:
        """
        No property hides a field, wherever it came from.
        """
        names = ("status", "checksum", "os_glance_parent_id", "self")
        properties = dict.fromkeys(names, "forged")
        forged = evolve(ACTIVE, properties=properties, parents=(pin(PARENT),))
        record = to_record(forged, OWN)
        self.assertNotIn("forged", [record[name] for name in names])


class DraftTests(SynchronousTestCase):
    """``read_draft``"""

    def refused(self, document: Any, error: type[GlancetxError]) -> str:
        with self.assertRaises(error) as caught:
            read_draft(document)
        return str(caught.exception)

    def test_nothing(self) -> None:
        """
        Nothing need be said.
        """
        self.assertEqual(read_draft({}), Draft())

    def test_everything(self) -> None:
        """
        Every field that clients set is read, the rest are properties.
        """
        document = {
            "id": ID,
            "name": "Gölden",
            "visibility": "community",
            "protected": True,
            "os_hidden": True,
            "owner": "project",
            "tags": ["a", "b", "a"],
            "container_format": "bare",
            "disk_format": "qcow2",
            "min_disk": 1,
            "min_ram": 2,
            "parent_id": "http://global/images/2",
            "os_type": "linux",
            "Any key, écrit": "\n",
        }
        self.assertEqual(SETTABLE - document.keys(), set())
        expected = Draft(
            id=ID,
            name="Gölden",
            visibility=Visibility.COMMUNITY,
            protected=True,
            hidden=True,
            owner="project",
            tags=frozenset({"a", "b"}),
            container_format="bare",
            disk_format="qcow2",
            min_disk=1,
            min_ram=2,
            parent_id="http://global/images/2",
            properties={"os_type": "linux", "Any key, écrit": "\n"},
        )
        self.assertEqual(read_draft(document), expected)

    def test_nulls(self) -> None:
        """
        Null says nothing where a field may be null.
        """
        names = ("name", "owner", "container_format", "disk_format")
        self.assertEqual(read_draft(dict.fromkeys(names)), Draft())

    def test_parent(self) -> None:
        """
        A parent has two names, of which one is enough.
        """
        for name in ("parent_id", "os_glance_parent_id"):
            self.assertEqual(read_draft({name: PARENT}).parent_id, PARENT)
        both = {"parent_id": PARENT, "os_glance_parent_id": PARENT}
        self.assertEqual(read_draft(both).parent_id, PARENT)
        message = self.refused({**both, "parent_id": ID}, BadValue)
        self.assertIn("os_glance_parent_id: is another one than parent_id", message)

    def test_read_only(self) -> None:
        """
        What the server says is forbidden to say, of whatever type it is.
        """
        for name in to_record(QUEUED, OWN).keys() - SETTABLE - {"id"}:
            for value in ("x", 1, None):
                message = self.refused({name: value}, Forbidden)
                self.assertEqual(
                    message, f"{name}: is read-only; the server says what it is"
                )

    def test_reserved(self) -> None:
        """
        So are names that are reserved.
        """
        for name in ("location", "deleted", "deleted_at", "os_glance_x", "os_glancex"):
            message = self.refused({name: "x"}, Forbidden)
            self.assertEqual(message, f"{name}: is a reserved name; choose another")

    def test_wrong(self) -> None:
        """
        What does not obey the schema is refused by the name of the field.
        """
        for name, value in [
            ("id", "1"),
            ("id", ID.replace("1", "A")),
            ("name", 1),
            ("visibility", "secret"),
            ("protected", "true"),
            ("os_hidden", 1),
            ("container_format", "box"),
            ("disk_format", "RAW"),
            ("min_disk", True),
            ("min_ram", -1),
            ("min_ram", 1.0),
            ("parent_id", 1),
            ("os_type", 1),
            ("os_type", ["x"]),
        ]:
            self.assertTrue(
                self.refused({name: value}, BadValue).startswith(f"{name}: "), name
            )
        self.assertIn("tags", self.refused({"tags": "x"}, BadValue))
        documents: list[Any] = [None, [], "x", 1]
        for document in documents:
            self.assertIn("body: ", self.refused(document, BadValue))

    def test_control(self) -> None:
        """
        Fields and the names of properties are one line of text; values are any text
        that can be kept.
        """
        for letter in "\0\n\x1b\x85\u2028":
            for name, value in (
                ("name", letter),
                ("owner", letter),
                ("tags", [letter]),
            ):
                message = self.refused({name: value}, BadValue)
                self.assertEqual(message, f"{name}: must not have control characters")
            message = self.refused({f"a{letter}": "x"}, BadValue)
            self.assertIn("none of them control characters", message)
            self.assertTrue(message.isascii())
        message = self.refused({"a": "x\0"}, BadValue)
        self.assertEqual(message, "a: must not have the character NUL")

    def test_large(self) -> None:
        """
        Names and values have bounds.
        """
        longest = "é" * 255
        draft = read_draft({longest: "x"})
        self.assertEqual(draft.properties, {longest: "x"})
        self.refused({longest + "x": "x"}, BadValue)
        self.refused({"": "x"}, BadValue)
        self.assertIn("65535 bytes", self.refused({"a": "é" * 32768}, BadValue))
