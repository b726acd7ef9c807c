# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.web.target}.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

from hypothesis import given
from hypothesis.strategies import binary, lists
from twisted.trial.unittest import SynchronousTestCase

from glancetx.web.refusal import Refusal
from glancetx.web.target import check_host, check_path, origin_form


class OriginFormTests(SynchronousTestCase):
    """``origin_form``"""

    def test_paths(self) -> None:
        """
        A path is taken as it is, whatever its query looks like.
        """
        for target in (b"/", b"/a/b", b"/a?b=http://c", b"*"):
            self.assertEqual(origin_form(target), (target, None))

    def test_uris(self) -> None:
        """
        An http URI is taken apart.
        """
        for target, path, authority in (
            (b"http://zone", b"/", b"zone"),
            (b"HTTP://zone:80/a?b", b"/a?b", b"zone:80"),
            (b"https://[::1]:9292/a", b"/a", b"[::1]:9292"),
            (b"http://zone?a=b", b"/?a=b", b"zone"),
        ):
            self.assertEqual(origin_form(target), (path, authority))

    def test_others(self) -> None:
        """
        Nothing else is a target.
        """
        for target in (b"images", b"ftp://zone/", b"http:/a", b"http:///a", b"zone:80"):
            self.assertRaises(Refusal, origin_form, target)


class PathTests(SynchronousTestCase):
    """``check_path``"""

    def test_good(self) -> None:
        """
        What names one resource only is let through.
        """
        for path in (
            b"/",
            b"/images",
            b"/images/",
            b"/images/0a-1b/chain.tar",
            b"/a%20b/%C3%A9",
            b"/...",
            b"/a..b/.c/d.",
            b"/a%252fb",
            b"/images?name=a%2fb%00../..//x",
            b"/~!$&'()*+,;=:@",
            b"*",
        ):
            check_path(path)

    def test_bad(self) -> None:
        """
        What a proxy and this server could read differently is refused.
        """
        for path in (
            b"//",
            b"//images",
            b"/images//a",
            b"/images//",
            b"/.",
            b"/..",
            b"/images/../a",
            b"/images/./a",
            b"/images/%2e%2e/a",
            b"/images/.%2E/a",
            b"/images/%2e",
            b"/a%2fb",
            b"/a%2Fb",
            b"/a%5cb",
            b"/a\\b",
            b"/a%00b",
            b"/a%0d%0ab",
            b"/a%1fb",
            b"/a%7fb",
            b"/a%",
            b"/a%2",
            b"/a%zz",
            b"/a%%20",
            b"/a%ff",
            b"/a%c3",
            b"/a%c0%ae",
            b"/a#b",
            b"/a?b#c",
            b"/a b",
            b"/a\tb",
            b"/a\x00",
            b"/a\x7f",
            b"/\xc3\xa9",
            b"/a?b\xff",
        ):
            with self.assertRaises(Refusal, msg=path) as caught:
                check_path(path)
            self.assertEqual(caught.exception.code, 400)

    @given(lists(binary(max_size=6), min_size=1, max_size=4))
    def test_decoded_once(self, segments: list[bytes]) -> None:
        """
        A path that is let through has, decoded, the segments that were encoded.
        """
        path = b"".join(
            b"/" + quote_from_bytes(part, safe="").encode() for part in segments
        )
        try:
            check_path(path)
        except Refusal:
            return
        self.assertEqual(unquote_to_bytes(path).split(b"/")[1:], segments)
        for segment in segments:
            self.assertNotIn(segment, (b".", b".."))


class HostTests(SynchronousTestCase):
    """``check_host``"""

    def test_good(self) -> None:
        """
        One host is right; HTTP/1.0 may have none; a URI must name the same one.
        """
        check_host(b"HTTP/1.1", [b"zone.example:9292"], None)
        check_host(b"HTTP/1.1", [b"[::1]:9292"], None)
        check_host(b"HTTP/1.1", [b"zone"], b"ZONE")
        check_host(b"HTTP/1.0", [], None)
        check_host(b"HTTP/1.0", [b"zone"], None)

    def test_bad(self) -> None:
        """
        None, two, an odd one, or another one are refused.
        """
        for version, hosts, authority in (
            (b"HTTP/1.1", [], None),
            (b"HTTP/1.1", [b"a", b"a"], None),
            (b"HTTP/1.0", [b"a", b"b"], None),
            (b"HTTP/1.1", [b""], None),
            (b"HTTP/1.1", [b"a/b"], None),
            (b"HTTP/1.1", [b"a\n"], None),
            (b"HTTP/1.1", [b"[::1"], None),
            (b"HTTP/1.1", [b"a:b"], None),
            (b"HTTP/1.1", [b"a"], b"a:80"),
            (b"HTTP/1.0", [], b"a@b"),
        ):
            self.assertRaises(Refusal, check_host, version, hosts, authority)
