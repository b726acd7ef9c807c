# Copyright glancetx contributors. See LICENSE for details.

"""
Disks for tests, made without qemu.
"""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

__all__ = [
    "DESCRIPTOR",
    "GIB",
    "KIB",
    "MIB",
    "fixed_vhd",
    "iso_disk",
    "make_qcow2",
    "patch",
    "qcow2_disk",
    "vdi_disk",
    "vhd_disk",
    "vhd_footer",
    "vhdx_disk",
    "vmdk_disk",
    "vmdk_end",
]

CLUSTER = 65536
SECTOR = 512
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


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
    found = Path(path)
    found.write_bytes(qcow2_disk(backing=backing, features=features) + filling)
    return found


def qcow2_disk(
    *,
    backing: str = "",
    features: int = 0,
    version: int = 3,
    encryption: int = 0,
    size: int = GIB,
) -> bytes:
    """What :func:`make_qcow2` writes."""
    name = backing.encode("utf-8")
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        version,
        104 if name else 0,
        len(name),
        16,  # bits of a cluster
        size,
        encryption,
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
    return b"".join(one.ljust(CLUSTER, b"\0") for one in clusters)


def patch(data: bytes, offset: int, new: bytes) -> bytes:
    """The same bytes, but for some."""
    return data[:offset] + new + data[offset + len(new) :]


def vhd_footer(kind: int, size: int = GIB) -> bytes:
    """
    :param kind: 2 of a fixed disk, 3 of a dynamic one, 4 of a difference.
    """
    footer = struct.pack(
        ">8sIIQI4sI4sQQII",
        b"conectix",
        2,
        0x10000,
        2**64 - 1 if kind == 2 else SECTOR,
        0,  # seconds
        b"test",
        0x10000,
        b"Wi2k",
        SECTOR,  # its size when it was new
        size,
        0,  # geometry
        kind,
    ).ljust(SECTOR, b"\0")
    checksum = ~sum(footer) & 0xFFFFFFFF
    return patch(footer, 64, struct.pack(">I", checksum))


def vhd_disk(kind: int = 3, last: int | None = None) -> bytes:
    """
    A VHD that grows, without data.

    :param last: of which kind the footer says it is, if not of the same.
    """
    footer = vhd_footer(last or kind)
    return vhd_footer(kind) + b"cxsparse".ljust(1536, b"\0") + footer


def fixed_vhd(data: bytes) -> bytes:
    """A VHD of fixed size with these data."""
    return data + vhd_footer(2, len(data))


def vhdx_disk(
    *,
    parent: bool = False,
    locator: bool = False,
    metadata: int = 2 * MIB,
    size: int = GIB,
) -> bytes:
    """
    A VHDX without data and without a log.

    :param parent: its parameters say that it is a difference.
    :param locator: it says where its parent is.
    :param metadata: where they lie.
    """
    region = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    regions = struct.pack("<4sIII16sQII", b"regi", 0, 1, 0, region, metadata, MIB, 1)
    items = [
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", MIB, parent * 2)),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", size)),
    ]
    if locator:
        items.append(("a8d35f2d-b30b-454d-abf7-d3d84834ab0c", bytes(20)))
    table, values = struct.pack("<8sHH20x", b"metadata", 0, len(items)), b""
    for guid, value in items:
        where = 64 * KIB + len(values)
        table += UUID(guid).bytes_le + struct.pack("<III4x", where, len(value), 4)
        values += value
    head = b"vhdxfile".ljust(192 * KIB, b"\0") + regions
    return head.ljust(metadata, b"\0") + table.ljust(64 * KIB, b"\0") + values


DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID=f8330d1
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 2097152 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.adapterType = "ide"
"""


def vmdk_disk(
    descriptor: str | bytes = DESCRIPTOR,
    *,
    capacity: int = GIB // SECTOR,
    sectors: int = 20,
    directory: int = 26,
    end: bytes = b"",
) -> bytes:
    """
    A VMDK of one file, without data.

    :param capacity: sectors of the disk.
    :param sectors: of the descriptor.
    :param directory: the sector of the grain directory, -1 if the end says which.
    :param end: what follows the last grain.
    """
    text = descriptor.encode("utf-8") if isinstance(descriptor, str) else descriptor
    header = _sparse_header(capacity, sectors, directory)
    body = header + text.ljust(sectors * SECTOR, b"\0")
    return body.ljust(64 * KIB, b"\0") + end


def vmdk_end(sectors: int = 20, directory: int = 26) -> bytes:
    """The end of a VMDK that was written as a stream: a footer and two markers."""
    marker = struct.pack("<QII", 1, 0, 3).ljust(SECTOR, b"\0")
    return marker + _sparse_header(GIB // SECTOR, sectors, directory) + bytes(SECTOR)


def _sparse_header(capacity: int, sectors: int, directory: int) -> bytes:
    header = struct.pack(
        "<4sIIQQQQIQQ",
        b"KDMV",
        3,
        3,
        capacity,
        128,  # sectors of a grain
        1 if sectors else 0,
        sectors,
        512,
        21,
        directory % 2**64,
    )
    return header.ljust(SECTOR, b"\0")


def vdi_disk(kind: int = 1, *, parent: bytes = bytes(16), size: int = GIB) -> bytes:
    """
    A VDI without data.

    :param kind: 1 if it grows, 2 if not, 4 of a difference.
    :param parent: the identity of the disk that it differs from.
    """
    data = b"<<< test >>>\n".ljust(64, b"\0")
    data += struct.pack("<IIII", 0xBEDA107F, 0x10001, 400, kind)
    data = data.ljust(0x170, b"\0") + struct.pack("<Q", size)
    return (data.ljust(0x1A8, b"\0") + parent).ljust(KIB, b"\0")


def iso_disk(blocks: int = 100, *, identifier: bytes = b"CD001") -> bytes:
    """An ISO 9660 image with nothing but a volume descriptor."""
    volume = struct.pack("<B5sB", 1, identifier, 1).ljust(80, b"\0")
    volume += struct.pack("<I", blocks) + struct.pack(">I", blocks)
    volume = volume.ljust(128, b"\0") + struct.pack("<H", 2048)
    return (bytes(32 * KIB) + volume).ljust(blocks * 2048, b"\0")
