# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.v2.listing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs

from glancetx.catalogue import Query
from glancetx.catalogue.query import SORT_KEYS, TimeFilter
from glancetx.errors import BadValue
from glancetx.limits import Limits
from glancetx.uris import Names
from glancetx.web.v2.listing import first_page, next_page, read_query

from .properties import untimed

LIMITS = Limits(list_default=25, list_limit=1000)
OWN = Names("http://zone.example.com", ("http://zone",))
ID = "11111111-1111-4111-8111-111111111111"


def arguments(text: str) -> dict[bytes, list[bytes]]:
    """A query as ``twisted.web`` takes it apart."""
    found: dict[bytes, list[bytes]] = parse_qs(text.encode("ascii"), 1)
    return found


class ListingCase(SynchronousTestCase):
    """Reads queries."""

    def query(self, text: str) -> Query:
        return read_query(arguments(text), LIMITS, OWN)

    def assert_reads(self, text: str, **expected: Any) -> None:
        """A query says this, and nothing else."""
        self.assertEqual(self.query(text), Query(hidden=False, **expected), text)

    def refused(self, text: str) -> str:
        with self.assertRaises(BadValue) as caught:
            self.query(text)
        return str(caught.exception)


class FilterTests(ListingCase):
    """What must match."""

    def test_nothing(self) -> None:
        """
        Without arguments there is the first page of all images that are not hidden.
        """
        self.assert_reads("", limit=25)

    def test_equal(self) -> None:
        """
        Fields are compared with one value; what is no field is a property.
        """
        self.assert_reads(
            f"name=g%C3%B6lden+disk&status=active&disk_format=raw&id={ID}"
            "&container_format=bare&owner=me&checksum=abc&os_hash_algo=sha256"
            "&os_hash_value=def&os_type=linux&Any%20key=&is_public=True&x_min=5",
            names=("gölden disk",),
            statuses=("active",),
            disk_formats=("raw",),
            container_formats=("bare",),
            ids=(ID,),
            owner="me",
            checksum="abc",
            os_hash_algo="sha256",
            os_hash_value="def",
            properties={
                "os_type": "linux",
                "Any key": "",
                "is_public": "True",
                "x_min": "5",
            },
        )

    def test_in(self) -> None:
        """
        Of some fields several values can be asked for.
        """
        for name, key in [
            ("name", "names"),
            ("id", "ids"),
            ("status", "statuses"),
            ("disk_format", "disk_formats"),
            ("container_format", "container_formats"),
        ]:
            self.assert_reads(f"{name}=in:a,b", **{key: ("a", "b")})
        self.assert_reads("os_type=in:a,b", properties={"os_type": "in:a,b"})

    def test_in_quotes(self) -> None:
        """
        What stands in quotes may have commas, and quotes behind backslashes.
        """
        for text, expected in [
            ("a", ("a",)),
            ("", ("",)),
            ("a,,b", ("a", "", "b")),
            ("a,", ("a", "")),
            ("a,a,b", ("a", "b")),
            ('"b,c"', ("b,c",)),
            ('a,"b,c",d', ("a", "b,c", "d")),
            ('"",a', ("", "a")),
            (r'"say \"x\"",a', ('say "x"', "a")),
            (r'"back\\slash"', ("back\\slash",)),
            (r"a\,b", ("a\\", "b")),
            ("in:a", ("in:a",)),
            ('"\n"', ("\n",)),
        ]:
            self.assert_reads(f"name=in:{quote(text)}", names=expected)

    def test_in_bad_quotes(self) -> None:
        """
        Quotes stand around a whole value, and are closed.
        """
        for text in ('"a', 'a"', 'a"b', '"a"b', '"a""b"', 'a,"b', r'"a\"', '"'):
            message = self.refused(f"name=in:{quote(text)}")
            self.assertTrue(message.startswith("name: must have a quoted"), text)

    @untimed
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
    def test_in_any(self, values: list[str]) -> None:
        """
        Any text can be asked for.
        """
        wanted = [value.replace("\0", "") for value in values]
        quoted = [
            '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
            for value in wanted
        ]
        query = self.query(f"name=in:{quote(','.join(quoted))}")
        self.assertEqual(query.names, tuple(dict.fromkeys(wanted)))

    def test_numbers(self) -> None:
        """
        Numbers are compared, or lie between bounds.
        """
        for name in ("size", "virtual_size", "min_disk", "min_ram"):
            for text, bounds in [
                (f"{name}=5", (5, 5)),
                (f"{name}_min=5", (5, None)),
                (f"{name}_max=5", (None, 5)),
                (f"{name}_min=5&{name}_max=7", (5, 7)),
                (f"{name}_max=7&{name}_min=-5", (-5, 7)),
                (f"{name}_min=5&{name}=7", (7, 7)),
                (f"{name}=7&{name}_max=5", (7, 5)),
                (f"{name}=7&{name}_min=5", (7, 7)),
                (f"{name}=5&{name}_max=7", (5, 5)),
            ]:
                self.assert_reads(text, numbers={name: bounds})
            for value in ("", "x", "1.0", "1e3", "%2B1", "0x1", "1_0", "9" * 20):
                for argument in (name, f"{name}_min", f"{name}_max"):
                    message = self.refused(f"{argument}={value}")
                    self.assertEqual(message, f"{argument}: must be a whole number")

    def test_times(self) -> None:
        """
        Times are compared in six ways; without an operator they are equal.
        """
        when = datetime(2026, 11, 23, 10, tzinfo=UTC)
        for name in ("created_at", "updated_at"):
            for operator in ("gt", "gte", "lt", "lte", "eq", "neq"):
                for text in (
                    "2026-11-23T10:00:00Z",
                    "2026-11-23T10:00:00",
                    "2026-11-23T12:00:00%2B02:00",
                    "20261123T100000Z",
                ):
                    self.assert_reads(
                        f"{name}={operator}:{text}",
                        times=(TimeFilter(name, operator, when),),
                    )
            self.assert_reads(
                f"{name}=2026-11-23T10:00:00Z", times=(TimeFilter(name, "eq", when),)
            )
            for value in ("", "x", "gt:", "in:2026-11-23T10:00:00Z", "gt:1", "eq:x"):
                message = self.refused(f"{name}={value}")
                self.assertIn(f"{name}: must be a time like 2026-", message)

    def test_odd_times(self) -> None:
        """
        Times are in UTC, and those that no calendar has are refused.
        """
        (found,) = self.query("created_at=gt:2026-11-23T12:00:00%2B02:00").times
        self.assertIs(found.when.tzinfo, UTC)
        for value in (
            "0001-01-01T00:00:00%2B02:00",
            "9999-12-31T23:59:59",
            "2026-02-30",
            "24:00",
        ):
            self.refused(f"created_at=gt:{value}")

    def test_two_times(self) -> None:
        """
        A time may be given twice: as after one and before another.
        """
        query = self.query(
            "updated_at=lt:2026-11-25&created_at=gt:2026-11-23&created_at=lt:2026-11-24"
        )
        self.assertEqual(
            [(one.field, one.op, one.when.day) for one in query.times],
            [
                ("created_at", "gt", 23),
                ("created_at", "lt", 24),
                ("updated_at", "lt", 25),
            ],
        )
        many = "&".join(["created_at=gt:2026-11-23"] * 17)
        self.assertEqual(
            self.refused(many), "created_at: must not be given more than 16 times"
        )

    def test_tags(self) -> None:
        """
        Of several tags all must be there.
        """
        self.assert_reads("tag=b&tag=a&tag=b", tags=("b", "a"))
        many = "&".join(f"tag={number}" for number in range(65))
        self.assertEqual(
            self.refused(many), "tag: must not be given more than 64 times"
        )

    def test_booleans(self) -> None:
        """
        ``protected`` is true or false in lower case, ``os_hidden`` in any.
        """
        for word, value in {"true": True, "false": False}.items():
            self.assert_reads(f"protected={word}", protected=value)
            for spelled in (word, word.title(), word.upper()):
                found = self.query(f"os_hidden={spelled}").hidden
                self.assertIs(found, value)
        for word in ("True", "FALSE", "1", "", "yes"):
            message = "protected: must be true or false, in lower case"
            self.assertEqual(self.refused(f"protected={word}"), message)
        for word in ("1", "", "yes"):
            message = "os_hidden: must be true or false"
            self.assertEqual(self.refused(f"os_hidden={word}"), message)

    def test_visibility(self) -> None:
        """
        A visibility is one of four, or all; so is the status of a member.
        """
        for word in ("private", "shared", "community", "public", "all"):
            self.assert_reads(f"visibility={word}", visibility=word)
        for word in ("pending", "accepted", "rejected", "all"):
            self.assert_reads(f"member_status={word}", member_status=word)
        for name in ("visibility", "member_status"):
            for word in ("", "Public", "accepted,all", "x"):
                self.assertIn(f"{name}: must be one of", self.refused(f"{name}={word}"))

    def test_parent(self) -> None:
        """
        The children of an image are found by its id or its URI, here and elsewhere.
        """
        for name in ("parent_id", "os_glance_parent_id"):
            for text, expected in [
                (ID, ID),
                (f"http://zone.example.com/images/{ID}", ID),
                (f"http://zone/v2/images/{ID}/file", ID),
                (f"http://Global:80/images/{ID}", ("http://global", ID)),
                (
                    f"https://global/glance/v1/images/{ID}",
                    ("https://global/glance", ID),
                ),
                (f"http://global/v2/images/{ID}/file", ("http://global", ID)),
            ]:
                self.assert_reads(f"{name}={quote(text)}", parent_id=expected)
            for text in ("", "x", ID.upper() + "A", f"ftp://x/{ID}", f"images/{ID}"):
                message = self.refused(f"{name}={quote(text)}")
                self.assertIn(f"{name}: must be the id of an image", message)

    def test_long_parent(self) -> None:
        """
        Nor does a long text take long.
        """
        self.refused(f"parent_id={'/images' * 9000}")

    def test_changes_since(self) -> None:
        """
        What version 1 had is told its successor.
        """
        message = "changes-since: is not supported; filter by updated_at=gte:TIME"
        self.assertEqual(self.refused("changes-since=2026-11-23"), message)

    def test_doubled(self) -> None:
        """
        Twice is given only what is meant so.
        """
        for name in ("name", "limit", "marker", "sort", "owner", "os_type"):
            self.assertEqual(
                self.refused(f"{name}=1&{name}=1"), f"{name}: is given more than once"
            )

    def test_many_properties(self) -> None:
        """
        There are not more properties than the catalogue should look for at once.
        """
        text = "&".join(f"p{number}=x" for number in range(64))
        self.assertEqual(len(self.query(text).properties), 64)
        self.assertIn("more than 64 properties", self.refused(f"{text}&p64=x"))

    def test_encoding(self) -> None:
        """
        Text is UTF-8 without NUL.
        """
        self.assertEqual(self.refused("name=%FF"), "name: must be UTF-8")
        self.assertEqual(self.refused("%FF=x"), "\\xff: must be UTF-8")
        for text in ("name=a%00", "os%00=x", "tag=a&tag=%00"):
            self.assertIn("must not have the character NUL", self.refused(text))


