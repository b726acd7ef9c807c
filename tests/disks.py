# Copyright glancetx contributors. See LICENSE for details.

"""
Disks for tests, made without qemu.
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["make_qcow2"]

CLUSTER = 65536
GIB = 1024**3


def make_qcow2(
    path: str | Path,
    filling: bytes = b"",
    *,
    backing: str = "",
    features: int = 0,
) -> Path:
    """
    Write a disk of 1 GiB without data, as qcow2 of version 3 that qemu understands.

    :param filling: bytes behind it that mean nothing, to tell files apart.
    :param backing: the backing file that its header names.
    :param features: its incompatible features.
    """
    name = backing.encode("utf-8")
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        3,
        104 if name else 0,
        len(name),
        16,  # bits of a cluster
        GIB,
        0,  # no encryption
        2,  # tables of 512 MiB each
        3 * CLUSTER,  # the table of tables
        CLUSTER,  # the table of reference counts
        1,  # cluster of it
        0,  # no snapshots
        0,
        features,
        0,
        0,
        4,  # bits of a reference count, as a power of 2
        104,
    )
    clusters = [
        header + name,
        struct.pack(">Q", 2 * CLUSTER),
        struct.pack(">4H", 1, 1, 1, 1),
        b"",
    ]
    found = Path(path)
    data = b"".join(one.ljust(CLUSTER, b"\0") for one in clusters)
    found.write_bytes(data + filling)
    return found
