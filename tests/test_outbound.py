# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.outbound`.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.web.iweb import IAgent

from glancetx.errors import ConfigError, OriginUnavailable
from glancetx.limits import Limits
from glancetx.outbound import Peer, Unreachable

from .agents import FakeTestCase
from .fake_reactor import FakeTransport


class AddressTests(FakeTestCase):
    """Addresses are checked when a connection is opened."""

    def test_every_form(self) -> None:
        """
        However a refused address is written, no packet leaves, and the error says
        which address it is and why.
        """
        for host, address, reason in (
            ("169.254.169.254", "169.254.169.254", "link-local"),
            ("2852039166", "169.254.169.254", "link-local"),
            ("0xa9fea9fe", "169.254.169.254", "link-local"),
            ("169.16689662", "169.254.169.254", "link-local"),
            ("0251.0376.0251.0376", "169.254.169.254", "link-local"),
            ("0xa9.0376.43518", "169.254.169.254", "link-local"),
            ("[::ffff:169.254.169.254]", "::ffff:169.254.169.254", "link-local"),
            ("[::ffff:a9fe:a9fe]", "::ffff:169.254.169.254", "link-local"),
            ("[::169.254.169.254]", "::169.254.169.254", "link-local"),
            ("[64:ff9b::a9fe:a9fe]", "64:ff9b::a9fe:a9fe", "link-local"),
            ("[2002:a9fe:a9fe::]", "2002:a9fe:a9fe::", "link-local"),
            ("[fe80::1]", "fe80::1", "link-local"),
            ("0", "0.0.0.0", "unspecified"),
            ("[::]", "::", "unspecified"),
            ("224.0.0.1", "224.0.0.1", "multicast"),
            ("255.255.255.255", "255.255.255.255", "reserved"),
            ("[fd00:ec2::254]", "fd00:ec2::254", "that of a metadata service"),
        ):
            self.make()
            said = self.refused(self.get(f"http://{host}/latest/meta-data"))
            self.assertIn(f"{address} is {reason}", said)
            self.assertEqual(self.reactor.targets, [], host)

    def test_no_host_at_all(self) -> None:
        """
        A URL with a user, or with letters that are no ASCII, opens nothing.
        """
        for url in (
            "http://user@169.254.169.254/",
            "http://user:secret@10.0.0.1/",
            "http://10.0.0.1@169.254.169.254/",
            "http://\uff11\uff16\uff19.254.169.254/",
            "http://\u2460\u2461\u2466.0.0.1/",
            "file:///etc/passwd",
            "gopher://10.0.0.1/",
        ):
            self.make()
            try:
                d = self.get(url)
            except ValueError:
                continue
            self.reactor.advance(1)
            self.failureResultOf(d)
            self.assertEqual(self.reactor.targets, [], url)

    def test_private(self) -> None:
        """
        Private and loopback addresses are connected to, within the time limit.
        """
        for address in ("10.0.0.1", "127.0.0.1", "::1", "fd00::1"):
            self.make([address])
            self.get("http://glance.example.com/")
            self.assertEqual(self.reactor.targets, [address])
            self.assertEqual(self.reactor.tcpClients[0][3], Limits().origin_seconds)

    def test_rebinding(self) -> None:
        """
        A name that leads elsewhere at its second look-up is checked again.
        """
        self.make(["127.0.0.1"], ["169.254.169.254"])
        self.get("http://glance.example.com/")
        said = self.refused(self.get("http://glance.example.com/"))
        self.assertIn("169.254.169.254 is link-local", said)
        self.assertEqual(self.reactor.targets, ["127.0.0.1"])

    def test_mixed(self) -> None:
        """
        Of several addresses of a name only those that are allowed are tried.
        """
        self.make(["169.254.169.254", "10.0.0.1", "fe80::1"])
        self.get("http://glance.example.com/")
        self.reactor.advance(1)
        self.reactor.advance(1)
        self.assertEqual(self.reactor.targets, ["10.0.0.1"])

    def test_tls(self) -> None:
        """
        The check is the same for TLS.
        """
        self.make(["169.254.169.254"])
        self.assertIn("link-local", self.refused(self.get("https://h/")))
        self.assertEqual(self.reactor.targets, [])

    def test_proxy(self) -> None:
        """
        With a proxy it is the proxy's address that is checked.
        """
        self.make(["169.254.169.254"], proxy="http://proxy.example.com:3128")
        self.assertIn("link-local", self.refused(self.get("http://h/")))
        self.assertEqual(self.reactor.targets, [])

    def test_unknown_name(self) -> None:
        """
        A name that does not resolve is an origin that is not available now.
        """
        self.make([])
        d = self.get("http://glance.example.com/")
        error = self.failureResultOf(d, Unreachable).value
        self.assertIn("cannot be resolved", error.reason)
        self.assertIn("glance.example.com", error.reason)

    def test_redirect(self) -> None:
        """
        A redirect is an answer like others, and leads nowhere.
        """
        self.make(["127.0.0.1"])
        d = self.get("http://glance.example.com/")
        self.reactor.accept().protocol.dataReceived(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n"
            b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(self.successResultOf(d).code, 302)
        self.reactor.advance(1)
        self.assertEqual(self.reactor.targets, ["127.0.0.1"])


class PeerTests(FakeTestCase):
    """What goes out, and to whom."""

    def test_no_extras(self) -> None:
        """
        A request has only its caller's headers, the host, and no cookie that an
        earlier answer set.
        """
        self.make(["127.0.0.1"])
        d = self.get("http://glance.example.com:8080/images")
        transport = self.reactor.accept()
        for _ in range(2):
            self.assertEqual(
                transport.value(),
                b"GET /images HTTP/1.1\r\nHost: glance.example.com:8080\r\n\r\n",
            )
            transport.clear()
            transport.protocol.dataReceived(
                b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
            )
            self.successResultOf(d)
            d = self.get("http://glance.example.com:8080/images")
        self.assertEqual(len(self.reactor.targets), 1)

    def test_connections_of_their_own(self) -> None:
        """
        Two peers never share a connection, even to one address.
        """
        self.make(["127.0.0.1"], ["127.0.0.1"])
        other: IAgent = self.outbound.agent(Peer("other"))
        d = self.get("http://glance.example.com/", b"HEAD")
        self.reactor.accept().protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        self.successResultOf(d)
        other.request(b"HEAD", b"http://glance.example.com/")
        self.assertEqual(len(self.reactor.targets), 2)

    def test_proxy(self) -> None:
        """
        A proxy is asked by the whole URL, and told the origin's host.
        """
        self.make(["10.0.0.1"], proxy="http://proxy.example.com:3128")
        self.get("http://glance.example.com:8080/images")
        self.assertEqual(self.reactor.tcpClients[0][:2], ("10.0.0.1", 3128))
        self.assertEqual(
            self.reactor.accept().value(),
            b"GET http://glance.example.com:8080/images HTTP/1.1\r\n"
            b"Host: glance.example.com:8080\r\n\r\n",
        )


class FailureTests(FakeTestCase):
    """Failures in words of the domain."""

    def begin(self) -> FakeTransport:
        self.make(["127.0.0.1"])
        self.d = self.get("http://glance.example.com/")
        return self.reactor.accept()

    def test_no_answer(self) -> None:
        """
        A connection that ends before the answer may be tried again.
        """
        for data in (b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nX: y\r\n"):
            transport = self.begin()
            transport.protocol.dataReceived(data)
            transport.loseConnection()
            self.reactor.advance(0)
            error = self.failureResultOf(self.d, Unreachable).value
            self.assertIn("broke before its answer", error.reason)

    def test_garbage(self) -> None:
        """
        An answer that is no HTTP is said to be none, and is not asked for again.
        """
        for data in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 OK\r\n",
            b"\x15\x03\x03\x00\x02\x02\x0a\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\nX: y\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ):
            transport = self.begin()
            transport.protocol.dataReceived(data)
            error = self.failureResultOf(self.d, OriginUnavailable).value
            self.assertNotIsInstance(error, Unreachable)
            self.assertIn("no proper HTTP", error.reason)
            self.assertFalse(transport.connected)

    def test_cancelled(self) -> None:
        """
        Who cancels hears of that alone, and the connection is cut.
        """
        transport = self.begin()
        self.d.cancel()
        self.failureResultOf(self.d, CancelledError)
        self.assertFalse(transport.connected)

    def test_cancelled_while_connecting(self) -> None:
        """
        Cancelling before there is a connection is no failure of the origin either:
        a time limit takes it for its own.
        """
        self.make(["127.0.0.1"])
        d = self.get("http://glance.example.com/")
        d.cancel()
        self.failureResultOf(d, CancelledError)

    def test_ca_file(self) -> None:
        """
        A file that holds no certificates is refused by name when the agent is made.
        """
        self.make()
        empty, broken = Path(self.mktemp()), Path(self.mktemp())
        empty.write_text("nothing")
        broken.write_text(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        )
        for path in (empty, broken, Path(self.mktemp())):
            peer = Peer("global", ca_file=str(path))
            error = self.assertRaises(ConfigError, self.outbound.agent, peer)
            self.assertEqual((error.source, error.key), (str(path), "ca_file"))
