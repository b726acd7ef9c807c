# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.metadata`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.errors import BadValue
from glancetx.image import Visibility
from glancetx.library.images import Draft
from glancetx.library.uploads import Expected
from glancetx.web.fields import FORMATS
from glancetx.web.metadata import (
    read_draft,
    read_expected,
)

from .properties import untimed

ID = "11111111-1111-4111-8111-111111111111"
PARENT = "http://global.example.com/images/2"
MD5 = "0123456789abcdef" * 2
LARGEST = 2**63 - 1


def headers(fields: dict[str, str | bytes]) -> Headers:
    made = Headers()
    for name, value in fields.items():
        raw = value if isinstance(value, bytes) else value.encode("utf-8")
        made.addRawHeader(name.encode("ascii"), raw)
    return made


class MetadataTestCase(SynchronousTestCase):
    """Reads headers."""

    def draft(self, fields: dict[str, str | bytes]) -> Draft:
        return read_draft(headers(fields))

    def refused(self, fields: dict[str, str | bytes]) -> str:
        """The message; it names the header that it is about."""
        with self.assertRaises(BadValue) as caught:
            self.draft(fields)
        return str(caught.exception)

    def assert_refused(self, name: str, value: str | bytes, problem: str) -> None:
        found = self.refused({f"X-Image-Meta-{name}": value})
        self.assertEqual(found, f"x-image-meta-{name.lower()}: {problem}")


