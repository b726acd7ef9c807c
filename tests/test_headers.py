# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.headers`: which disks are kept, and which are not.
"""

from __future__ import annotations

import os
import random

from .disks import (
    DESCRIPTOR,
    GIB,
    KIB,
    MIB,
    fixed_vhd,
    iso_disk,
    patch,
    qcow2_disk,
    vdi_disk,
    vhd_disk,
    vhd_footer,
    vhdx_disk,
    vmdk_disk,
    vmdk_end,
)
from .inspections import InspectionCase, inspect

DATA = random.Random(1).randbytes(200 * KIB)
MBR = patch(DATA, 510, b"\x55\xaa")
LUKS = b"LUKS\xba\xbe\0\x01".ljust(4096, b"\0")

DISKS = {
    "raw": DATA,
    "qcow2": qcow2_disk(),
    "vhd": vhd_disk(),
    "vhdx": vhdx_disk(),
    "vmdk": vmdk_disk(),
    "vdi": vdi_disk(),
    "iso": iso_disk(),
}
SIZES = dict.fromkeys(DISKS, GIB) | {"raw": len(DATA), "iso": 200 * KIB}


def said(old: str, new: str) -> bytes:
    """A VMDK with another descriptor."""
    assert old in DESCRIPTOR
    return vmdk_disk(DESCRIPTOR.replace(old, new))


class FormatTests(InspectionCase):
    """Declared and found"""

    def test_sizes(self) -> None:
        """
        What is declared as what it is passes, and says how large its disk is.
        """
        for declared, disk in DISKS.items():
            self.assertEqual(inspect(disk, declared), SIZES[declared], declared)

    def test_mismatch(self) -> None:
        """
        What is declared as anything else is refused; it is said what it is.
        """
        for declared in DISKS:
            for found, disk in DISKS.items():
                if found == declared or (declared, found) == ("raw", "iso"):
                    continue
                named = (found,) if found not in ("raw", "iso") else ()
                words = (f"{declared} was declared", *named)
                self.assert_refused(disk, declared, *words)

    def test_raw(self) -> None:
        """
        A disk with a partition table, an ISO image, text and a few bytes are raw.
        """
        text = b"#!/bin/sh\nexport version=1\necho createType=\n" * 9
        for data in (MBR, iso_disk(), text, b"x", bytes(MIB), b"# comment\n"):
            self.assertEqual(inspect(data, "raw"), len(data))

    def test_other_readers(self) -> None:
        """
        What only qemu would take for something else is not raw either.
        """
        descriptor = DESCRIPTOR.encode("ascii")
        for data, found in (
            (b"COWD" + DATA, "vmdk"),
            (b"WithoutFreeSpace" + DATA, "ploop"),
            (b"WithouFreSpacExt" + DATA, "ploop"),
            (b"Bochs Virtual HD Image" + DATA, "bochs"),
            (b"QED\0" + DATA, "qed"),
            (qcow2_disk()[:72], "qcow2"),
            (descriptor, "vmdk"),
            (b"#\n \r\nversion=1\r\n" + descriptor, "vmdk"),
        ):
            self.assert_refused(data, "raw", f"the bytes are {found}")

    def test_two_at_once(self) -> None:
        """
        What two readers would understand in two ways is refused as either.
        """
        both = patch(qcow2_disk(), 0, vdi_disk())
        both = patch(both, 0, qcow2_disk()[:64])
        self.assert_refused(both, "qcow2", "can be read as vdi, too")
        self.assert_refused(both, "vdi", "can be read as qcow2, too")
        self.assert_refused(both, "raw", "qcow2 and vdi")
        hybrid = patch(iso_disk(), 0, qcow2_disk()[:512])
        self.assert_refused(hybrid, "iso", "the bytes are qcow2")
        self.assert_refused(hybrid, "raw", "the bytes are qcow2")

    def test_luks(self) -> None:
        """
        An encrypted volume is nothing that can be kept.
        """
        for declared in DISKS:
            self.assert_refused(LUKS, declared, "encrypted (LUKS)")

    def test_empty(self) -> None:
        """
        No bytes are no disk yet: Nova activates images so whose disks are volumes.
        """
        for declared in DISKS:
            expected = 0 if declared == "raw" else None
            self.assertEqual(inspect(b"", declared), expected)

    def test_short(self) -> None:
        """
        A few bytes are nothing but raw.
        """
        for declared in DISKS.keys() - {"raw"}:
            for data in (b"x", bytes(3000)):
                self.assert_refused(data, declared, f"{declared} was declared")

    def test_cut(self) -> None:
        """
        What ends before its headers do is refused, whatever is missing.
        """
        cuts = {"qcow2": 4, "vhd": 100, "vmdk": 5000, "vdi": 400, "iso": 33 * KIB}
        for declared, length in cuts.items():
            self.assert_refused(DISKS[declared][:length], declared)
        for length in (32, 200 * KIB, 2 * MIB, 2 * MIB + 65 * KIB - 1024, -1):
            self.assert_refused(vhdx_disk()[:length], "vhdx", "send all of it")

    def test_too_large(self) -> None:
        """
        A disk that is larger than can be written down is refused.
        """
        self.assertEqual(inspect(qcow2_disk(size=2**63 - 1), "qcow2"), 2**63 - 1)
        for disk, declared in (
            (qcow2_disk(size=2**63), "qcow2"),
            (vdi_disk(size=2**64 - 1), "vdi"),
            (vmdk_disk(capacity=2**64 - 1), "vmdk"),
            (vhdx_disk(size=2**63), "vhdx"),
        ):
            self.assert_refused(disk, declared, "claims to be a disk of")


class Qcow2Tests(InspectionCase):
    """qcow2"""

    def test_backing(self) -> None:
        """
        A name of a backing file is natural in an image with a parent, and there only.
        """
        disk = qcow2_disk(backing="/etc/passwd")
        self.assert_refused(disk, "qcow2", "names a backing file", "parent")
        self.assertEqual(inspect(disk, "qcow2", parent=True), GIB)

    def test_never(self) -> None:
        """
        A parent excuses nothing else.
        """
        for disk, word in (
            (qcow2_disk(features=1 << 2), "data_file"),
            (qcow2_disk(features=1 << 4), "extended_l2"),
            (qcow2_disk(features=1 << 5), "unknown_features"),
            (qcow2_disk(features=1 << 63), "unknown_features"),
            (qcow2_disk(encryption=1), "encrypted"),
            (qcow2_disk(encryption=2, version=2), "encrypted"),
            (qcow2_disk(version=1), "version 1"),
            (qcow2_disk(version=4), "version 4"),
        ):
            for parent in (False, True):
                self.assert_refused(disk, "qcow2", word, parent=parent)

    def test_features(self) -> None:
        """
        Disks that were not closed, or have another compression, are fine.
        """
        for features in (1 << 0, 1 << 1, 1 << 3):
            self.assertEqual(inspect(qcow2_disk(features=features), "qcow2"), GIB)

    def test_version_2(self) -> None:
        """
        Where version 3 has features, version 2 may have anything.
        """
        disk = patch(qcow2_disk(version=2), 72, b"\xe2\x79\x2a\xca\0\0\0\x05qcow2")
        self.assertEqual(inspect(disk, "qcow2"), GIB)


class VhdTests(InspectionCase):
    """VHD"""

    def test_fixed(self) -> None:
        """
        A fixed disk is one by its footer alone, which makes it no raw one.
        """
        for data in (DATA, MBR, bytes(512), bytes(10 * KIB)):
            disk = fixed_vhd(data)
            self.assertEqual(inspect(disk, "vhd"), len(data))
            self.assert_refused(disk, "raw", "vhd")

    def test_no_footer(self) -> None:
        """
        Three bytes behind the footer, or another checksum, and the disk is a raw one.
        """
        for data in (
            fixed_vhd(DATA) + b"\0\0\0",
            DATA + patch(vhd_footer(2), 100, b"x"),
            DATA + vhd_footer(3),
        ):
            self.assertEqual(inspect(data, "raw"), len(data))

    def test_resized(self) -> None:
        """
        A disk is as large as it is now, not as it was when it was new.
        """
        footer = vhd_footer(3, GIB)
        self.assertNotEqual(footer[40:48], footer[48:56])
        self.assertEqual(inspect(vhd_disk(), "vhd"), GIB)

    def test_difference(self) -> None:
        """
        A difference needs a parent, wherever it is said to be one.
        """
        self.assert_refused(vhd_disk(4), "vhd", "difference", "parent")
        self.assertEqual(inspect(vhd_disk(4), "vhd", parent=True), GIB)
        self.assert_refused(vhd_disk(3, last=4), "vhd", "type 3", "type 4")

    def test_cut(self) -> None:
        """
        Neither the end of a disk that grows, nor one of no known kind, is a disk.
        """
        self.assert_refused(DATA + vhd_footer(3), "vhd", "lost its first sectors")
        self.assert_refused(vhd_disk(6), "vhd", "type 6")
        self.assert_refused(vhd_disk(2), "vhd", "type 2")

    def test_without_copy(self) -> None:
        """
        A disk that grows is readable by the copy of its footer at the beginning.
        """
        self.assertEqual(inspect(vhd_disk()[:-512], "vhd"), GIB)


class VhdxTests(InspectionCase):
    """VHDX"""

    def test_difference(self) -> None:
        """
        A difference needs a parent, whichever way it says that it is one.
        """
        for disk in (vhdx_disk(parent=True), vhdx_disk(locator=True)):
            self.assert_refused(disk, "vhdx", "difference", "parent")
            self.assertEqual(inspect(disk, "vhdx", parent=True), GIB)

    def test_far(self) -> None:
        """
        The metadata may lie far behind what is looked at, and cost nothing more.
        """
        disk = vhdx_disk(metadata=8 * MIB)
        self.assertEqual(inspect(disk, "vhdx", most=256 * KIB), GIB)

    def test_damaged(self) -> None:
        """
        Tables that are not where or what they must be are refused.
        """
        disk, region = vhdx_disk(), 2 * MIB
        entry = disk[192 * KIB + 16 : 192 * KIB + 48]
        for damaged, word in (
            (patch(disk, 192 * KIB, b"REGI"), "no tables"),
            (patch(disk, 192 * KIB + 8, b"\xff\xff"), "no tables"),
            (patch(disk, 192 * KIB + 10, b"\x01"), "no tables"),
            (patch(disk, 192 * KIB + 16, bytes(16)), "no metadata region"),
            (patch(disk, 192 * KIB + 8, b"\x02" + bytes(7) + 2 * entry), "twice"),
            (patch(disk, 192 * KIB + 32, bytes(8)), "not lawful"),
            (patch(disk, 192 * KIB + 32, b"\xff" * 8), "send all of it"),
            (patch(disk, region, b"METADATA"), "no tables"),
            (patch(disk, region + 10, b"\xff\xff"), "no tables"),
            (patch(disk, region + 10, b"\x01\x00"), "does not say its size"),
            (patch(disk, region + 48, bytes(4)), "does not say its size"),
            (patch(disk, region + 80, b"\0\0\x01\0"), "not lawful"),
        ):
            self.assert_refused(damaged, "vhdx", word)


class VmdkTests(InspectionCase):
    """VMDK"""

    def test_kinds(self) -> None:
        """
        Of one file with data of its own there are two kinds, and both are fine.
        """
        stream = DESCRIPTOR.replace("monolithicSparse", "streamOptimized")
        for disk in (
            vmdk_disk(stream),
            vmdk_disk(stream.replace("RW", "RDONLY")),
            vmdk_disk(stream.replace("\n", "\r\n")),
            vmdk_disk(stream, sectors=1),
            vmdk_disk(stream, directory=-1, end=vmdk_end()),
        ):
            self.assertEqual(inspect(disk, "vmdk"), GIB)

    def test_elsewhere(self) -> None:
        """
        A descriptor alone, or a part of a disk, has its data elsewhere.
        """
        flat = DESCRIPTOR.replace("monolithicSparse", "monolithicFlat")
        for disk in (
            DESCRIPTOR.encode("ascii"),
            flat.encode("ascii"),
            b"COWD" + DATA,
            vmdk_disk(sectors=0),
            vmdk_disk(capacity=0),
        ):
            self.assert_refused(disk, "vmdk", "data in other files")

    def test_descriptors(self) -> None:
        """
        A descriptor that one reader might take for another's is refused.
        """
        sparse = 'createType="monolithicSparse"'
        extent = 'RW 2097152 SPARSE "disk.vmdk"'
        for disk in (
            said(sparse, 'createType="monolithicFlat"'),
            said(sparse, f'CREATETYPE="monolithicSparse"\n{sparse}'),
            said(sparse, f"# {sparse}\n{sparse}"),
            said(sparse, 'createType = "monolithicSparse"'),
            said(sparse, ""),
            said(extent, ""),
            said(extent, f"{extent}\n{extent}"),
            said(extent, 'RW 2097152 FLAT "disk.vmdk" 0'),
            said(extent, 'RW 2097152 SPARSE "/etc/passwd"'),
            said(extent, 'RW 2097152 SPARSE "nbd:127.0.0.1:10809"'),
            said(extent, 'RW 2097152 SPARSE "..\\disk.vmdk"'),
            said(extent, f'{extent}\n\t rw 1 FLAT "x" 0'),
        ):
            self.assert_refused(disk, "vmdk", "descriptor", "streamOptimized")

    def test_odd_lines(self) -> None:
        """
        A descriptor with a line that means nothing, or is no ASCII, is refused.
        """
        for disk in (said("#DDB", "what is this"), said("#DDB", "# \N{SNOWMAN}")):
            self.assert_refused(disk, "vmdk", "not safe to keep", "(descriptor)")

    def test_difference(self) -> None:
        """
        A difference needs a parent, whichever way it says that it is one.
        """
        hint = 'parentFileNameHint="golden.vmdk"'
        for disk in (
            said("parentCID=ffffffff", "parentCID=c388d754"),
            said("#DDB", hint),
            said("#DDB", f"# {hint.upper()}"),
        ):
            self.assert_refused(disk, "vmdk", "difference", "parent")
            self.assertEqual(inspect(disk, "vmdk", parent=True), GIB)

    def test_footers(self) -> None:
        """
        A footer, which readers believe more than the header, must say the same.
        """
        for end in (
            vmdk_end(sectors=21),
            vmdk_end(directory=-1),
            vmdk_end()[:-1],
            vmdk_end() + b"\0",
            patch(vmdk_end(), 12, b"\x01"),
            b"",
        ):
            disk = vmdk_disk(directory=-1, end=end)
            self.assert_refused(disk, "vmdk", "not safe to keep", "(footer)")

    def test_long(self) -> None:
        """
        Nobody's descriptor is longer than 32 KiB.
        """
        disk = vmdk_disk(sectors=64)
        self.assert_refused(disk, "vmdk", "too large")
        self.assertEqual(inspect(vmdk_disk(sectors=63), "vmdk"), GIB)

    def test_versions(self) -> None:
        """
        A version that is not known is refused, as is a descriptor in another place.
        """
        for offset, new in ((4, b"\x09"), (28, b"\x02")):
            self.assert_refused(patch(vmdk_disk(), offset, new), "vmdk", "be read")


class OtherTests(InspectionCase):
    """VDI and ISO"""

    def test_vdi(self) -> None:
        """
        A VDI that is a difference needs a parent.
        """
        self.assertEqual(inspect(vdi_disk(2), "vdi"), GIB)
        for disk in (vdi_disk(4), vdi_disk(3), vdi_disk(1, parent=os.urandom(16))):
            self.assert_refused(disk, "vdi", "difference", "parent")
            self.assertEqual(inspect(disk, "vdi", parent=True), GIB)

    def test_iso(self) -> None:
        """
        An ISO image may be bootable as a disk, and may be UDF, of no known size.
        """
        self.assertEqual(inspect(patch(iso_disk(), 510, b"\x55\xaa"), "iso"), 204800)
        self.assertIsNone(inspect(iso_disk(identifier=b"BEA01"), "iso"))
