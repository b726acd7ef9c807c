# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx download`` and ``restore``: pieces become files, whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from twisted.internet.utils import getProcessOutput

from glancetx.cli.qcow2 import read_header

from .commands import run_command
from .disks import make_qcow2
from .fake_servers import Answer, ClientCase, FakeServer, Piece, image_id
from .servers import RunningServer, ServerCase, reactor

DELTA = os.urandom(300_000)
GOLDEN = os.urandom(900_000)


class RestoreTests(ServerCase):
    """Chains of real servers."""

    async def chain(self) -> tuple[RunningServer, RunningServer, str, Path]:
        """A global server, a zone, a snapshot's id there, and a folder for files."""
        world = await self.serve()
        zone = await self.serve([world])
        folder = Path(self.mktemp())
        folder.mkdir()
        golden = make_qcow2(folder / "golden.qcow2", b"golden")
        snap = make_qcow2(folder / "snap.qcow2", b"snap")
        at = ("--server", world.url)
        uri = (await run_command("upload", str(golden), *at)).out.strip()
        done = await run_command(
            *("upload", str(snap), "--parent", uri, "--json", "--server", zone.url)
        )
        image: str = done.json["id"]
        return world, zone, image, folder

    async def test_folder(self) -> None:
        """
        The pieces lie in a folder, each linked to the one below it.
        """
        _, zone, image, folder = await self.chain()
        out = folder / "new" / "out"
        done = await run_command("restore", image, str(out), "--server", zone.url)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(sorted(os.listdir(out)), ["0.qcow2", "1.qcow2"])
        golden = (folder / "golden.qcow2").read_bytes()
        self.assertEqual((out / "1.qcow2").read_bytes(), golden)
        header = read_header(str(out / "0.qcow2"))
        assert header is not None
        if shutil.which("qemu-img"):
            self.assertEqual(header.backing, "1.qcow2")
            self.assertIn("is the whole disk now", done.err)
        else:
            self.assertIn("rebase -u -f qcow2 -F qcow2 -b 1.qcow2", done.err)

    async def test_without_qemu(self) -> None:
        """
        Without qemu-img the commands that link the pieces are said.
        """
        _, zone, image, folder = await self.chain()
        self.patch(os, "environ", {"PATH": str(folder)})
        out = folder / "out"
        at = ("--json", "--server", zone.url)
        done = await run_command("restore", image, str(out), *at)
        self.assertEqual((done.code, done.json["linked"]), (0, False))
        self.assertIn(
            f"qemu-img rebase -u -f qcow2 -F qcow2 -b 1.qcow2 {out}/0.qcow2", done.err
        )
        snap = (folder / "snap.qcow2").read_bytes()
        self.assertEqual((out / "0.qcow2").read_bytes(), snap)

    async def test_qemu_fails(self) -> None:
        """
        What qemu-img says when it fails is passed on.
        """
        _, zone, image, folder = await self.chain()
        qemu = folder / "qemu-img"
        qemu.write_text("#!/bin/sh\necho cannot do that >&2\nexit 1\n")
        qemu.chmod(stat.S_IRWXU)
        self.patch(os, "environ", {"PATH": str(folder)})
        out = str(folder / "out")
        done = await run_command("restore", image, out, "--server", zone.url)
        self.assertEqual(done.code, 1)
        self.assertIn("cannot do that", done.err)

    async def test_external_data(self) -> None:
        """
        A file that keeps its data elsewhere is given to no qemu-img.
        """
        zone = await self.serve()
        folder = Path(self.mktemp())
        folder.mkdir()
        below = make_qcow2(folder / "below.qcow2")
        above = make_qcow2(folder / "above.qcow2", features=4)
        parent = await zone.add(below.read_bytes(), disk_format="qcow2")
        image = await zone.add(
            above.read_bytes(),
            parent,
            disk_format="qcow2",
            container_format="docker",  # in which no server looks for a disk
        )
        shutil.copy("/bin/true", folder / "qemu-img")
        self.patch(os, "environ", {"PATH": str(folder)})
        out = str(folder / "out")
        done = await run_command("restore", image, out, "--server", zone.url)
        self.assertEqual(done.code, 1)
        self.assertIn("keeps its data in another file", done.err)

    async def test_raw(self) -> None:
        """
        Differences that qemu-img does not know are left as they are, and it is said.
        """
        zone = await self.serve()
        parent = await zone.add(GOLDEN, disk_format="raw")
        image = await zone.add(DELTA, parent, disk_format="raw")
        out = Path(self.mktemp())
        done = await run_command("restore", image, str(out), "--server", zone.url)
        self.assertEqual(done.code, 0)
        self.assertIn("cannot be linked", done.err)
        self.assertEqual((out / "0.raw").read_bytes(), DELTA)
        self.assertEqual((out / "1.raw").read_bytes(), GOLDEN)

    async def test_stream(self) -> None:
        """
        The plain stream is the pieces end to end, in one file.
        """
        world, zone, image, folder = await self.chain()
        whole = b"".join(
            (folder / name).read_bytes() for name in ("snap.qcow2", "golden.qcow2")
        )
        for direct in ((), ("--direct", "--trust", world.url)):
            file = folder / f"chain{len(direct)}"
            done = await run_command(
                *("restore", image, "--stream", "-o", str(file), *direct),
                *("--server", zone.url),
            )
            self.assertEqual(done.code, 0, done.err)
            self.assertEqual(file.read_bytes(), whole)

    async def test_direct(self) -> None:
        """
        Asked to, the pieces come from their own servers, if those are trusted.
        """
        world, zone, image, folder = await self.chain()
        words = ("restore", image, str(folder / "out"), "--direct")
        done = await run_command(*words, "--server", zone.url)
        self.assertEqual(done.code, 1)
        self.assertIn(f"{world.url}/images/", done.err)
        self.assertEqual(os.listdir(folder / "out"), [])
        done = await run_command(*words, "--server", zone.url, "--trust", world.url)
        self.assertEqual(done.code, 0, done.err)

    async def test_nothing_overwritten(self) -> None:
        """
        A file that is there stays, unless it may be replaced.
        """
        _, zone, image, folder = await self.chain()
        file = folder / "0.qcow2"
        file.write_bytes(b"precious")
        at = ("--server", zone.url)
        for words in (
            ("restore", image, str(folder)),
            ("restore", image, "--stream", "-o", str(file)),
            ("download", image, "-o", str(file)),
        ):
            done = await run_command(*words, *at)
            self.assertEqual((done.code, file.read_bytes()), (1, b"precious"))
            self.assertIn("--force", done.err)
        done = await run_command("download", image, "-o", str(file), "--force", *at)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(file.read_bytes(), (folder / "snap.qcow2").read_bytes())
        self.assertIn("glancetx restore", done.err)

    async def test_no_file(self) -> None:
        """
        A pipe or a link is neither read nor replaced, whatever the options.
        """
        _, zone, image, folder = await self.chain()
        at = ("--server", zone.url)
        for number, options in enumerate([(), ("--force",), ("--resume", "--force")]):
            pipe, link = folder / f"pipe{number}", folder / f"link{number}.part"
            os.mkfifo(pipe)
            link.symlink_to(folder / "snap.qcow2")
            for path, output in ((pipe, pipe), (link, link.with_suffix(""))):
                words = ("download", image, "-o", str(output), *options)
                done = await run_command(*words, *at)
                self.assertEqual(done.code, 1)
                self.assertIn(f"{path} is there already, and no file", done.err)
            self.assertTrue(pipe.is_fifo())
            self.assertTrue(link.is_symlink())

    async def test_usage(self) -> None:
        """
        What cannot be meant is status 2.
        """
        image = image_id(1)
        for words in (
            ("restore", image),
            ("restore", image, "out", "--stream"),
            ("restore", image, "out", "-o", "file"),
            ("restore", image, "--stream", "-o", "-", "--json"),
            ("restore", image, "--stream", "--resume"),
            ("download", image, "-o", "-", "--json"),
            ("download", image, "-o", "-", "--resume"),
        ):
            done = await run_command(*words)
            self.assertEqual((done.code, done.out), (2, ""), words)

    async def test_progress(self) -> None:
        """
        A bar is shown when it is asked for, on the error stream.
        """
        _, zone, image, folder = await self.chain()
        done = await run_command(
            *("download", image, "-o", str(folder / "x"), "--progress"),
            *("--server", zone.url),
        )
        self.assertIn("getting snap: 100%", done.err)
        self.assertNotIn("%", done.out)

    async def test_whole_disk(self) -> None:
        """
        What was restored is the disk that was running, to the last virtual byte.
        """
        if not (shutil.which("qemu-img") and shutil.which("qemu-io")):
            self.skipTest("needs qemu-img and qemu-io (apt-get install qemu-utils)")
        world, zone, _, folder = await self.chain()

        async def run(*line: str) -> bytes:
            output: bytes = await getProcessOutput(
                line[0], line[1:], os.environ, str(folder.absolute()), reactor, True
            )
            return output

        write = ("qemu-io", "-f", "qcow2", "-c")
        await run("qemu-img", "create", "-q", "-f", "qcow2", "g.qcow2", "64M")
        await run(*write, "write -P 5 0 4M", "g.qcow2")
        overlay = ("create", "-q", "-f", "qcow2", "-b", "g.qcow2", "-F", "qcow2")
        await run("qemu-img", *overlay, "vm.qcow2")
        await run(*write, "write -P 6 3M 2M", "vm.qcow2")
        shutil.copy(folder / "vm.qcow2", folder / "s.qcow2")
        blank = ("rebase", "-u", "-f", "qcow2", "-b", "")
        await run("qemu-img", *blank, "s.qcow2")
        golden = await run_command(
            "upload", str(folder / "g.qcow2"), "--server", world.url
        )
        done = await run_command(
            *("upload", str(folder / "s.qcow2"), "--parent", golden.out.strip()),
            *("--server", zone.url),
        )
        image = done.out.strip()
        out = folder / "out"
        await run_command("restore", image, str(out), "--server", zone.url)
        said = await run("qemu-img", "compare", "vm.qcow2", "out/0.qcow2")
        self.assertEqual(said, b"Images are identical.\n")


