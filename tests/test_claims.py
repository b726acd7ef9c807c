# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.claims`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.claims import (
    Found,
    Nonsense,
    believe,
    said_in_headers,
    said_in_json,
    shown,
)
from glancetx.errors import BadValue
from glancetx.image import Digest, Pin, Visibility

from .players import image_id

ID = image_id(1)

SAID = {
    "id": ID,
    "name": "golden \u2603",
    "status": "active",
    "disk_format": "qcow2",
    "size": 7,
    "virtual_size": 1024,
    "checksum": "0" * 32,
    "os_hash_algo": "sha256",
    "os_hash_value": "a" * 64,
    "parent_id": None,
    "visibility": "shared",
}

PIN = Pin(
    origin="http://glance.example.com",
    image_id=ID,
    path=f"/images/{ID}",
    name="golden \u2603",
    disk_format="qcow2",
    size=7,
    virtual_size=1024,
    checksum="0" * 32,
    digest=Digest("sha256", "a" * 64),
    visibility=Visibility.SHARED,
    anonymous=False,
)


def found(**changes: Any) -> Found:
    said = {**SAID, **changes}
    return believe(said, ID, "origin global", PIN.origin or "", PIN.path)


class BelieveTests(SynchronousTestCase):
    """:func:`believe`"""

    def test_all(self) -> None:
        """
        What can be true becomes a pin.
        """
        self.assertEqual(found(), Found(PIN, None))

    def test_visibility(self) -> None:
        """
        A server that says nothing, or nonsense, of who may see an image shows it to
        few.
        """
        odd: tuple[Any, ...] = (None, "", "everyone", 1, ["public"], {})
        for said in odd:
            pin = found(visibility=said).pin
            self.assertIs(pin.visibility, Visibility.PRIVATE, said)

    def test_least(self) -> None:
        """
        Name, virtual size and checksum may be missing; without a format it is raw.
        """
        pin = found(name=None, virtual_size=None, checksum=None, disk_format=None).pin
        self.assertEqual(
            (pin.name, pin.virtual_size, pin.checksum, pin.disk_format),
            (None, None, None, "raw"),
        )

    def test_parent(self) -> None:
        """
        The parent is handed on as it was said.
        """
        self.assertEqual(found(parent_id="http://h/x").parent, "http://h/x")
        self.assertIsNone(found(parent_id="").parent)

    def test_extremes(self) -> None:
        """
        The smallest and the largest values are believed.
        """
        for changes in (
            {"size": 0},
            {"size": 2**63 - 1},
            {"virtual_size": 0},
            {"name": ""},
            {"name": "x" * 255},
            {"disk_format": "a"},
            {"disk_format": "a" * 20},
            {"os_hash_algo": "sha512", "os_hash_value": "f" * 128},
        ):
            found(**changes)

    def test_nonsense(self) -> None:
        """
        What cannot be true is not believed, and the field is named.
        """
        for field, values in (
            ("another image", ()),
            ("status", ("", "Active", "active\n", "x" * 21, 1, True, ["active"])),
            ("size", (-1, 2**63, 1.0, True, "7", [7])),
            ("virtual_size", (-1, 2**63, 1.0, False, "7")),
            ("name", ("x" * 256, "a\nb", "a\rb", "a\x00", "\x7f", "\x85", "\ud800", 7)),
            ("disk_format", ("", "QCOW2", "a/b", "..", "a b", "a\n", "x" * 21, 7, [])),
            ("checksum", ("", "0" * 31, "0" * 33, "G" * 32, "A" * 32, 0)),
            ("os_hash_value", ("", "a" * 63, "a" * 65, "A" * 64, "a" * 128, 7, [])),
            ("parent_id", (7, "x" * 2049, "http://h\r\n/x", ["http://h"])),
        ):
            for value in values:
                problem = self.assertRaises(Nonsense, found, **{field: value})
                self.assertIn(field, str(problem))

    def test_another_image(self) -> None:
        """
        An answer about another image, or about none, is not believed.
        """
        for other in (image_id(2), f" {ID}", ID.replace("-", ""), "", None, 7):
            problem = self.assertRaises(Nonsense, found, id=other)
            self.assertIn("another image", str(problem))

    def test_no_size(self) -> None:
        """
        An active image has a size.
        """
        self.assertRaises(Nonsense, found, size=None)

    def test_not_active(self) -> None:
        """
        An image without its bytes cannot be a parent; its state is said.
        """
        for status in ("queued", "saving", "deactivated", "pending_delete", None):
            problem = self.assertRaises(BadValue, found, status=status)
            self.assertEqual(problem.field, "parent_id")
            self.assertIn(f"is {status}", problem.problem)

    def test_no_digest(self) -> None:
        """
        An image whose bytes cannot be proved cannot be a parent.
        """
        for changes in (
            {"os_hash_value": None},
            {"os_hash_algo": None},
            {"os_hash_algo": None, "os_hash_value": None},
            {"os_hash_algo": "md5", "os_hash_value": "0" * 32},
            {"os_hash_algo": "sha384", "os_hash_value": "0" * 96},
            {"os_hash_algo": "SHA256"},
            {"os_hash_algo": ["sha256"]},
        ):
            problem = self.assertRaises(BadValue, found, **changes)
            self.assertEqual(problem.field, "parent_id")
            self.assertIn("no SHA-256 or SHA-512", problem.problem)

    @given(
        st.sampled_from(sorted(SAID)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
    )
    def test_anything(self, field: str, value: object) -> None:
        """
        Whatever JSON says, there is a pin or one of the two errors, of one line.
        """
        try:
            found(**{field: value})
        except (Nonsense, BadValue) as problem:
            text = str(problem)
            self.assertEqual(text.splitlines(), [text])
            self.assertLess(len(text), 400)


class HeadersTests(SynchronousTestCase):
    """:func:`said_in_headers`"""

    def headers(self, **changes: bytes | None) -> Headers:
        said: dict[str, bytes | None] = {
            name: str(value).encode("utf-8")
            for name, value in SAID.items()
            if value is not None
        }
        said.update(changes)
        headers = Headers()
        for name, value in said.items():
            if value is not None:
                headers.addRawHeader(f"x-image-meta-{name}".encode(), value)
        return headers

    def test_all(self) -> None:
        """
        Texts are UTF-8, sizes are numbers, and what is missing or empty is nothing.
        """
        self.assertEqual(said_in_headers(self.headers()), SAID)
        self.assertEqual(
            said_in_headers(self.headers(name=b"", checksum=None)),
            {**SAID, "name": None, "checksum": None},
        )

    def test_no_glancetx(self) -> None:
        """
        Headers without an id are not a glancetx's.
        """
        self.assertIsNone(said_in_headers(Headers()))
        self.assertIsNone(said_in_headers(self.headers(id=None)))

    def test_parent(self) -> None:
        """
        The parent's URI is among them.
        """
        said = said_in_headers(self.headers(parent_id=b"http://h/x"))
        assert said is not None
        self.assertEqual(said["parent_id"], "http://h/x")

    def test_nonsense(self) -> None:
        """
        Numbers that are none, and texts that are not UTF-8, are nonsense.
        """
        for changes in (
            {"size": b"-1"},
            {"size": b"+1"},
            {"size": b"1_0"},
            {"size": b"0x7"},
            {"size": b"7 "},
            {"size": b"\xd9\xa7"},
            {"size": b"9" * 20},
            {"virtual_size": b"1e9"},
            {"name": b"\xff"},
            {"id": b"\xff"},
        ):
            headers = self.headers(**changes)
            problem = self.assertRaises(Nonsense, said_in_headers, headers)
            self.assertIn(next(iter(changes)), str(problem))

    def test_twice(self) -> None:
        """
        A thing that is said twice is nonsense, even if it is the same.
        """
        for name, value in SAID.items():
            headers = self.headers()
            for _ in range(2):
                headers.addRawHeader(
                    f"x-image-meta-{name}".encode(), str(value).encode()
                )
            self.assertRaises(Nonsense, said_in_headers, headers)


class JSONTests(SynchronousTestCase):
    """:func:`said_in_json`"""

    def test_parent(self) -> None:
        """
        The parent is what the server itself found; a property of that name is not.
        """
        document = {**SAID, "parent_id": "property", "os_glance_parent_id": "http://h"}
        self.assertEqual(said_in_json(document), {**SAID, "parent_id": "http://h"})
        self.assertEqual(said_in_json({**SAID, "parent_id": "property"}), SAID)

    def test_empty(self) -> None:
        """
        What is missing is nothing.
        """
        self.assertEqual(said_in_json({}), dict.fromkeys(SAID))


class ShownTests(SynchronousTestCase):
    """:func:`shown`"""

    def test_inert(self) -> None:
        """
        What a stranger sent is shown in ASCII, on one line, and cut.
        """
        self.assertEqual(shown("a\r\n\u202e"), r"'a\r\n\u202e'")
        self.assertEqual(len(shown("x" * 1000)), 200)
