# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.accessrules`.
"""

from __future__ import annotations

import re
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.identity.accessrules import (
    LONGEST_PATH,
    MOST_RULES,
    AccessRule,
    allow,
)


def fits(pattern: str, path: str) -> bool:
    return allow([AccessRule("image", "GET", pattern)], "GET", path)


def fits_there(pattern: str, path: str) -> bool:
    """What ``keystonemiddleware`` says, if a full stop is taken as itself."""
    parts = re.findall(r"{[^}]*}|\*(?=$|[^*])|\*\*|[^{}*]", pattern)
    found = ""
    for part in parts:
        if part == "**":
            found += ".*"
        else:
            found += "[^/]+" if part[0] in "{*" else re.escape(part)
    return re.fullmatch(found, path) is not None


class PatternTests(SynchronousTestCase):
    """``allow``: paths"""

    def test_table(self) -> None:
        """
        ``*`` and ``{name}`` stand for one part of a path, ``**`` for anything, all else
        for itself.
        """
        for pattern, good, bad in (
            ("/v2/images", ["/v2/images"], ["/v2/image", "/v2/images/", "/v2/imagesx"]),
            ("/v2/images/*", ["/v2/images/a"], ["/v2/images/", "/v2/images/a/b"]),
            ("/v2/images/{id}", ["/v2/images/a"], ["/v2/images", "/v2/images/a/b"]),
            ("/v2/*/a*c", ["/v2/x/abc", "/v2/x/a-c"], ["/v2/x/ac", "/v2/x/a/c"]),
            ("/v2/images/*/file", ["/v2/images/a/file"], ["/v2/images/a/b/file"]),
            ("/v2/**", ["/v2/", "/v2/a", "/v2/a/b"], ["/v2", "/v3/a"]),
            ("**", ["", "/", "/a/b"], []),
            ("/**/file", ["/a/file", "/a/b/file", "//file"], ["/file", "/a/files"]),
            ("/{a}{b}", ["/xy"], ["/x", "/x/y"]),
            ("/v2.0", ["/v2.0"], ["/v2x0"]),
            ("/a+", ["/a+"], ["/aa"]),
            ("/***", ["/a", "/a/b"], ["/", "/a/"]),
            ("/{a", ["/{a"], ["/x"]),
            ("/a}", ["/a}"], ["/a"]),
            ("", [""], ["/"]),
        ):
            for path in good:
                self.assertTrue(fits(pattern, path), (pattern, path))
            for path in bad:
                self.assertFalse(fits(pattern, path), (pattern, path))

    @given(
        st.lists(
            st.sampled_from(["a", "b", "/", ".", "*", "**", "{x}"]), max_size=8
        ).map("".join),
        st.text("ab/.", max_size=8),
    )
    def test_like_others(self, pattern: str, path: str) -> None:
        """
        It is what ``keystonemiddleware`` means by a pattern.
        """
        if "***" not in pattern:
            self.assertEqual(fits(pattern, path), fits_there(pattern, path))

    def test_line_end(self) -> None:
        """
        A line break at its end is of the path.
        """
        self.assertFalse(fits("/v2/images", "/v2/images\n"))


class RulesTests(SynchronousTestCase):
    """``allow``: rules"""

    def test_one(self) -> None:
        """
        One rule must be for this service, the method, letter by letter, and the path.
        """
        rule = AccessRule("image", "GET", "/a")
        self.assertTrue(allow([AccessRule("compute", "PUT", "/x"), rule], "GET", "/a"))
        self.assertFalse(allow([], "GET", "/a"))
        for other in (
            AccessRule("compute", "GET", "/a"),
            AccessRule("Image", "GET", "/a"),
            AccessRule("image", "get", "/a"),
            AccessRule("image", "HEAD", "/a"),
            AccessRule("image", "GET", "/b"),
        ):
            self.assertFalse(allow([other], "GET", "/a"), other)

    def test_bounds(self) -> None:
        """
        Beyond the bounds nothing is allowed.
        """
        rule = AccessRule("image", "GET", "/**")
        other = AccessRule("compute", "GET", "/**")
        self.assertTrue(allow([rule] * MOST_RULES + [other] * 9, "GET", "/a"))
        self.assertFalse(allow([rule] * (MOST_RULES + 1), "GET", "/a"))
        self.assertTrue(fits("/**", "/" * LONGEST_PATH))
        self.assertFalse(fits("/**", "/" * (LONGEST_PATH + 1)))
        self.assertTrue(fits("/*" * 16, "/a" * 16))
        self.assertFalse(fits("/*" * 17, "/a" * 17))

    def test_cheap(self) -> None:
        """
        The worst rules that anyone can write are judged in no time, all of them.
        """
        for pattern, path in (
            ("/" + "**a" * 15 + "b", "/" + "a" * (LONGEST_PATH - 1)),
            ("**" + "a*" * 15 + "b", "/" + "a" * (LONGEST_PATH - 1)),
            ("**/*/" * 8 + "b", "/" + "a/" * (LONGEST_PATH // 2 - 1)),
        ):
            rules = [AccessRule("image", "GET", pattern)] * MOST_RULES
            begun = process_time()
            self.assertFalse(allow(rules, "GET", path))
            self.assertLess(process_time() - begun, 0.25, pattern)

    def test_room(self) -> None:
        """
        As many honest rules as there may be are all gone through.
        """
        patterns = [f"/v2/images/*/members/**/{number}" for number in range(MOST_RULES)]
        rules = [AccessRule("image", "GET", pattern) for pattern in patterns]
        path = f"/v2/images/{'0' * 36}/members/{'p' * 64}/{MOST_RULES - 1}"
        self.assertTrue(allow(rules, "GET", path))