class BrokenTests(ClientCase):
    """Servers that break, or lie."""

    async def two(self, digest: str = "") -> tuple[FakeServer, Path]:
        """A zone with a chain of two, and a folder that is not there yet."""
        zone = await FakeServer().start(self)
        parent = f"{zone.url}/images/{image_id(2)}"
        zone.offer(Piece(1, DELTA, parent), Piece(2, GOLDEN, digest=digest))
        return zone, Path(self.mktemp())

    async def test_resumed_download(self) -> None:
        """
        A download that broke leaves no file but a part, and can be gone on with.
        """
        zone, _ = await self.two()
        file = Path(self.mktemp())
        path = f"GET /images/{image_id(1)}"
        whole = zone.answers[path][0]
        cut = Answer(200, whole.body, whole.headers, 50_000)
        zone.say(path, cut, Answer(503))
        words = ("download", image_id(1), "-o", str(file), "--server", zone.url)
        done = await run_command(*words)
        self.assertEqual((done.code, file.exists()), (3, False))
        self.assertIn(f"{file}.part", done.err)
        self.assertIn("--resume", done.err)
        zone.say(path, whole)
        zone.seen.clear()
        done = await run_command(*words, "--resume")
        self.assertEqual((done.code, file.read_bytes()), (0, DELTA), done.err)
        last = len(DELTA) - 1
        (asked,) = zone.asked(path)
        self.assertEqual(asked.headers["range"], f"bytes=50000-{last}")
        self.assertFalse(os.path.exists(f"{file}.part"))

    async def test_nothing_to_resume(self) -> None:
        """
        What is there and right is not asked for again.
        """
        zone, _ = await self.two()
        file = Path(self.mktemp())
        file.write_bytes(DELTA)
        words = ("download", image_id(1), "-o", str(file), "--server", zone.url)
        done = await run_command(*words, "--resume")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(zone.asked(f"GET /images/{image_id(1)}"), [])

    async def test_other_part(self) -> None:
        """
        A part that is of another image is found out, and removed.
        """
        zone, _ = await self.two()
        file = Path(self.mktemp())
        part = Path(f"{file}.part")
        part.write_bytes(b"of another image")
        words = ("download", image_id(1), "-o", str(file), "--server", zone.url)
        done = await run_command(*words, "--resume")
        self.assertEqual(done.code, 4)
        self.assertEqual((file.exists(), part.exists()), (False, False))

    async def test_resumed_restore(self) -> None:
        """
        A restoration goes on in the piece where it broke; whole ones are kept.
        """
        zone, out = await self.two()
        path = f"GET /images/{image_id(1)}/stream"
        whole = zone.answers[path][0]
        out.mkdir()
        (out / "0.raw").write_bytes(DELTA)
        (out / "1.raw.part").write_bytes(GOLDEN[:1000])
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        done = await run_command(*words, "--resume")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual((out / "1.raw").read_bytes(), GOLDEN)
        (asked,) = zone.asked(path)
        begin = len(DELTA) + 1000
        self.assertEqual(asked.headers["range"], f"bytes={begin}-{len(whole.body) - 1}")

    async def test_whole_part(self) -> None:
        """
        A part that only lacked its name gets it; nothing more is asked for.
        """
        zone, out = await self.two()
        out.mkdir()
        (out / "0.raw").write_bytes(DELTA)
        (out / "1.raw.part").write_bytes(GOLDEN)
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        done = await run_command(*words, "--resume")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(sorted(os.listdir(out)), ["0.raw", "1.raw"])
        self.assertEqual(zone.asked(f"GET /images/{image_id(1)}/stream"), [])

    async def test_other_file(self) -> None:
        """
        A file that is another piece stops a restoration that goes on.
        """
        zone, out = await self.two()
        out.mkdir()
        (out / "0.raw").write_bytes(b"another")
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        done = await run_command(*words, "--resume")
        self.assertEqual(done.code, 4)
        self.assertEqual((out / "0.raw").read_bytes(), b"another")
        self.assertIn("--force replaces it", done.err)
        done = await run_command(*words, "--resume", "--force")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual((out / "0.raw").read_bytes(), DELTA)

    async def test_corrupt(self) -> None:
        """
        Wrong bytes are status 4; pieces that were right before stay.
        """
        zone, out = await self.two(digest="00" * 32)
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        done = await run_command(*words)
        self.assertEqual(done.code, 4)
        self.assertIn("is not what was stored", done.err)
        self.assertEqual(os.listdir(out), ["0.raw"])

    async def test_disk_full(self) -> None:
        """
        A file that cannot be written is named.
        """
        zone, _ = await self.two()
        words = ("download", image_id(1), "--server", zone.url)
        done = await run_command(*words, "-o", "no such folder/file")
        self.assertEqual(done.code, 1)
        self.assertIn("no such folder/file.part: No such file", done.err)

    async def test_empty_pieces(self) -> None:
        """
        Pieces without a byte become files without one.
        """
        zone = await FakeServer().start(self)
        zone.offer(Piece(1, b""), Piece(2, b"golden"), Piece(3, b""))
        out = Path(self.mktemp())
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        done = await run_command(*words)
        self.assertEqual(done.code, 0, done.err)
        sizes = [(out / f"{number}.raw").stat().st_size for number in range(3)]
        self.assertEqual(sizes, [0, 6, 0])

    async def test_odd_format(self) -> None:
        """
        A format that would leave the folder names no file.
        """
        zone = await FakeServer().start(self)
        piece = Piece(1, b"disk", meta={"disk_format": "/../../x"})
        zone.offer(piece)
        answer = zone.answers[f"GET /images/{image_id(1)}/chain"][0]
        answer.body = answer.body.replace(b'"raw"', b'"/../../x"')
        out = Path(self.mktemp())
        words = ("restore", image_id(1), str(out), "--server", zone.url)
        self.assertEqual((await run_command(*words)).code, 0)
        self.assertEqual(os.listdir(out), ["0.bin"])
