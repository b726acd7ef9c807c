# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.uris`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue
from glancetx.uris import Names, is_image_id, parse_base

ID = "0b1f3c52-8c1e-4f4e-9a53-0c2f4de6a001"
FORMS = (
    f"/{ID}",
    f"/images/{ID}",
    f"/v1/images/{ID}",
    f"/v2/images/{ID}",
    f"/v2/images/{ID}/file",
)


class ImageIdTests(SynchronousTestCase):
    """:func:`is_image_id`"""

    def test_uuid(self) -> None:
        """
        A lower-case UUID with dashes is an id.
        """
        self.assertTrue(is_image_id(ID))

    def test_others(self) -> None:
        """
        Other ways to write a UUID, and all else, are not.
        """
        for text in (
            ID.upper(),
            ID.replace("-", ""),
            f"{{{ID}}}",
            f"urn:uuid:{ID}",
            f"{ID}\n",
            f" {ID}",
            ID[:-1],
            ID + "0",
            ID.replace("0", "\uff10"),
            "",
            "..",
        ):
            self.assertFalse(is_image_id(text), text)


class NamesTests(SynchronousTestCase):
    """:class:`Names`"""

    names = Names("http://glance.example.com", ("https://old.example.com:8443/img",))

    def test_forms(self) -> None:
        """
        Each of the five forms names the image, under the URL and under an alias.
        """
        for base in (self.names.url, *self.names.aliases):
            for form in FORMS:
                self.assertEqual(self.names.image_id(base + form), ID, base + form)

    def test_same_text_otherwise_written(self) -> None:
        """
        A default port that is written out and the host's case do not matter.
        """
        for base in (
            "http://glance.example.com:80",
            "http://GLANCE.Example.com",
            "https://OLD.example.com:8443/img",
        ):
            self.assertEqual(self.names.image_id(f"{base}/images/{ID}"), ID, base)

    def test_default_port_of_https(self) -> None:
        """
        The default port of https is 443; that of http says nothing about it.
        """
        names = Names("https://h")
        self.assertEqual(names.image_id(f"https://h:443/{ID}"), ID)
        self.assertIsNone(names.image_id(f"https://h:80/{ID}"))
        self.assertIsNone(names.image_id(f"http://h:443/{ID}"))

    def test_ipv6(self) -> None:
        """
        An IPv6 address stands in brackets, and only the configured writing counts.
        """
        names = Names("http://[2001:db8::A]:9292")
        self.assertEqual(names.image_id(f"http://[2001:DB8::a]:9292/{ID}"), ID)
        self.assertIsNone(names.image_id(f"http://[2001:db8:0::a]:9292/{ID}"))

    def test_other_servers(self) -> None:
        """
        Another scheme, host, port or path prefix is another server.
        """
        for base in (
            "https://glance.example.com",
            "http://glance.example.com:8080",
            "http://glance.example.com.",
            "http://glance.example.com.evil.example",
            "http://evil-glance.example.com",
            "http://xglance.example.com",
            "http://example.com",
            "https://old.example.com:8443",
            "https://old.example.com:8443/IMG",
            "https://old.example.com:8443/img/img",
            "https://old.example.com:8443/imgs",
            "HTTP://glance.example.com",
            "ftp://glance.example.com",
            "file://glance.example.com",
            "gopher://glance.example.com",
            "//glance.example.com",
            "glance.example.com",
            "",
        ):
            self.assertIsNone(self.names.image_id(f"{base}/images/{ID}"), base)

    def test_other_paths(self) -> None:
        """
        A path that is none of the five forms names no image.
        """
        for path in (
            "",
            "/",
            "/images",
            "/images/",
            f"/images/{ID}/",
            f"//images/{ID}",
            f"/images//{ID}",
            f"/images/../images/{ID}",
            f"/./images/{ID}",
            f"/images/{ID}/..",
            f"/images/{ID}/file",
            f"/v1/images/{ID}/file",
            f"/v2/{ID}",
            f"/v2/images/{ID}/stream",
            f"/v2/images/{ID}/file/file",
            f"/v3/images/{ID}",
            f"/images/{ID.upper()}",
            f"/images/{ID}/{ID}",
            f"/Images/{ID}",
            f"/%69mages/{ID}",
            f"/images%2f{ID}",
            f"/images/%30{ID[1:]}",
            f"/images/{ID}?",
            f"/images/{ID}?a=b",
            f"/images/{ID}#",
            f"/images/{ID}#x",
            f"/images/{ID};x",
            f"/images\\{ID}",
            f"/images/{ID} ",
            f"/images/{ID}\n",
            f"/images/{ID}\x00",
            f"/images/\t{ID}",
        ):
            self.assertIsNone(
                self.names.image_id(f"http://glance.example.com{path}"), path
            )

    def test_userinfo(self) -> None:
        """
        A user before the host names no image, whichever side the known name is on.
        """
        for authority in (
            "glance.example.com@evil.example",
            "user@glance.example.com",
            "user:secret@glance.example.com",
            "@glance.example.com",
            "glance.example.com:80@evil.example",
            "evil.example#@glance.example.com",
            "evil.example\\@glance.example.com",
        ):
            uri = f"http://{authority}/images/{ID}"
            self.assertIsNone(self.names.image_id(uri), uri)

    def test_ports(self) -> None:
        """
        A port is written as a plain number without zeros before it.
        """
        for port in (":", ":080", ":+80", ":0", ":80a", ":65616", ":\u0668\u0660"):
            uri = f"http://glance.example.com{port}/images/{ID}"
            self.assertIsNone(self.names.image_id(uri), uri)

    def test_address_forms(self) -> None:
        """
        What leads to a known address, but is written otherwise, is not known.
        """
        names = Names("http://127.0.0.1:9292", ("http://[::1]:9292",))
        self.assertEqual(names.image_id(f"http://127.0.0.1:9292/{ID}"), ID)
        for host in (
            "localhost",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.01",
            "0",
            "\uff11\uff12\uff17.0.0.1",
            "\u2460\u2461\u2466.0.0.1",
            "127\u30020.0.1",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[0:0:0:0:0:0:0:1]",
            "[::1%25lo]",
            "::1",
        ):
            uri = f"http://{host}:9292/images/{ID}"
            self.assertIsNone(names.image_id(uri), uri)

    def test_non_ascii_host(self) -> None:
        """
        Letters that other software folds to ASCII are other letters.
        """
        for host in ("glance.example.c\u043em", "glance\u3002example.com", "\u212a"):
            uri = f"http://{host}/images/{ID}"
            self.assertIsNone(Names("http://k").image_id(uri), uri)
            self.assertIsNone(self.names.image_id(uri), uri)

    def test_endless(self) -> None:
        """
        A text that is too long is not looked at.
        """
        for text in ("/" * 100_000, "/a" * 50_000, "a" * 100_000):
            uri = f"http://glance.example.com{text}/images/{ID}"
            self.assertIsNone(self.names.image_id(uri))

    @given(st.text(max_size=60), st.sampled_from(FORMS))
    def test_anything(self, text: str, form: str) -> None:
        """
        Whatever the text before a form, if it is known it is one of the names.
        """
        uri = text + form
        if self.names.image_id(uri) is not None:
            self.assertTrue(self.names.covers(text), uri)

    def test_overlapping_names(self) -> None:
        """
        A server whose one name begins with another is known under both.
        """
        names = Names("http://h", ("http://h/glance",))
        self.assertEqual(names.image_id(f"http://h/images/{ID}"), ID)
        self.assertEqual(names.image_id(f"http://h/glance/images/{ID}"), ID)

    def test_uri(self) -> None:
        """
        An image's URI is the URL, ``/images/`` and its id, and is read again.
        """
        for url in ("http://h", "http://h/", "http://h:80", "https://h/glance/"):
            names = Names(url)
            self.assertEqual(names.image_id(names.uri(ID)), ID)
        self.assertEqual(Names("http://H:80/").uri(ID), f"http://h/images/{ID}")

    def test_covers(self) -> None:
        """
        A server's address is covered by its URL and by each alias.
        """
        self.assertTrue(self.names.covers("http://glance.example.com:80/"))
        self.assertTrue(self.names.covers("https://old.example.com:8443/img"))
        self.assertFalse(self.names.covers("https://old.example.com:8443"))
        self.assertFalse(self.names.covers("nonsense"))


class BaseTests(SynchronousTestCase):
    """:func:`parse_base`"""

    def test_authority(self) -> None:
        """
        The authority has the port unless it is the scheme's own.
        """
        self.assertEqual(parse_base("http://H:80").authority, "h")
        self.assertEqual(parse_base("http://h:443").authority, "h:443")
        self.assertEqual(parse_base("https://[::1]:443/x").authority, "[::1]")

    def test_unusable(self) -> None:
        """
        What cannot begin an image's URI is refused with a sentence that shows it.
        """
        for url in (
            "",
            "glance",
            "http://",
            "http://h?",
            "http://h/%41",
            "http://h//",
            "http://h/../x",
            "http://h:99999",
            "http://h\u00e9",
            "unix:///run/x",
        ):
            problem = self.assertRaises(BadValue, parse_base, url)
            self.assertIn(repr(url), str(problem))

    def test_password(self) -> None:
        """
        But a user's name and password are not shown.
        """
        for user in ("u", "u:secret", "secret/x", "a@secret", "a\nsecret"):
            problem = self.assertRaises(BadValue, parse_base, f"http://{user}@h/x")
            self.assertIn("'http://...@h/x'", str(problem))
            self.assertNotIn("secret", str(problem))