class DraftTests(MetadataTestCase):
    """``read_draft``"""

    def test_nothing(self) -> None:
        """
        Of other headers nothing is read; an image is bare and private unless it is
        told otherwise.
        """
        draft = self.draft({"Content-Type": "x", "X-Image-Meta": "y", "X-Other": "z"})
        expected = Draft(container_format="bare", visibility=Visibility.PRIVATE)
        self.assertEqual(draft, expected)

    def test_everything(self) -> None:
        """
        Every field is read.
        """
        draft = self.draft(
            {
                "X-Image-Meta-Id": ID,
                "X-Image-Meta-Name": "golden",
                "X-Image-Meta-Disk_format": "qcow2",
                "X-Image-Meta-Container_format": "ovf",
                "X-Image-Meta-Visibility": "community",
                "X-Image-Meta-Protected": "True",
                "X-Image-Meta-Parent_id": PARENT,
                "X-Image-Meta-Min_disk": "1",
                "X-Image-Meta-Min_ram": "2",
                "X-Image-Meta-Property-Os_type": "linux",
                "X-Image-Meta-Size": "5",
                "X-Image-Meta-Checksum": MD5,
            }
        )
        expected = Draft(
            id=ID,
            name="golden",
            disk_format="qcow2",
            container_format="ovf",
            visibility=Visibility.COMMUNITY,
            protected=True,
            min_disk=1,
            min_ram=2,
            parent_id=PARENT,
            properties={"os_type": "linux"},
        )
        self.assertEqual(draft, expected)

    def test_spelling(self) -> None:
        """
        Dash and underscore are alike, in any case, also before the name.
        """
        for name in (
            "X-Image-Meta-Disk-Format",
            "x-image-meta-disk_format",
            "X_IMAGE_META_DISK_FORMAT",
            "x-Image_meta-DISK-format",
        ):
            self.assertEqual(self.draft({name: "raw"}).disk_format, "raw", name)
        for name in (
            "X-Image-Meta-Property-Os-Type",
            "x_image_meta_property_os_type",
        ):
            self.assertEqual(self.draft({name: "x"}).properties, {"os_type": "x"})

    def test_doubled(self) -> None:
        """
        What is given twice is refused, however it is spelled.
        """
        for first, second in [
            ("X-Image-Meta-Name", "x_image_meta_name"),
            ("X-Image-Meta-Min-Disk", "X-Image-Meta-Min_disk"),
            ("X-Image-Meta-Property-A-B", "X-Image-Meta-Property-A_B"),
        ]:
            self.assertIn(
                "is given more than once", self.refused({first: "1", second: "1"})
            )
        twice = headers({"X-Image-Meta-Name": "a"})
        twice.addRawHeader(b"X-Image-Meta-Name", b"a")
        self.assertRaises(BadValue, read_draft, twice)
        self.assertRaises(BadValue, read_expected, twice)

    def test_unknown(self) -> None:
        """
        What is not known is refused, as it would be lost, and the known are told.
        """
        for name in ("nmae", "status", "location", "owner", "property", ""):
            message = self.refused({f"x-image-meta-{name}": "x"})
            self.assertEqual(
                message,
                f"x-image-meta-{name}: is not known; there are checksum, "
                "container_format, disk_format, id, is_public, min_disk, min_ram, "
                "name, parent_id, property-*, protected, size, visibility",
            )

    @untimed
    @given(
        st.text(
            st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=255
        )
    )
    def test_names(self, name: str) -> None:
        """
        A name is any text of one line, exactly as it came but for blanks around it.
        """
        draft = self.draft({"X-Image-Meta-Name": f" {name}\t"})
        self.assertEqual(draft.name, name.strip(" \t"))

    def test_odd_blanks(self) -> None:
        """
        Only those blanks are dropped that HTTP drops.
        """
        for name in ("\u3000wide", "narrow\u00a0", "\u2003"):
            self.assertEqual(self.draft({"X-Image-Meta-Name": name}).name, name)

    def test_control(self) -> None:
        """
        Control characters are refused, wherever they stand; so is what is not UTF-8.
        """
        for letter in "\0\r\n\t\x1b\x1c\x1f\x7f\x85\x9f\u2028\u2029":
            problem = "must not have control characters"
            # Twisted itself makes a blank of CR and LF.
            if letter not in "\r\n":
                self.assert_refused("Name", f"a{letter}b", problem)
                self.assert_refused("Property_x", f"a{letter}b", problem)
            if letter not in "\r\n\t":
                self.assert_refused("Name", f"a{letter}", problem)
                self.assert_refused("Name", f"{letter}b", problem)
        for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"a\xe4"):
            self.assert_refused("Name", raw, "must be UTF-8")

    def test_long_name(self) -> None:
        """
        A name has at most 255 characters, of any number of bytes.
        """
        longest = "\N{GRINNING FACE}" * 255
        self.assertEqual(self.draft({"X-Image-Meta-Name": longest}).name, longest)
        self.assert_refused("Name", longest + "x", "must have at most 255 characters")

    def test_ids(self) -> None:
        """
        An id is a UUID in its one form.
        """
        for value in (
            ID.upper(),
            ID.replace("-", ""),
            "1",
            "",
            f"{{{ID}}}",
            "../" + ID,
        ):
            if value != ID:
                self.assert_refused(
                    "Id", value, "must be a lower-case UUID with dashes"
                )

    def test_formats(self) -> None:
        """
        Formats are those that there are; one by another name would not be looked at.
        """
        for name, one in (("disk_format", "qcow2"), ("container_format", "ova")):
            for value in ("", "RAW", "a/b", "..", "qcow", "q cow", "é"):
                known = ", ".join(FORMATS[name])
                self.assert_refused(name, value, f"must be one of {known}")
            header = f"X-Image-Meta-{name.capitalize()}"
            self.assertEqual(getattr(self.draft({header: one}), name), one)

    def test_numbers(self) -> None:
        """
        Numbers are whole, and fit into the catalogue.
        """
        self.assertEqual(self.draft({"X-Image-Meta-Min_ram": "007"}).min_ram, 7)
        largest = self.draft({"X-Image-Meta-Min_disk": str(LARGEST)}).min_disk
        self.assertEqual(largest, LARGEST)
        problem = f"must be a whole number from 0 to {LARGEST}"
        for value in (
            "",
            "-1",
            "+1",
            "1.0",
            "1e3",
            "x",
            "\u0663",
            "1_0",
            str(LARGEST + 1),
        ):
            self.assert_refused("Min_disk", value, problem)
            self.assert_refused("Min_ram", value, problem)

    def test_booleans(self) -> None:
        """
        Public is what some word for yes says, private what one for no says.
        """
        words = {"true": True, "YES": True, "1": True, "False": False, "no": False}
        for word, public in {**words, "0": False}.items():
            draft = self.draft({"X-Image-Meta-Is-Public": word})
            self.assertEqual(draft.visibility is Visibility.PUBLIC, public)
        for word in ("", "on", "2", "public"):
            self.assert_refused("Is_public", word, "must be true or false")
            self.assert_refused("Protected", word, "must be true or false")

    def test_visibility(self) -> None:
        """
        A visibility is one of four, in any case.
        """
        for one in Visibility:
            draft = self.draft({"X-Image-Meta-Visibility": one.value.title()})
            self.assertIs(draft.visibility, one)
        problem = "must be one of private, shared, community, public"
        for word in ("", "true", "all"):
            self.assert_refused("Visibility", word, problem)

    def test_both_visibilities(self) -> None:
        """
        Beside a visibility ``is_public`` may repeat it, in any order, but not
        contradict.
        """
        name, old = "X-Image-Meta-Visibility", "X-Image-Meta-Is-Public"
        for one in Visibility:
            public = one is Visibility.PUBLIC
            for fields in (
                {name: one.value, old: str(public)},
                {old: str(public), name: one.value},
            ):
                self.assertIs(self.draft({**fields}).visibility, one)
            message = self.refused({name: one.value, old: str(not public)})
            self.assertIn(f"x-image-meta-visibility: is {one}, but", message)

    def test_properties(self) -> None:
        """
        A property has a name that fits into a header, and a value that may be empty.
        """
        fields: dict[str, str | bytes] = {
            "X-Image-Meta-Property-A.b-c_1": "x",
            "X-Image-Meta-Property-Empty": "",
        }
        self.assertEqual(self.draft(fields).properties, {"a.b_c_1": "x", "empty": ""})
        for name in ("Property_", "Property_a!b", "Property_" + "x" * 256):
            problem = "must be 1 to 255 of a-z, 0-9, '_' and '.'"
            self.assert_refused(name, "x", problem)
        self.draft({"X-Image-Meta-Property-a": "é" * 2048})
        too_long = "must have at most 4096 bytes"
        self.assert_refused("Property_a", "é" * 2049, too_long)

    def test_parent_is_no_property(self) -> None:
        """
        A parent that is given as a property is told how to be one.
        """
        problem = "is no property; send x-image-meta-parent_id"
        self.assert_refused("Property_parent_id", ID, problem)
        self.assert_refused("Property_os_glance_parent_id", ID, problem)

    def test_fields_are_no_properties(self) -> None:
        """
        No property has the name of a fact of an image: the Image API v2 shows both
        side by side, and could not show it.
        """
        for name in ("name", "status", "visibility", "self", "locations", "location"):
            problem = f"is no property: {name} is a name that is taken"
            self.assert_refused(f"Property_{name}", "x", problem)
        problem = "is no property: os_glance_x is a name that is taken"
        self.assert_refused("Property_os_glance_x", "x", problem)


class ExpectedTests(MetadataTestCase):
    """``read_expected``"""

    def expected(self, **fields: str) -> Expected:
        return read_expected(
            headers({f"X-Image-Meta-{n}": v for n, v in fields.items()})
        )

    def test_nothing(self) -> None:
        """
        Nothing need be promised.
        """
        self.assertEqual(self.expected(name="x"), Expected())

    def test_promised(self) -> None:
        """
        Size and MD5 may be, the latter in any case.
        """
        expected = self.expected(Size="5", Checksum=MD5.upper())
        self.assertEqual(expected, Expected(5, MD5))
        self.assertEqual(self.expected(size="0"), Expected(0))

    def test_wrong(self) -> None:
        """
        What cannot be a size or an MD5 is refused by the name of its header.
        """
        for value in ("", "-1", "x", str(LARGEST + 1)):
            with self.assertRaises(BadValue) as caught:
                self.expected(size=value)
            self.assertEqual(caught.exception.field, "x-image-meta-size")
        for value in ("", "x" * 32, MD5 + "0", "1" * 64):
            with self.assertRaises(BadValue) as caught:
                self.expected(checksum=value)
            self.assertEqual(caught.exception.field, "x-image-meta-checksum")
