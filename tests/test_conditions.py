# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.conditions`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.web.conditions import applies_to_range, precondition

from .properties import untimed

ETAG = '"sha256-11"'
OTHER = '"sha256-22"'
MODIFIED = datetime(1994, 11, 6, 8, 49, 37, 900_000, tzinfo=UTC)
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


def headers(*fields: tuple[str, str]) -> Headers:
    made = Headers()
    for name, value in fields:
        made.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
    return made


class ConditionTests(SynchronousTestCase):
    """``precondition``"""

    def status(self, *fields: tuple[str, str]) -> int | None:
        return precondition(headers(*fields), ETAG.encode("ascii"), MODIFIED)

    def table(self, name: str, expected: dict[str, int | None]) -> None:
        found = {value: self.status((name, value)) for value in expected}
        self.assertEqual(found, expected)

    def test_none(self) -> None:
        """
        Without conditions the body is sent.
        """
        self.assertIsNone(self.status())

    def test_if_match(self) -> None:
        """
        ``If-Match`` compares strongly (RFC 9110, 13.1.1).
        """
        self.table(
            "If-Match",
            {
                ETAG: None,
                "*": None,
                f"{OTHER}, {ETAG}": None,
                f'{OTHER},W/"x",{ETAG}': None,
                OTHER: 412,
                f"W/{ETAG}": 412,
                "sha256-11": 412,
                "": 412,
            },
        )

    def test_if_none_match(self) -> None:
        """
        ``If-None-Match`` compares weakly (RFC 9110, 13.1.2).
        """
        self.table(
            "If-None-Match",
            {
                ETAG: 304,
                "*": 304,
                f"W/{ETAG}": 304,
                f"{OTHER}, {ETAG}": 304,
                f"{OTHER} ,W/{ETAG}": 304,
                OTHER: None,
                "sha256-11": None,
                '"sha256-1"': None,
                '"a, b"': None,
                "": None,
            },
        )

    def test_if_modified_since(self) -> None:
        """
        ``If-Modified-Since`` knows whole seconds, in any of three forms (RFC 9110,
        5.6.7); what is no date is ignored (13.1.3).
        """
        self.table(
            "If-Modified-Since",
            {
                BEFORE: None,
                SAME: 304,
                AFTER: 304,
                "Sunday, 06-Nov-94 08:49:37 GMT": 304,
                "Sun Nov  6 08:49:37 1994": 304,
                f"{AFTER}, {AFTER}": None,
                "Sun": None,
                "now": None,
                "1999": None,
                "": None,
                "\xff": None,
            },
        )

    def test_if_unmodified_since(self) -> None:
        """
        ``If-Unmodified-Since`` is the opposite (RFC 9110, 13.1.4).
        """
        self.table(
            "If-Unmodified-Since",
            {BEFORE: 412, SAME: None, AFTER: None, "now": None, "": None},
        )

    def test_etag_before_date(self) -> None:
        """
        A date is not looked at where there is an ETag, as the ETag knows better
        (RFC 9110, 13.1.3 and 13.1.4).
        """
        for fields, expected in [
            ([("If-None-Match", OTHER), ("If-Modified-Since", AFTER)], None),
            ([("If-None-Match", ETAG), ("If-Modified-Since", BEFORE)], 304),
            ([("If-Match", ETAG), ("If-Unmodified-Since", BEFORE)], None),
            ([("If-Match", OTHER), ("If-Unmodified-Since", AFTER)], 412),
        ]:
            self.assertEqual(self.status(*fields), expected, fields)

    def test_order(self) -> None:
        """
        What must hold comes before what need not be sent (RFC 9110, 13.2.2).
        """
        for fields, expected in [
            ([("If-Match", OTHER), ("If-None-Match", ETAG)], 412),
            ([("If-Match", ETAG), ("If-None-Match", ETAG)], 304),
            ([("If-Unmodified-Since", BEFORE), ("If-None-Match", ETAG)], 412),
            ([("If-Unmodified-Since", AFTER), ("If-Modified-Since", AFTER)], 304),
            ([("If-Match", ETAG), ("If-Modified-Since", AFTER)], 304),
        ]:
            self.assertEqual(self.status(*fields), expected, fields)

    def test_lines(self) -> None:
        """
        A list may come in several lines.
        """
        lines = [("If-Match", OTHER), ("If-Match", ETAG)]
        self.assertIsNone(self.status(*lines))
        lines = [("If-None-Match", OTHER), ("If-None-Match", ETAG)]
        self.assertEqual(self.status(*lines), 304)

    @untimed
    @given(
        st.sampled_from(
            ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]
        ),
        st.lists(
            st.sampled_from(
                ["Sun", ",", " ", "06", "Nov", "-", "99999999999", ":", '"']
            )
            | st.text(st.characters(max_codepoint=255), max_size=5)
        ).map("".join),
    )
    def test_any(self, name: str, value: str) -> None:
        """
        Whatever is said, it is answered.
        """
        value = value.replace("\r", "").replace("\n", "")
        self.assertIn(self.status((name, value)), (None, 304, 412))


class IfRangeTests(SynchronousTestCase):
    """``applies_to_range``"""

    def applies(self, *values: str) -> bool:
        fields = [("If-Range", value) for value in values]
        return applies_to_range(headers(*fields), ETAG.encode("ascii"))

    def test_etag(self) -> None:
        """
        The same ETag lets the range be sent, and so does none.
        """
        self.assertTrue(self.applies(ETAG))
        self.assertTrue(self.applies())

    def test_other(self) -> None:
        """
        Another one, a weak one, a date or nonsense do not (RFC 9110, 13.1.5).
        """
        for value in (OTHER, f"W/{ETAG}", SAME, AFTER, "*", f"{ETAG}, {OTHER}", ""):
            self.assertFalse(self.applies(value), value)
        self.assertFalse(self.applies(ETAG, ETAG))
