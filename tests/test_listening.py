# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.listening}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from twisted.web.static import Data

from glancetx.listening import (
    KINDS,
    Address,
    anchor_endpoint,
    make_endpoint,
    parse_endpoint,
)
from tests.certificates import make_certificate


class ParseEndpointTests(SynchronousTestCase):
    """``parse_endpoint``"""

    def assert_wrong(self, description: str, *words: str) -> None:
        with self.assertRaises(ValueError) as caught:
            parse_endpoint(description)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_loopback(self) -> None:
        """
        The addresses of this machine alone are local, and have a URL.
        """
        for interface, host in (
            ("127.0.0.1", "127.0.0.1"),
            ("127.8.8.8", "127.8.8.8"),
            ("localhost", "localhost"),
            (r"\:\:1", "[::1]"),
        ):
            address = parse_endpoint(f"tcp:9292:interface={interface}")
            self.assertTrue(address.local, interface)
            self.assertEqual(address.url, f"http://{host}:9292")

    def test_beyond(self) -> None:
        """
        All interfaces, others' addresses and unknown names are not local.
        """
        for description in (
            "tcp:9292",
            "tcp:9292:interface=0.0.0.0",
            "tcp6:9292",
            "tcp:9292:interface=192.0.2.1",
            "tcp:9292:interface=127.1",
            "tcp:9292:interface=zone.example.com",
            r"tcp:9292:interface=\:\:ffff\:127.0.0.1",
            "systemd:domain=INET:index=0",
        ):
            self.assertFalse(parse_endpoint(description).local, description)

    def test_all_interfaces(self) -> None:
        """
        An endpoint on all interfaces has no URL of its own.
        """
        self.assertIsNone(parse_endpoint("tcp:9292").url)
        self.assertIsNone(parse_endpoint("tcp6:9292").url)

    def test_any_port(self) -> None:
        """
        A port that the kernel chooses gives no URL.
        """
        self.assertIsNone(parse_endpoint("tcp:0:interface=127.0.0.1").url)

    def test_default_port(self) -> None:
        """
        A URL does not name the default port.
        """
        url = parse_endpoint("tcp:80:interface=127.0.0.1").url
        self.assertEqual(url, "http://127.0.0.1")

    def test_unix(self) -> None:
        """
        A socket in the file system is local and has no URL.
        """
        expected = Address("http", None, None, True)
        self.assertEqual(parse_endpoint("unix:/run/glancetx.sock:mode=660"), expected)
        self.assertEqual(parse_endpoint("systemd:domain=UNIX:name=web"), expected)

    def test_secure(self) -> None:
        """
        An endpoint with a certificate has an https URL.
        """
        pem = make_certificate(self.mktemp())
        url = parse_endpoint(f"ssl:443:privateKey={pem}:interface=127.0.0.1").url
        self.assertEqual(url, "https://127.0.0.1")

    def test_no_certificate(self) -> None:
        """
        A certificate that is not there is named.
        """
        self.assert_wrong("ssl:443:privateKey=/none.pem", "/none.pem: No such file")

    def test_unknown_kind(self) -> None:
        """
        A kind that cannot be used is told, with those that can.
        """
        for kind in ("http", "stdio", "tls", "haproxy", ""):
            self.assert_wrong(f"{kind}:1", repr(kind), *KINDS)

    def test_wrong_arguments(self) -> None:
        """
        What is wrong with an endpoint's arguments is told without Python's names.
        """
        self.assert_wrong("tcp", "missing", "'port'")
        self.assert_wrong("tcp:1:interfaze=::1", "unexpected")
        self.assert_wrong("tcp:1:interfaze=x", "'interfaze'")
        self.assert_wrong("tcp:web", "'web'")
        self.assert_wrong("tcp:65536", "no port 65536")
        self.assert_wrong("unix:/run/x:mode=rw", "'rw'")


class AnchorEndpointTests(SynchronousTestCase):
    """``anchor_endpoint``"""

    def test_relative(self) -> None:
        """
        Files that an endpoint names are looked for in the given folder.
        """
        self.assertEqual(anchor_endpoint("unix:web.sock", "/srv"), "unix:/srv/web.sock")
        self.assertEqual(
            anchor_endpoint("ssl:443:privateKey=k.pem:certKey=c.pem", "/srv"),
            "ssl:443:privateKey=/srv/k.pem:certKey=/srv/c.pem",
        )

    def test_default_key(self) -> None:
        """
        Twisted's default name of a key is in the folder too.
        """
        self.assertEqual(
            anchor_endpoint("ssl:443", "/srv"), "ssl:443:privateKey=/srv/server.pem"
        )

    def test_absolute(self) -> None:
        """
        What is absolute or has no files is left alone.
        """
        for description in (
            "tcp:1:interface=x",
            "unix:/run/web.sock:mode=660",
            r"ssl:1:privateKey=/a\:b.pem",
            "unix",
        ):
            self.assertEqual(anchor_endpoint(description, "/srv"), description)

    def test_colon(self) -> None:
        """
        A folder with a colon in its name is quoted.
        """
        self.assertEqual(anchor_endpoint("unix:s", "/a:b"), r"unix:/a\:b/s")


class MakeEndpointTests(SynchronousTestCase):
    """``make_endpoint``"""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.site = Site(Data(b"", "text/plain"))

    def listen(self, description: str) -> None:
        endpoint = make_endpoint(self.reactor, description, 1024)
        self.successResultOf(endpoint.listen(self.site))

    def test_backlog(self) -> None:
        """
        An endpoint has the backlog of the limits, unless it says its own.
        """
        self.listen("tcp:1")
        self.listen("tcp:2:backlog=7")
        self.assertEqual([server[2] for server in self.reactor.tcpServers], [1024, 7])

    def test_unix_backlog(self) -> None:
        """
        The backlog holds for sockets in the file system too.
        """
        self.listen("unix:/run/web.sock")
        self.assertEqual(self.reactor.unixServers[0][2], 1024)

    def test_secure_backlog(self) -> None:
        """
        The backlog holds for endpoints with a certificate too.
        """
        pem = Path(make_certificate(self.mktemp()))
        self.listen(f"ssl:443:privateKey={pem}")
        self.assertEqual(self.reactor.sslServers[0][3], 1024)

    def test_no_socket(self) -> None:
        """
        A socket that systemd did not hand over is said to be missing.
        """
        for description in (
            "systemd:domain=INET:index=9",
            "systemd:domain=INET:name=x",
        ):
            with self.assertRaises(ValueError) as caught:
                self.listen(description)
            self.assertIn("no such socket", str(caught.exception))

    def test_key_gone(self) -> None:
        """
        A key that vanished since the file was checked is named.
        """
        with self.assertRaises(ValueError) as caught:
            self.listen("ssl:443:privateKey=/none.pem")
        self.assertEqual(str(caught.exception), "/none.pem: No such file or directory")
