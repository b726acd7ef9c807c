# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.query`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs

from glancetx.catalogue import Query
from glancetx.errors import BadValue
from glancetx.limits import Limits
from glancetx.web.query import next_page, read_query

from .properties import untimed

LIMITS = Limits(list_default=25, list_limit=1000)
ID = "11111111-1111-4111-8111-111111111111"
KNOWN = (
    "is not known; there are container_format, disk_format, limit, marker, name, "
    "property-*, size_max, size_min, status"
)


def arguments(text: str) -> dict[bytes, list[bytes]]:
    """A query as ``twisted.web`` takes it apart."""
    found: dict[bytes, list[bytes]] = parse_qs(text.encode("ascii"), 1)
    return found


class QueryTests(SynchronousTestCase):
    """``read_query``"""

    def query(self, text: str) -> Query:
        return read_query(arguments(text), LIMITS)

    def refused(self, text: str) -> str:
        with self.assertRaises(BadValue) as caught:
            self.query(text)
        return str(caught.exception)

    def test_nothing(self) -> None:
        """
        Without arguments there is the first page of all images.
        """
        self.assertEqual(self.query(""), Query(limit=25, properties={}))

    def test_everything(self) -> None:
        """
        Every filter is read.
        """
        query = self.query(
            "name=g%C3%B6lden+disk&status=active&disk_format=raw&container_format=bare"
            f"&size_min=1&size_max=2&limit=7&marker={ID}"
            "&property-os_type=linux&property-Some-Thing="
        )
        expected = Query(
            names=("gölden disk",),
            statuses=("active",),
            disk_formats=("raw",),
            container_formats=("bare",),
            numbers={"size": (1, 2)},
            limit=7,
            marker=ID,
            properties={"os_type": "linux", "some_thing": ""},
        )
        self.assertEqual(query, expected)

    def test_limit(self) -> None:
        """
        A limit is lowered to what is allowed; none is too small.
        """
        for given_limit, expected in [
            (0, 0),
            (1000, 1000),
            (1001, 1000),
            (2**62, 1000),
        ]:
            self.assertEqual(self.query(f"limit={given_limit}").limit, expected)

    def test_numbers(self) -> None:
        """
        What is no number is refused by name.
        """
        for name in ("limit", "size_min", "size_max"):
            for value in ("", "-1", "x", "1.5", "%D9%A3", "9" * 19, "9" * 5000):
                problem = f"{name}: must be a whole number from 0 to {2**63 - 1}"
                self.assertEqual(self.refused(f"{name}={value}"), problem)

    def test_unknown(self) -> None:
        """
        What is not known is refused: a filter that does nothing would be a lie.
        """
        for name in ("nmae", "Name", "sort_key", "size", "property_x", "property"):
            self.assertEqual(self.refused(f"{name}=x"), f"{name}: {KNOWN}")

    def test_doubled(self) -> None:
        """
        So is what is given twice, however a property is spelled.
        """
        for text in ("name=a&name=a", "limit=1&limit=2", "property-a=1&property-a=1"):
            self.assertIn("is given more than once", self.refused(text))
        found = self.refused("property-a-b=1&property-A_b=2")
        self.assertEqual(found, "property-A_b: is given more than once")

    def test_nul(self) -> None:
        """
        So is what PostgreSQL cannot compare with.
        """
        for text in ("name=%00", "marker=a%00b", "property-a=%00", "property-%00=a"):
            self.assertIn("NUL", self.refused(text))

    def test_many_properties(self) -> None:
        """
        So are more properties than the catalogue should look for at once.
        """
        text = "&".join(f"property-{number}=x" for number in range(64))
        self.assertEqual(len(self.query(text).properties), 64)
        self.assertIn("more than 64 times", self.refused(f"{text}&property-64=x"))

    def test_encoding(self) -> None:
        """
        Text is UTF-8.
        """
        self.assertEqual(self.refused("name=%FF"), "name: must be UTF-8")
        self.assertEqual(self.refused("%FF=x"), "\\xff: must be UTF-8")


class NextPageTests(SynchronousTestCase):
    """``next_page``"""

    def test_kept(self) -> None:
        """
        The next page has the same filters, and another marker.
        """
        found = next_page(b"/v1/images", arguments("name=a%26b+c&marker=x&limit=2"), ID)
        self.assertEqual(found, f"/v1/images?name=a%26b+c&limit=2&marker={ID}")

    def test_bare(self) -> None:
        """
        Without filters there is only the marker.
        """
        self.assertEqual(next_page(b"/images", {}, ID), f"/images?marker={ID}")

    @untimed
    @given(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        st.booleans(),
    )
    def test_any(self, text: str, detailed: bool) -> None:
        """
        Whatever was asked for is asked for again.
        """
        path = b"/images/detail" if detailed else b"/images"
        asked = {b"name": [text.encode("utf-8")], b"property-x": [text.encode("utf-8")]}
        found = urlsplit(next_page(path, asked, ID))
        self.assertEqual(found.path, path.decode("ascii"))
        again = arguments(found.query)
        self.assertEqual(again.pop(b"marker"), [ID.encode("ascii")])
        self.assertEqual(again, asked)
