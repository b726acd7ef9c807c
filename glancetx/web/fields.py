# Copyright glancetx contributors. See LICENSE for details.

"""
Names that facts of an image have, so that no property may have them (the Image API v2
shows fields and properties side by side), and the formats that it may have.
"""

from __future__ import annotations

__all__ = [
    "FORMATS",
    "NAMESPACE",
    "PARENTS",
    "READ_ONLY",
    "RESERVED",
    "SETTABLE",
    "is_taken",
]

#: What clients say, and may change.
SETTABLE = frozenset(
    {
        "name",
        "visibility",
        "protected",
        "os_hidden",
        "owner",
        "tags",
        "container_format",
        "disk_format",
        "min_disk",
        "min_ram",
    }
)

#: What the server says; of these clients choose the id, once.
READ_ONLY = frozenset(
    {
        "id",
        "status",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
        "stores",
        "direct_url",
        "locations",
    }
)

#: The formats that may be declared, those that Glance knows.
FORMATS = {
    "disk_format": "ami ari aki vhd vhdx vmdk raw qcow2 vdi iso ploop".split(),
    "container_format": "ami ari aki bare ovf ova docker compressed".split(),
}

#: What Glance lets nobody say.
RESERVED = frozenset({"location", "deleted", "deleted_at"})

#: What a parent is called when an image is made.
PARENTS = frozenset({"parent_id", "os_glance_parent_id"})

#: How the names of what the server finds out begin.
NAMESPACE = "os_glance"


def is_taken(name: str) -> bool:
    """Whether no property may have this name."""
    return name.startswith(NAMESPACE) or name in (
        SETTABLE | READ_ONLY | RESERVED | PARENTS
    )
