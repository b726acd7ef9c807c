# Copyright glancetx contributors. See LICENSE for details.

"""
What the header of a qcow2 file says that matters before it is sent, or linked.

(qemu, docs/interop/qcow2.txt; the numbers are big-endian.)
"""

from __future__ import annotations

import struct

from attrs import frozen

__all__ = ["Header", "read_header"]

MAGIC = b"QFI\xfb"
HEAD = struct.Struct(">4sIQI")
FEATURES = struct.Struct(">Q")
FEATURES_AT = 72
DATA_FILE = 1 << 2
LONGEST_NAME = 1023


@frozen
class Header:
    """
    :ivar backing: the file that it names as its backing file, if it does.
    :ivar external: its data lie in another file, which it names.
    """

    backing: str | None
    external: bool


def read_header(path: str) -> Header | None:
    """
    Read a file's header; this blocks.

    :returns: ``None`` if it is no qcow2 file.
    """
    with open(path, "rb") as file:
        head = file.read(FEATURES_AT + FEATURES.size)
        if not head.startswith(MAGIC) or len(head) < HEAD.size:
            return None
        _, version, offset, size = HEAD.unpack_from(head)
        backing = None
        if offset:
            file.seek(offset)
            backing = file.read(min(size, LONGEST_NAME)).decode("utf-8", "replace")
    features = 0
    if version > 2 and len(head) == FEATURES_AT + FEATURES.size:
        (features,) = FEATURES.unpack_from(head, FEATURES_AT)
    return Header(backing, bool(features & DATA_FILE))
