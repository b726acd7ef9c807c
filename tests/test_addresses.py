# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.addresses`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.addresses import refusal


class RefusalTests(SynchronousTestCase):
    """:func:`refusal`"""

    def test_allowed(self) -> None:
        """
        Public, private and loopback addresses may be connected to, also when an
        IPv6 address only stands for them.
        """
        for host in (
            "192.0.2.1",
            "8.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "fd00::1",
            "2001:4860:4860::8888",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ):
            self.assertIsNone(refusal(host), host)

    def test_refused(self) -> None:
        """
        Link-local, multicast, unspecified and reserved addresses may not, in
        whatever way they are written; nor those of known metadata services.
        """
        for host, reason in (
            ("169.254.169.254", "link-local"),
            ("169.254.0.1", "link-local"),
            ("fe80::1", "link-local"),
            ("fe80::1%lo", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("ff02::1", "multicast"),
            ("::ffff:224.0.0.1", "multicast"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("64:ff9b::", "unspecified"),
            ("2002::1", "unspecified"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("64:ff9b:1::1", "reserved"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("100::1", "reserved"),
            ("100.100.100.200", "that of a metadata service"),
            ("fd00:ec2::254", "that of a metadata service"),
            ("2001:0:a9fe:a9fe::1", "a Teredo tunnel's"),
        ):
            self.assertEqual(refusal(host), reason, host)

    def test_no_address(self) -> None:
        """
        What is not a resolved address in its usual form is refused.
        """
        for host in (
            "localhost",
            "2130706433",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "\uff11\uff12\uff17.0.0.1",
            "[::1]",
            "127.0.0.1:80",
            "127.0.0.1 ",
            "",
        ):
            self.assertEqual(refusal(host), "not an IP address", host)