class SortTests(ListingCase):
    """In which order."""

    def test_keys(self) -> None:
        """
        Lists are sorted by any key of eight, in either form, downwards unless told.
        """
        for key in SORT_KEYS:
            for text, descending in [
                (f"sort={key}", True),
                (f"sort={key}:asc", False),
                (f"sort={key}:desc", True),
                (f"sort_key={key}", True),
                (f"sort_key={key}&sort_dir=asc", False),
                (f"sort_dir=desc&sort_key={key}", True),
            ]:
                self.assert_reads(text, sort=((key, descending),))

    def test_several(self) -> None:
        """
        Several keys have a direction each, or one for all.
        """
        expected = (("name", False), ("size", True))
        for text in (
            "sort=name:asc,size",
            "sort=%20name%20:asc%20,%20size:desc",
            "sort_key=name&sort_key=size&sort_dir=asc&sort_dir=desc",
            "sort=name:asc,size,name:desc",
        ):
            self.assert_reads(text, sort=expected)
        expected = (("name", False), ("size", False))
        self.assert_reads("sort_key=name&sort_key=size&sort_dir=asc", sort=expected)

    def test_direction_alone(self) -> None:
        """
        A direction without a key is that of the creation.
        """
        self.assert_reads("sort_dir=asc", sort=(("created_at", False),))

    def test_wrong(self) -> None:
        """
        Other keys, other directions, and both forms at once are refused.
        """
        for text, problem in [
            ("sort=nmae", "sort: must be one of name, status"),
            ("sort=", "sort: must be one of name"),
            ("sort=name,", "sort: must be one of name"),
            ("sort=owner", "sort: must be one of name"),
            ("sort=name:up", "sort: must be asc or desc"),
            ("sort=name:asc:desc", "sort: must be asc or desc"),
            ("sort_key=min_disk", "sort_key: must be one of name"),
            ("sort_key=name&sort_dir=ASC", "sort_dir: must be asc or desc"),
            ("sort=name&sort_key=name", "sort: cannot stand beside"),
            ("sort=name&sort_dir=asc", "sort: cannot stand beside"),
            (
                "sort_key=name&sort_dir=asc&sort_dir=asc",
                "sort_dir: must be given once, or once for each sort_key",
            ),
            (
                "sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=asc",
                "sort_dir: must be given once, or once for each sort_key",
            ),
        ]:
            self.assertIn(problem, self.refused(text))


