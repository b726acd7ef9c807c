# Copyright glancetx contributors. See LICENSE for details.

"""
Which addresses a connection may be opened to.

``ipaddress.is_global`` is no help: it is true of ``64:ff9b::7f00:1``,
``2002:7f00:1::``, ``::127.0.0.1`` and ``224.0.0.1``.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

__all__ = ["refusal"]

_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = IPv6Network("::/96")
_METADATA = {ip_address("100.100.100.200"), ip_address("fd00:ec2::254")}


def refusal(host: str) -> str | None:
    """
    Why no connection to an address may be opened: ``"link-local"``, say.

    :param host: a resolved address; every other text is refused.
    :returns: ``None`` if it may; private and loopback addresses may.
    """
    try:
        address = _inner(ip_address(host))
    except ValueError:
        return "not an IP address"
    if address.is_loopback:
        return None
    reasons = {
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "unspecified": address.is_unspecified or address in _THIS_NETWORK,
        "that of a metadata service": address in _METADATA,
        "a Teredo tunnel's": getattr(address, "teredo", None) is not None,
        "reserved": address.is_reserved,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or (address in _V4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
