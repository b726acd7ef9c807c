# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.keys}, by what L{glancetx.config} makes of files.
"""

from __future__ import annotations

from glancetx.errors import ConfigError
from tests.configs import LoadCase


class KeyTests(LoadCase):
    """``load``: names and types of keys"""

    def test_unknown_key(self) -> None:
        """
        A key that does not exist is named, with the one that it resembles.
        """
        self.assert_wrong(
            "server.listn = []", "server.listn: unknown key; did you mean listen?"
        )

    def test_unlike_any(self) -> None:
        """
        A key that resembles none is answered with all that there are.
        """
        self.assert_wrong(
            'catalogue.zzz = "x"',
            "catalogue.zzz: unknown key; there are url, url_file, locks",
        )

    def test_unknown_table(self) -> None:
        """
        A table that does not exist is named, with the one that it resembles.
        """
        self.assert_wrong("[sever]", "sever: unknown table; did you mean server?")

    def test_later_keys(self) -> None:
        """
        Keys of an origin that are not supported yet are refused, not ignored.
        """
        for key in ("mirror", "fallback"):
            with self.assertRaises(ConfigError) as caught:
                self.origin(f'{key} = "x"')
            self.assertIn(f"origins.global.{key}: unknown key", str(caught.exception))

    def test_types(self) -> None:
        """
        A value of another type than the key's is shown, with the right type.
        """
        for text, problem in (
            (
                "server.public_url = 5",
                "server.public_url: must be a text in quotes, not 5",
            ),
            (
                'server.public_url = ""',
                'server.public_url: must be a text in quotes, not ""',
            ),
            ('server.md5 = "no"', 'server.md5: must be true or false, not "no"'),
            ("server.md5 = 0", "server.md5: must be true or false, not 0"),
            (
                'server.listen = "tcp:1"',
                'server.listen: must be a list of texts in quotes, not "tcp:1"',
            ),
            (
                "server.listen = [9292]",
                "server.listen: must be a list of texts in quotes, not [9292]",
            ),
            ("limits.ranges = true", "limits.ranges: must be a whole number, not true"),
            ("limits.ranges = 1.5", "limits.ranges: must be a whole number, not 1.5"),
            ("server = 1", "server: must be a table, not 1"),
            ("origins = 1", "origins: must be tables, each under [[origins]]"),
            ("origins = [1]", "origins #1: must be a table, not 1"),
        ):
            self.assert_wrong(text, problem)

    def test_long_value(self) -> None:
        """
        A long value is shown in part.
        """
        with self.assertRaises(ConfigError) as caught:
            self.load(f"server.md5 = '{'x' * 1000}'")
        self.assertLess(len(caught.exception.problem), 200)


class UrlTests(LoadCase):
    """``load``: URLs"""

    def test_one_form(self) -> None:
        """
        A URL has lower-case scheme and host, no default port and no last slash.
        """
        for given, url in (
            ("http://Zone.EXAMPLE.com", "http://zone.example.com"),
            ("http://zone:80/", "http://zone"),
            ("https://zone:443", "https://zone"),
            ("https://zone:80", "https://zone:80"),
            ("http://zone/Glance/", "http://zone/Glance"),
            ("http://[2001:DB8::1]:9292", "http://[2001:db8::1]:9292"),
            ("http://my_zone-1.example.com", "http://my_zone-1.example.com"),
        ):
            server = self.server(f'public_url = "{given}"')
            self.assertEqual(server.public_url, url, given)

    def test_refused(self) -> None:
        """
        What is more or less than scheme, host, port and path is no URL of a server.
        """
        for url in (
            "zone.example.com",
            "ftp://zone",
            "//zone",
            "http://",
            "http:///images",
            "http://user:secret@zone",
            "http://user@zone",
            "http://zone?x=1",
            "http://zone/#x",
            "http://zone//images",
            "http://zone/a/../b",
            "http://zone/.",
            "http://zone/%41",
            "http://zone:",
            "http://zone:x",
            "http://zone:0",
            "http://zone:65536",
            "http://zo ne",
            " http://zone",
            "http://zone\\\\n",
            "http://zöne",
            "http://\u212aone",
            "http://[::zz]",
            "http://[::1",
        ):
            with self.assertRaises(ConfigError, msg=url) as caught:
                self.server(f'public_url = "{url}"')
            self.assertEqual(caught.exception.key, "server.public_url")