class PageTests(ListingCase):
    """``limit`` and ``marker``, ``first`` and ``next``"""

    def test_limit(self) -> None:
        """
        A limit is lowered to what is allowed; none is too small.
        """
        for text, expected in [
            ("0", 0),
            ("1000", 1000),
            ("1001", 1000),
            ("9" * 1000, 1000),
        ]:
            self.assert_reads(f"limit={text}", limit=expected)
        for text in ("-1", "x", "", "1.5", "9" * 1001):
            message = "limit: must be a whole number, 0 or more"
            self.assertEqual(self.refused(f"limit={text}"), message)

    def test_marker(self) -> None:
        """
        A marker is the catalogue's to judge.
        """
        self.assert_reads("marker=x", marker="x")

    def test_addresses(self) -> None:
        """
        The first page has no marker, the next another; all else stays.
        """
        asked = arguments("tag=b&tag=a&name=a%26b+c&marker=x&limit=2")
        kept = "tag=b&tag=a&name=a%26b+c&limit=2"
        self.assertEqual(first_page(asked), f"/v2/images?{kept}")
        self.assertEqual(next_page(asked, ID), f"/v2/images?{kept}&marker={ID}")

    def test_bare_addresses(self) -> None:
        """
        Without arguments they are as short as can be.
        """
        self.assertEqual(first_page({}), "/v2/images")
        self.assertEqual(first_page(arguments("marker=x")), "/v2/images")
        self.assertEqual(next_page({}, ID), f"/v2/images?marker={ID}")

    @untimed
    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])).filter(
                lambda name: name != "marker" and "\0" not in name
            ),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        )
    )
    def test_any(self, texts: dict[str, str]) -> None:
        """
        Whatever was asked for is asked for again.
        """
        asked = {name.encode(): [value.encode()] for name, value in texts.items()}
        found = urlsplit(next_page(asked, ID))
        self.assertEqual(found.path, "/v2/images")
        again = arguments(found.query)
        self.assertEqual(again.pop(b"marker"), [ID.encode("ascii")])
        self.assertEqual(again, asked)
        self.assertEqual(arguments(urlsplit(first_page(asked)).query), asked)

    @untimed
    @given(
        st.dictionaries(
            st.sampled_from(
                "name id tag sort sort_key sort_dir limit marker size_min created_at "
                "protected os_hidden visibility member_status parent_id owner".split()
            ).map(str.encode),
            st.lists(st.binary(), min_size=1, max_size=2),
        )
    )
    def test_nonsense(self, asked: dict[bytes, list[bytes]]) -> None:
        """
        Nonsense is read, or refused by the name of an argument.
        """
        try:
            query = read_query(asked, LIMITS, OWN)
        except BadValue as problem:
            self.assertIn(problem.field.encode(), asked)
        else:
            self.assertLessEqual(query.limit, 1000)
