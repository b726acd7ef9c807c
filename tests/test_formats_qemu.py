# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.formats` with disks that qemu-img made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from twisted.python.procutils import which

from .disks import MIB
from .inspections import InspectionCase, inspect, verdict

#: The names of qemu where they are not those of the Image API.
QEMU = {"vhd": "vpc"}

#: What each format can be like: options of ``qemu-img create``.
KINDS = {
    "raw": ["", "preallocation=full"],
    "qcow2": [
        "",
        "compat=0.10",
        "cluster_size=512",
        "cluster_size=2M",
        "preallocation=full",
        "compression_type=zstd",
        "lazy_refcounts=on",
    ],
    "vhd": ["", "subformat=fixed", "force_size=on", "subformat=fixed,force_size=on"],
    "vhdx": ["", "subformat=fixed", "block_size=2M", "log_size=2M"],
    "vmdk": ["", "subformat=streamOptimized", "adapter_type=lsilogic,hwversion=13"],
    "vdi": ["", "static=on"],
}


class QemuCase(InspectionCase):
    """A test with a disk of 1 MiB of data."""

    if not which("qemu-img"):
        skip = "qemu-img is not installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "disk").write_bytes(os.urandom(MIB))

    def qemu(self, *words: str) -> str:
        done = subprocess.run(
            ["qemu-img", *words],
            cwd=self.folder,
            capture_output=True,
            check=False,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def make(self, form: str, options: str = "", *more: str) -> bytes:
        """A disk with the data."""
        given = ("-o", options) if options else ()
        name = QEMU.get(form, form)
        self.qemu("convert", "-f", "raw", "-O", name, *given, *more, "disk", "made")
        return self.made()

    def create(self, *words: str) -> bytes:
        """A disk without data."""
        self.qemu("create", "-q", *words)
        return self.made()

    def made(self) -> bytes:
        return (self.folder / "made").read_bytes()

    def size(self, form: str) -> int:
        """How large the disk is to qemu."""
        name = QEMU.get(form, form)
        text = self.qemu("info", "-f", name, "--output=json", "made")
        size: int = json.loads(text)["virtual-size"]
        return size


class GoodTests(QemuCase):
    """Disks that are kept"""

    def test_all(self) -> None:
        """
        Every kind of disk passes, and is as large as qemu says, however it is cut; and
        none passes for one of another format.
        """
        for form, kinds in KINDS.items():
            for options in kinds:
                data = self.make(form, options)
                for step in (1024 * 1024, 64 * 1024, 1000):
                    found = verdict(data, form, step=step)
                    self.assertEqual(found, self.size(form), f"{form} {options}")
                named = [f"are {form}"]
                if form == "raw" or "fixed" in options:
                    named = []  # they are, by their first bytes, anything
                for declared in KINDS.keys() - {form}:
                    words = (f"{declared} was declared", *named)
                    self.assert_refused(data, declared, *words)

    def test_more(self) -> None:
        """
        Compressed disks, snapshots, bitmaps and no size at all do no harm.
        """
        self.assertEqual(inspect(self.make("qcow2", "", "-c"), "qcow2"), MIB)
        self.make("qcow2")
        self.qemu("snapshot", "-c", "monday", "made")
        self.qemu("bitmap", "--add", "made", "tuesday")
        self.assertEqual(inspect(self.made(), "qcow2"), MIB)
        empty = self.create("-f", "qcow2", "made", "0")
        self.assertEqual(inspect(empty, "qcow2"), 0)


class BadTests(QemuCase):
    """Disks that are refused"""

    def test_difference(self) -> None:
        """
        A difference that names what it differs from needs a parent.
        """
        shutil.copy(self.folder / "disk", self.folder / "golden")
        self.make("vmdk")
        (self.folder / "made").rename(self.folder / "golden.vmdk")
        overlay = ("-b", "golden", "-F", "raw", "made")
        for data, form, word in (
            (self.create("-f", "qcow2", *overlay), "qcow2", "backing file"),
            (
                self.create("-f", "qcow2", "-o", "compat=0.10", *overlay),
                "qcow2",
                "back",
            ),
            (
                self.create("-f", "vmdk", "-b", "golden.vmdk", "-F", "vmdk", "made"),
                "vmdk",
                "difference",
            ),
        ):
            self.assert_refused(data, form, word, "parent")
            self.assertEqual(inspect(data, form, parent=True), MIB)

    def test_blanked(self) -> None:
        """
        An overlay whose backing file was blanked, as a snapshot is sent, is fine.
        """
        self.create("-f", "qcow2", "-b", "disk", "-F", "raw", "made")
        self.qemu("rebase", "-u", "-f", "qcow2", "-b", "", "made")
        self.assertEqual(inspect(self.made(), "qcow2"), MIB)

    def test_qcow2(self) -> None:
        """
        So are data elsewhere, extended tables and encryption refused.
        """
        secret = ("--object", "secret,id=key,data=secret")
        aes = self.create(
            *("-f", "qcow2", *secret, "made", "1M"),
            *("-o", "encrypt.format=aes,encrypt.key-secret=key"),
        )
        # qemu-img makes no LUKS key where it cannot measure how long it takes.
        luks = bytearray(aes)
        luks[32:36] = (2).to_bytes(4, "big")  # crypt_method
        for data, word in (
            (self.make("qcow2", "data_file=elsewhere"), "another file"),
            (self.make("qcow2", "extended_l2=on"), "extended L2"),
            (aes, "encrypted"),
            (bytes(luks), "encrypted"),
        ):
            self.assert_refused(data, "qcow2", word)

    def test_vmdk(self) -> None:
        """
        Of a disk in several files neither the descriptor nor the data are one.
        """
        for kind in ("monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"):
            self.make("vmdk", f"subformat={kind}")
            for path in self.folder.glob("made*"):
                self.assert_refused(path.read_bytes(), "vmdk", "vmdk")
                path.unlink()

    def test_unwelcome(self) -> None:
        """
        Formats that nobody should use are not raw.
        """
        luks = self.create(
            *("-f", "luks", "--object", "secret,id=key,data=secret"),
            *("-o", "key-secret=key,iter-time=10", "made", "1M"),
        )
        self.assert_refused(luks, "raw", "encrypted (LUKS)")
        for form in ("qed", "qcow", "parallels"):
            self.assert_refused(self.make(form), "raw", "raw was declared")
