# Copyright glancetx contributors. See LICENSE for details.

"""
Glance's table of who may do what with an image of the owner's project.

It is written down as Glance has it, and not taken from our policy.
"""

from __future__ import annotations

from .personas import CAST

__all__ = [
    "ASKED",
    "READERS",
    "STATUSES",
    "VISIBILITIES",
    "changes",
    "downloads",
    "lists",
    "sees",
]

VISIBILITIES = ("private", "shared", "community", "public")
STATUSES = ("pending", "accepted", "rejected")
ASKED = [persona.name for persona in CAST if persona.name != "service"] + ["nobody"]
READERS = {"owner-reader", "member-reader", "stranger-reader"}


def sees(who: str, visibility: str) -> bool:
    """Row "get"."""
    if who == "nobody":
        return False
    if who in ("admin", "owner", "owner-reader"):
        return True
    if visibility == "shared":
        return who in ("member", "member-reader")
    return visibility in ("community", "public")


def lists(who: str, visibility: str, status: str) -> bool:
    """Row "list", as a list is without filters (Appendix C, "Seen by")."""
    if who in ("owner", "owner-reader"):
        return True
    if visibility == "shared":
        invited = who in ("member", "member-reader")
        return who == "admin" or (invited and status == "accepted")
    if visibility == "community":
        return False
    return who == "admin" or visibility == "public"


def downloads(who: str, visibility: str) -> bool:
    """Row "download": seeing it is not enough for a reader."""
    return sees(who, visibility) and who not in READERS


def changes(who: str) -> bool:
    """The rows of the owner's members, and of admins."""
    return who in ("admin", "owner")
