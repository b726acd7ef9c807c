# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.formats`: when a verdict comes, and at what price.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from functools import partial
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from glancetx.errors import WrongFormat
from glancetx.library.formats import Inspection

from .disks import KIB, MIB, patch, qcow2_disk, vhdx_disk, vmdk_disk, vmdk_end
from .inspections import InspectionCase, inspect, verdict
from .properties import untimed
from .test_headers import DATA, DISKS, MBR

FORMATS = st.sampled_from(sorted(DISKS))
#: Where headers say something, and where they end.
HEADS = {name: min(len(disk), 4 * KIB) for name, disk in DISKS.items()}
TABLES = {"vhdx": [192 * KIB, 2 * MIB, 2 * MIB + 64 * KIB], "iso": [32 * KIB]}


class ScopeTests(InspectionCase):
    """What is looked at at all"""

    def test_containers(self) -> None:
        """
        In a container that is not ``bare`` the bytes are not those of the disk.
        """
        for container in ("ova", "ovf", "docker", "compressed", "ami", "aki", "ari"):
            for declared in DISKS:
                self.assertIsNone(inspect(DATA, declared, container=container))

    def test_unknown(self) -> None:
        """
        Of a format that is not known nothing can be said.
        """
        for declared in ("ploop", "ami", "aki", "ari", "fancy", "luks"):
            for disk in DISKS.values():
                self.assertIsNone(inspect(disk, declared))


class EarlyTests(InspectionCase):
    """How early bytes are refused"""

    def refused_at(self, data: bytes, declared: str) -> int:
        """How many bytes came until they were refused, one by one."""
        inspection = Inspection(declared, "bare", False)
        for offset in range(len(data)):
            try:
                inspection.eat(data[offset : offset + 1])
            except WrongFormat:
                return offset + 1
        self.fail("was not refused before the end")

    def test_beginning(self) -> None:
        """
        What the beginning tells is said when it is there.
        """
        for disk, declared in (
            (DISKS["qcow2"], "raw"),
            (DATA, "qcow2"),
            (MBR, "vmdk"),
            (qcow2_disk(backing="x"), "qcow2"),
            (DISKS["vhdx"], "vhd"),
        ):
            self.assertEqual(self.refused_at(disk, declared), KIB)

    def test_tables(self) -> None:
        """
        What a table tells is said when that is there, before the disk's data.
        """
        for disk, declared, at in (
            (DATA, "iso", 34 * KIB),
            (vmdk_disk("nothing", directory=-1), "vmdk", 512 * 21),
            (patch(vhdx_disk(), 192 * KIB, b"x"), "vhdx", 256 * KIB),
        ):
            self.assertEqual(self.refused_at(disk, declared), at)


