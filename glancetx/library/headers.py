# Copyright glancetx contributors. See LICENSE for details.

"""
What the first bytes of a disk image say, and whether they may be kept.

Most of it is told by oslo.utils (``imageutils.format_inspector``). What is added are
rules for what it lets pass: encryption, differences to other disks that are not those
of qcow2, descriptors that readers could understand in two ways.

A header is read by a generator that asks for windows of the file, in order, so that
none of this knows how the bytes arrive.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import UUID

from attrs import frozen
from oslo_utils.imageutils import format_inspector

from glancetx.errors import WrongFormat

__all__ = ["READ", "TAIL", "Reading", "Window", "read_disk"]

PROBE = 1024
"""Bytes at the beginning that tell one format from another; the most is LUKS' 592."""

SECTOR = 512
KIB = 1024


@frozen
class Window:
    """
    Bytes of a file that are asked for.

    :ivar start: ``None`` for the file's end, then of at most ``stop`` bytes.
    """

    start: int | None
    stop: int


TAIL = Window(None, 3 * SECTOR)
"""The last bytes: the footer of a VHD, or the three last sectors of a VMDK."""

Reading: TypeAlias = Generator[Window, bytes, int | None]
"""
Asks for windows, each behind the one before it; is given fewer bytes only if the file
has no more. Returns the bytes of the disk that a machine sees, if they are known.
"""

#: What oslo.utils recognizes that must not pass for something else. A partition table
#: (``gpt``) is what a raw disk has, and an ISO image is one, too.
_PROBED = ("qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed", "luks")

#: Formats that qemu recognizes (its ``bdrv_probe`` functions) and oslo.utils does not.
_OTHERS = {
    b"COWD": "vmdk",
    b"WithoutFreeSpace": "ploop",
    b"WithouFreSpacExt": "ploop",
    b"Bochs Virtual HD Image": "bochs",
}

#: A text that qemu takes for the descriptor of a VMDK (``block/vmdk.c``), or VMware.
_DESCRIPTOR = re.compile(
    rb"(?:#[^\n]*\n|\x20*\r?\n)*(?:version=[0-9]|# disk descriptorfile)", re.IGNORECASE
)

# The parsers log what they find, at length and in the words of the uploaded bytes.
logging.getLogger(format_inspector.__name__).addHandler(logging.NullHandler())


def read_disk(declared: str, has_parent: bool) -> Reading:
    """
    Read a file that is said to be of one of the formats of ``READ``.

    :param has_parent: it may be the difference to another disk.
    :raises WrongFormat: (when it is given a window) if the file is of another format,
        or needs anything beside itself. Other errors mean that it is damaged.
    """
    head = yield Window(0, PROBE)
    _require_format(declared, head)
    if declared in _CHECKS:
        return _CHECKS[declared](head, has_parent)
    return (yield from _READERS[declared](head, has_parent))


def _require_format(declared: str, head: bytes) -> None:
    found = _identify(head)
    if "luks" in found:
        raise _refused("the bytes are encrypted (LUKS); decrypt them first")
    if declared == "vhd" and not found:
        return  # it may have its footer at the end only
    if found != (set() if declared in ("raw", "iso") else {declared}):
        raise _mismatch(declared, found)


def _mismatch(declared: str, found: set[str]) -> WrongFormat:
    others = " and ".join(sorted(found - {declared}))
    if not found:
        return _refused(
            f"{declared} was declared, but the bytes do not begin as {declared} does; "
            "declare raw if they are the disk itself"
        )
    if declared in found:
        return _refused(
            f"{declared} was declared, but the bytes can be read as {others}, too; "
            "convert them anew"
        )
    return _refused(
        f"{declared} was declared, but the bytes are {others}; declare what they are, "
        f"or convert them to {declared} first"
    )


def _refused(problem: str) -> WrongFormat:
    return WrongFormat("disk_format", problem)


def _identify(head: bytes) -> set[str]:
    """The formats that a reader might take a file for, by its first bytes."""
    padded = head.ljust(PROBE, b"\0")  # as qemu sees what is shorter
    found = {name for name in _PROBED if _begins_as(name, padded)}
    found |= {name for magic, name in _OTHERS.items() if head.startswith(magic)}
    if _DESCRIPTOR.match(head):
        found.add("vmdk")
    return found


def _begins_as(name: str, head: bytes) -> bool:
    inspector = format_inspector.ALL_FORMATS[name]()
    with suppress(Exception):
        inspector.eat_chunk(head)
    with suppress(Exception):
        return inspector.format_match
    return False


def _inspected(name: str, data: bytes) -> Any:
    inspector = format_inspector.ALL_FORMATS[name]()
    inspector.eat_chunk(data)
    return inspector


