# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.metadata`: what is shown of an image.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.image import Digest, Image, Status, Visibility
from glancetx.library.uploads import Expected
from glancetx.web.metadata import (
    read_draft,
    read_expected,
    to_brief,
    to_headers,
    to_json,
)

ID = "11111111-1111-4111-8111-111111111111"
PARENT = "http://global.example.com/images/2"
MD5 = "0123456789abcdef" * 2

QUEUED = Image(
    id=ID,
    status=Status.QUEUED,
    visibility=Visibility.PRIVATE,
    created_at=datetime(2026, 11, 23, 10, 0, 7, 999_999, tzinfo=UTC),
    updated_at=datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=2))),
    disk_format="qcow2",
)
ACTIVE = evolve(
    QUEUED,
    status=Status.ACTIVE,
    visibility=Visibility.PUBLIC,
    name='Gölden "disk" \N{GRINNING FACE}',
    container_format="bare",
    properties={"os_type": "linux", "empty": ""},
    size=7,
    virtual_size=100,
    checksum=MD5,
    digest=Digest("sha256", "1" * 64),
    min_disk=1,
    min_ram=2,
    owner="pröject",
    protected=True,
    hidden=True,
    tags=frozenset({"b", "a"}),
)


def headers(fields: dict[str, str | bytes]) -> Headers:
    made = Headers()
    for name, value in fields.items():
        raw = value if isinstance(value, bytes) else value.encode("utf-8")
        made.addRawHeader(name.encode("ascii"), raw)
    return made


class ShownTests(SynchronousTestCase):
    """``to_headers``, ``to_json`` and ``to_brief``"""

    def test_headers(self) -> None:
        """
        Every fact is a header, in UTF-8.
        """
        self.assertEqual(
            to_headers(ACTIVE, PARENT),
            {
                b"X-Image-Meta-Id": ID.encode(),
                b"X-Image-Meta-Name": 'Gölden "disk" \N{GRINNING FACE}'.encode(),
                b"X-Image-Meta-Status": b"active",
                b"X-Image-Meta-Disk_format": b"qcow2",
                b"X-Image-Meta-Container_format": b"bare",
                b"X-Image-Meta-Size": b"7",
                b"X-Image-Meta-Virtual_size": b"100",
                b"X-Image-Meta-Checksum": MD5.encode(),
                b"X-Image-Meta-Os_hash_algo": b"sha256",
                b"X-Image-Meta-Os_hash_value": b"1" * 64,
                b"X-Image-Meta-Is_public": b"True",
                b"X-Image-Meta-Visibility": b"public",
                b"X-Image-Meta-Owner": "pröject".encode(),
                b"X-Image-Meta-Protected": b"True",
                b"X-Image-Meta-Os_hidden": b"True",
                b"X-Image-Meta-Parent_id": PARENT.encode(),
                b"X-Image-Meta-Min_disk": b"1",
                b"X-Image-Meta-Min_ram": b"2",
                b"X-Image-Meta-Created_at": b"2026-11-23T10:00:07Z",
                b"X-Image-Meta-Updated_at": b"2026-11-23T11:00:00Z",
                b"X-Image-Meta-Property-os_type": b"linux",
                b"X-Image-Meta-Property-empty": b"",
            },
        )

    def test_queued_headers(self) -> None:
        """
        What is not known is no header.
        """
        self.assertEqual(
            sorted(to_headers(QUEUED, None)),
            sorted(
                f"X-Image-Meta-{name}".encode()
                for name in (
                    "Id",
                    "Status",
                    "Disk_format",
                    "Is_public",
                    "Visibility",
                    "Protected",
                    "Os_hidden",
                    "Min_disk",
                    "Min_ram",
                    "Created_at",
                    "Updated_at",
                )
            ),
        )

    def test_json(self) -> None:
        """
        Every fact is there in JSON, with its own type.
        """
        shown = to_json(ACTIVE, "http://zone.example.com/images/1", PARENT)
        expected: dict[str, Any] = {
            "id": ID,
            "name": ACTIVE.name,
            "status": "active",
            "disk_format": "qcow2",
            "container_format": "bare",
            "size": 7,
            "virtual_size": 100,
            "checksum": MD5,
            "os_hash_algo": "sha256",
            "os_hash_value": "1" * 64,
            "is_public": True,
            "visibility": "public",
            "owner": "pröject",
            "protected": True,
            "os_hidden": True,
            "tags": ["a", "b"],
            "parent_id": PARENT,
            "min_disk": 1,
            "min_ram": 2,
            "created_at": "2026-11-23T10:00:07Z",
            "updated_at": "2026-11-23T11:00:00Z",
            "properties": {"os_type": "linux", "empty": ""},
            "uri": "http://zone.example.com/images/1",
        }
        self.assertEqual(json.loads(json.dumps(shown)), expected)
        queued = to_json(QUEUED, "u", None)
        self.assertEqual(queued.keys(), expected.keys())
        for name in (
            "name",
            "size",
            "checksum",
            "os_hash_algo",
            "parent_id",
            "owner",
        ):
            self.assertIsNone(queued[name])

    def test_brief(self) -> None:
        """
        In a plain list there are few facts.
        """
        expected = {
            "id": ID,
            "name": ACTIVE.name,
            "disk_format": "qcow2",
            "container_format": "bare",
            "size": 7,
            "checksum": MD5,
        }
        self.assertEqual(to_brief(ACTIVE), expected)

    def test_round_trip(self) -> None:
        """
        What is shown of an image in headers can be said of a new one, but for what
        the server alone knows, or the Image API v2 alone sets.
        """
        shown = to_headers(ACTIVE, PARENT)
        said = {
            name: value
            for name, value in shown.items()
            if not any(
                word in name.lower()
                for word in (
                    b"status",
                    b"virtual",
                    b"os_h",
                    b"_at",
                    b"owner",
                )
            )
        }
        made = headers({name.decode("ascii"): value for name, value in said.items()})
        draft = read_draft(made)
        self.assertEqual(draft.name, ACTIVE.name)
        self.assertEqual(draft.properties, ACTIVE.properties)
        self.assertEqual(draft.visibility, ACTIVE.visibility)
        self.assertTrue(draft.protected)
        self.assertEqual(read_expected(made), Expected(7, MD5))