class BudgetTests(InspectionCase):
    """What an inspection may cost"""

    def clock(self, step: float) -> Iterator[float]:
        return count(step=step)

    def test_seconds(self) -> None:
        """
        A header that is too much work to read is refused before it is more.
        """
        slow = self.clock(0.051)
        with self.assertRaises(WrongFormat) as caught:
            inspect(DISKS["vhdx"], "vhdx", clock=partial(next, slow))
        self.assertIn("too much work", caught.exception.problem)
        self.assertLess(next(slow), 0.051 * 4)
        inspect(DISKS["vmdk"], "vmdk", clock=partial(next, self.clock(0.02)))

    def test_slow_machine(self) -> None:
        """
        What has been read is judged, however long it took; no honest disk is refused.
        """
        stream = vmdk_disk(sectors=1, directory=-1, end=vmdk_end(sectors=1))
        disks = {name: DISKS[name] for name in ("raw", "qcow2", "vhd", "vdi")}
        for declared, disk in {**disks, "vmdk": stream}.items():
            inspect(disk, declared, clock=partial(next, self.clock(10)))

    def test_bytes(self) -> None:
        """
        No more bytes are looked at than is allowed.
        """
        with self.assertRaises(WrongFormat) as caught:
            inspect(DISKS["vhdx"], "vhdx", most=64 * KIB)
        self.assertIn("too much work", caught.exception.problem)
        for declared, disk in DISKS.items():
            inspect(disk, declared, most=256 * KIB)

    def test_collection(self) -> None:
        """
        Garbage is not collected on an image's account, and is collected after it.
        """
        collected: list[str] = []
        gc.callbacks.append(lambda phase, info: collected.append(phase))
        self.addCleanup(gc.callbacks.pop)
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            self.addCleanup(gc.enable)
            threshold = gc.get_threshold()
            gc.set_threshold(1)
            self.addCleanup(gc.set_threshold, *threshold)
            inside: list[int] = []

            def clock(inside: list[int] = inside) -> float:
                inside.append(len(collected))
                return 0.0

            inspect(DISKS["vmdk"], "vmdk", clock=clock)
            pairs = zip(inside[::2], inside[1::2], strict=True)
            self.assertTrue(all(before == after for before, after in pairs), inside)
            self.assertEqual(gc.isenabled(), enabled)

    def test_worst(self) -> None:
        """
        The most work that a header can make takes less than what is allowed.
        """
        lines = b"a=\n" * 10_000
        head = DISKS["vmdk"][512:1024].rstrip(b"\0") + b"\n"
        table = vhdx_disk()[2 * MIB : 2 * MIB + 32]
        for disk, declared in (
            (vmdk_disk(head + lines, sectors=63), "vmdk"),
            (vmdk_disk(b"rw " * 10_000, sectors=63), "vmdk"),
            (vmdk_disk(b"createtype" * 3_000, sectors=63), "vmdk"),
            (vmdk_disk(b'rw 1 sparse "' + b"a" * 32_000, sectors=63), "vmdk"),
            (vmdk_disk(head + b"\n" * 31_000, sectors=63), "vmdk"),
            (patch(vhdx_disk(), 2 * MIB, patch(table, 10, b"\xff\x07")), "vhdx"),
            (b"#\n" * 512 + DATA, "raw"),
            (b" " * 1024 + DATA, "raw"),
            (b"#" * 1024 + DATA, "raw"),
        ):
            began = time.thread_time()
            verdict(disk, declared)
            self.assertLess(time.thread_time() - began, 0.05, disk[:40])


class PropertyTests(InspectionCase):
    """Whatever comes"""

    @untimed
    @given(st.data())
    def test_mutated(self, data: st.DataObject) -> None:
        """
        A header with anything in it is kept or refused, and never an accident; however
        the bytes are cut, the verdict is the same.
        """
        name = data.draw(FORMATS)
        disk = DISKS[name]
        for _ in range(data.draw(st.integers(0, 4))):
            starts = [0, *TABLES.get(name, [])]
            offset = data.draw(st.sampled_from(starts)) + data.draw(
                st.integers(0, HEADS[name])
            )
            disk = patch(disk, offset, data.draw(st.binary(min_size=1, max_size=16)))
        disk = disk[: data.draw(st.sampled_from([None, None, 10, 600, 40 * KIB]))]
        self.same_for_all(data, disk, data.draw(st.sampled_from([name, name, "raw"])))

    @untimed
    @given(st.data(), FORMATS, st.binary(max_size=3000))
    def test_anything(self, data: st.DataObject, name: str, disk: bytes) -> None:
        """
        So are bytes that are no disk at all, with or without a disk's first bytes.
        """
        disk = DISKS[name][: data.draw(st.sampled_from([0, 0, 4, 72, 512]))] + disk
        self.same_for_all(data, disk, data.draw(FORMATS))

    def same_for_all(self, data: st.DataObject, disk: bytes, declared: str) -> None:
        parent = data.draw(st.booleans())
        whole = verdict(disk, declared, parent, step=max(len(disk), 1))
        step = data.draw(st.sampled_from([7, 511, 512, 1023, 1025, 4096, 65536]))
        self.assertEqual(verdict(disk, declared, parent, step), whole)
        if isinstance(whole, str):
            self.assertTrue(whole.startswith("disk_format: "), whole)