def _need(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise _refused("the bytes end before the disk's own tables do; send all of it")
    return data


def _alone(kind: str) -> WrongFormat:
    return _refused(
        f"the {kind} is the difference to another disk; give that disk's id or URI as "
        "the parent when the image is made, or merge the two into one disk first"
    )


# qcow2: qemu, docs/interop/qcow2.txt


def _check_qcow2(head: bytes, has_parent: bool) -> int:
    head = head.ljust(PROBE, b"\0")
    version, backing = struct.unpack_from(">IQ", head, 4)
    size: int
    size, encryption = struct.unpack_from(">QI", head, 24)
    features = struct.unpack_from(">Q", head, 72)[0] if version > 2 else 0
    if version not in (2, 3):
        raise _refused(f"the qcow2 is of version {version}; 2 and 3 are understood")
    if encryption:
        raise _refused("the qcow2 is encrypted; decrypt it first")
    if features & 1 << 2:
        raise _refused(
            "the qcow2 keeps its data in another file (data_file); convert it to one "
            "that has its own"
        )
    if features & 1 << 4:
        raise _refused(
            "the qcow2 has extended L2 entries (extended_l2); convert it without"
        )
    if backing and not has_parent:
        raise _refused(
            "the qcow2 names a backing file; give that disk's id or URI as the parent "
            "when the image is made, or convert it to one without"
        )
    # It looks for a data file where version 2 has something else, and at any name.
    _check_safety(_inspected("qcow2", head), {"backing_file", "data_file"})
    return size


def _check_safety(inspector: Any, pardoned: set[str]) -> None:
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as failed:
        for name in sorted(failed.failures.keys() - pardoned):
            raise _refused(
                f"the {inspector} is not safe to keep: {failed.failures[name]} ({name})"
            ) from None


# VDI: VirtualBox, include/VBox/vd-vdi.h: type, and the identity of the parent

_DIFFERENCES = (3, 4)  # "undo" and "diff"


def _check_vdi(head: bytes, has_parent: bool) -> int:
    (kind,) = struct.unpack_from("<I", _need(head, SECTOR), 0x4C)
    parent = head[0x1A8:0x1C8].strip(b"\0")
    if (kind in _DIFFERENCES or parent) and not has_parent:
        raise _alone("vdi")
    inspector = _inspected("vdi", head)
    _check_safety(inspector, set())
    size: int = inspector.virtual_size
    return size


# VHD: Microsoft, "Virtual Hard Disk Image Format Specification", 1.0

_COOKIE = b"conectix"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4


def _read_vhd(head: bytes, has_parent: bool) -> Reading:
    if not head.startswith(_COOKIE):
        footer = (yield TAIL)[-SECTOR:]
        if not footer.startswith(_COOKIE):
            raise _mismatch("vhd", set())
        if _vhd_type(footer) != _FIXED:
            raise _refused("the vhd has lost its first sectors; send all of it")
        return _vhd_size(footer)
    copy = _need(head, SECTOR)[:SECTOR]
    kind = _vhd_type(copy)
    if kind == _DIFFERENCING and not has_parent:
        raise _alone("vhd")
    if kind not in (_DYNAMIC, _DIFFERENCING):
        raise _refused(f"the vhd begins as one of type {kind}, which is not understood")
    footer = (yield TAIL)[-SECTOR:]
    if footer.startswith(_COOKIE) and _vhd_type(footer) != kind:
        raise _refused(
            f"the vhd is of type {kind} at its beginning and of type "
            f"{_vhd_type(footer)} at its end; repair it first"
        )
    return _vhd_size(copy)


def _vhd_type(footer: bytes) -> int:
    return int.from_bytes(footer[60:64], "big")


def _vhd_size(footer: bytes) -> int:
    return int.from_bytes(footer[48:56], "big")


def _read_raw(head: bytes, has_parent: bool) -> Reading:
    footer = (yield TAIL)[-SECTOR:]
    if (
        footer.startswith(_COOKIE)
        and _vhd_type(footer) == _FIXED
        and _has_checksum(footer)
    ):
        raise _mismatch("raw", {"vhd"})
    return None


def _has_checksum(footer: bytes) -> bool:
    checksum = int.from_bytes(footer[64:68], "big")
    return ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF == checksum


# VHDX: Microsoft, MS-VHDX: 2.2.3 (region table) and 2.6 (metadata region). The
# inspector of oslo.utils wants every byte before the metadata, and knows no parents.

_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_LOCATOR = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_TABLE = 64 * KIB
_HAS_PARENT = 1 << 1


@frozen
class _Table:
    """
    A table whose entries have 32 bytes each, a GUID at first.

    :ivar head: its signature, and how many entries there are.
    :ivar first: where they begin.
    :ivar where: what follows the GUID: where that lies of which an entry is.
    """

    signature: bytes
    head: struct.Struct
    first: int
    where: struct.Struct


_REGIONS = _Table(b"regi", struct.Struct("<4s4xI"), 16, struct.Struct("<Q"))
_ITEMS = _Table(b"metadata", struct.Struct("<8s2xH"), 32, struct.Struct("<I"))


def _read_vhdx(head: bytes, has_parent: bool) -> Reading:
    regions = _need((yield Window(192 * KIB, 256 * KIB)), _TABLE)
    region = _vhdx_entry(regions, _REGIONS, _METADATA)
    if region is None:
        raise _refused("the vhdx has no metadata region; it is damaged")
    table = _need((yield Window(region, region + _TABLE)), _TABLE)
    items = {
        item: _vhdx_entry(table, _ITEMS, item)
        for item in (_PARAMETERS, _DISK_SIZE, _LOCATOR)
    }
    if items.pop(_LOCATOR) is not None and not has_parent:
        raise _alone("vhdx")
    values = {}
    for where, item in sorted((at or 0, item) for item, at in items.items()):
        if where < _TABLE:
            raise _refused(
                "the vhdx does not say its size where it must; it is damaged"
            )
        at = region + where
        values[item] = _need((yield Window(at, at + 8)), 8)
    flags = int.from_bytes(values[_PARAMETERS][4:], "little")
    if flags & _HAS_PARENT and not has_parent:
        raise _alone("vhdx")
    return int.from_bytes(values[_DISK_SIZE], "little")


def _vhdx_entry(data: bytes, table: _Table, guid: bytes) -> int | None:
    """
    Where a table of a VHDX says that something lies.

    :raises WrongFormat: if it is no such table, or says it twice.
    """
    signature, count = table.head.unpack_from(data)
    end = table.first + 32 * count
    if signature != table.signature or end > len(data):
        raise _refused("the vhdx has no tables where they must be; it is damaged")
    found = [at for at in range(table.first, end, 32) if data.startswith(guid, at)]
    if len(found) > 1:
        raise _refused("the vhdx says the same thing twice; it is damaged")
    if not found:
        return None
    where: int = table.where.unpack_from(data, found[0] + 16)[0]
    return where


# VMDK: VMware, "Virtual Disk Format 1.1"; what qemu makes of it, block/vmdk.c

_SPARSE = struct.Struct("<4sIIQQQQIQQ")
_AT_END = 2**64 - 1
_LONGEST = 32 * KIB


def _read_vmdk(head: bytes, has_parent: bool) -> Reading:
    magic, _, _, capacity, _, _, sectors, _, _, directory = _SPARSE.unpack_from(
        _need(head, _SPARSE.size)
    )
    if magic != b"KDMV" or not capacity or not sectors:
        raise _refused(
            "the vmdk has its data in other files, or is a part of a disk; convert it "
            "to the subformat streamOptimized or monolithicSparse"
        )
    stop = SECTOR * (1 + sectors)
    if stop > _LONGEST:
        raise _refused("the vmdk has a descriptor that is too large to be read")
    data = head if stop <= PROBE else head + (yield Window(PROBE, stop))
    _check_descriptor(_need(data, stop)[SECTOR:stop], has_parent)
    inspector = _inspected("vmdk", data)
    if directory == _AT_END:
        inspector.eat_chunk(_need((yield TAIL), TAIL.stop))
        inspector.finish()
    _check_safety(inspector, set())
    size: int = capacity * SECTOR
    return size


def _check_descriptor(data: bytes, has_parent: bool) -> None:
    """
    Let nothing pass that one reader may understand in another way than the next.

    E.g. oslo.utils takes ``CREATETYPE`` for what qemu looks for as ``createType``, and
    neither minds ``parentFileNameHint`` or a second extent.
    """
    text = data.partition(b"\0")[0].lower()
    if _PARENT.search(text) and not has_parent:
        raise _alone("vmdk")
    extents = [line.strip() for line in text.split(b"\n") if _EXTENT.match(line)]
    if (
        text.count(b"createtype") != 1
        or not _TYPE.search(text)
        or len(extents) != 1
        or not _OWN_EXTENT.fullmatch(extents[0])
    ):
        raise _refused(
            "the vmdk has a descriptor that is not of one file of its own; convert it "
            "to the subformat streamOptimized or monolithicSparse"
        )


_PARENT = re.compile(rb"parentfilenamehint|parentcid(?!=ffffffff\b)")
_TYPE = re.compile(rb'createtype="(?:monolithicsparse|streamoptimized)"')
_EXTENT = re.compile(rb"\s*(?:rw|rdonly|noaccess)\b")
_OWN_EXTENT = re.compile(rb'(?:rw|rdonly)\s+[0-9]+\s+sparse\s+"[^"/\\:]*"')

# ISO 9660 (ECMA-119) from sector 16 on, or UDF alone (ECMA-167)

_VOLUME = 34 * KIB
_UDF = b"BEA01"


def _read_iso(head: bytes, has_parent: bool) -> Reading:
    data = head + (yield Window(PROBE, _VOLUME))
    inspector = _inspected("iso", data)
    if inspector.format_match:
        return inspector.virtual_size or None
    if data.startswith(_UDF, 32 * KIB + 1):
        return None
    raise _mismatch("iso", set())


#: Of formats whose first bytes say all.
_CHECKS: dict[str, Callable[[bytes, bool], int]] = {
    "qcow2": _check_qcow2,
    "vdi": _check_vdi,
}

_READERS: dict[str, Callable[[bytes, bool], Reading]] = {
    "raw": _read_raw,
    "vhd": _read_vhd,
    "vhdx": _read_vhdx,
    "vmdk": _read_vmdk,
    "iso": _read_iso,
}

READ = _CHECKS.keys() | _READERS.keys()
"""The disk formats that are understood, as the Image API names them."""