class PropertyHeadersTests(SynchronousTestCase):
    """``to_headers``: properties of which the Image API v2 allows more than HTTP"""

    def shown(self, properties: dict[str, str]) -> dict[str, bytes]:
        """What the headers show of properties, and of those that they do not."""
        prefix = "x-image-meta-propert"
        found = to_headers(evolve(QUEUED, properties=properties), None)
        return {
            name.removeprefix(prefix): value
            for name, value in (
                (raw.decode("ascii").lower(), value) for raw, value in found.items()
            )
            if name.startswith(prefix)
        }

    def test_odd_names(self) -> None:
        """
        A name that is not one of a header is left out and counted; JSON shows all.
        """
        names = ["Upper", "a-b", "a b", "a:b", "é", "a\r\nb", "a\u2028"]
        properties = {"fits.in_1": "x", **dict.fromkeys(names, "y")}
        shown = self.shown(properties)
        self.assertEqual(shown, {"y-fits.in_1": b"x", "ies-omitted": b"7"})
        image = evolve(QUEUED, properties=properties)
        self.assertEqual(to_json(image, "u", None)["properties"], properties)

    def test_odd_values(self) -> None:
        """
        Control characters are escaped, so that no value ends its header.
        """
        shown = self.shown({"a": "x\r\ny: z\x7f\t", "b": "é\u2028"})
        expected = {"y-a": b"x%0D%0Ay: z%7F\t", "y-b": "é\u2028".encode()}
        self.assertEqual(shown, expected)

    def test_long_values(self) -> None:
        """
        A value is left out that is longer than 4096 bytes as it would be sent.
        """
        longest = "x" * 4096
        self.assertEqual(self.shown({"a": longest}), {"y-a": longest.encode()})
        for value in (longest + "x", "é" * 2049, "\n" * 1366):
            self.assertEqual(self.shown({"a": value}), {"ies-omitted": b"1"})

    def test_many(self) -> None:
        """
        There are at most 20, since a cache in between takes some 50 headers in all.
        """
        twenty = {f"p{number:02}": "x" for number in range(20)}
        self.assertEqual(len(self.shown(twenty)), 20)
        shown = self.shown({**twenty, "p20": "x", "p21": "x"})
        self.assertEqual(len(shown), 21)
        self.assertEqual(shown["ies-omitted"], b"2")
        self.assertNotIn("y-p20", shown)

    def test_large(self) -> None:
        """
        All together they have at most 16 KiB; what fits behind one that does not is
        shown.
        """
        values = {f"p{number}": "x" * 4000 for number in range(6)}
        shown = self.shown({**values, "small": "y"})
        self.assertEqual(
            sorted(shown), ["ies-omitted", "y-p0", "y-p1", "y-p2", "y-p3", "y-small"]
        )
        self.assertEqual(shown["ies-omitted"], b"2")
