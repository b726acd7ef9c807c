# Copyright glancetx contributors. See LICENSE for details.

"""
The command against servers: images are put, found, shown and deleted.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.web.server import Site

from glancetx.config import OriginConfig

from .commands import run_command
from .disks import make_qcow2
from .fake_servers import image_id
from .loopback import Loopback
from .players import Glance, Played
from .servers import ServerCase, reactor


class UploadTests(ServerCase):
    """``glancetx upload``"""

    async def test_golden(self) -> None:
        """
        A file becomes an image of its name and format; the output is its URI.
        """
        server = await self.serve()
        folder = Path(self.mktemp())
        folder.mkdir()
        disk = make_qcow2(folder / "golden.qcow2")
        done = await run_command("upload", str(disk), "--server", server.url)
        self.assertEqual(done.code, 0, done.err)
        uri = done.out.strip()
        self.assertTrue(uri.startswith(f"{server.url}/images/"), uri)
        shown = await run_command("show", uri, "--json", "--server", server.url)
        self.assertEqual(shown.json["name"], "golden")
        self.assertEqual(shown.json["disk_format"], "qcow2")
        self.assertEqual(shown.json["size"], disk.stat().st_size)
        self.assertIn("256.0 KiB stored", done.err)

    async def test_options(self) -> None:
        """
        Everything that can be said of an image is.
        """
        server = await self.serve()
        disk = Path(self.mktemp())
        disk.write_bytes(b"disk")
        parent = await server.add(b"golden")
        options = {
            "--id": image_id(7),
            "--name": "größe 🐧",
            "--disk-format": "raw",
            "--container-format": "ovf",
            "--parent": parent,
        }
        done = await run_command(
            "upload",
            str(disk),
            *(text for pair in options.items() for text in pair),
            *("--public", "--property", "os=debian", "--property", "eq=a=b"),
            *("--json", "--server", server.url),
        )
        self.assertEqual(done.code, 0, done.err)
        found = done.json
        self.assertEqual(found["id"], image_id(7))
        self.assertEqual(found["name"], "größe 🐧")
        self.assertEqual(found["container_format"], "ovf")
        self.assertEqual(found["parent_id"], server.uri(parent))
        self.assertEqual(found["is_public"], True)
        self.assertEqual(found["properties"], {"os": "debian", "eq": "a=b"})
        self.assertEqual(found["uri"], server.uri(image_id(7)))

    async def test_format(self) -> None:
        """
        The format is told by the file, then by its name, unless it is given.
        """
        server = await self.serve()
        folder = Path(self.mktemp())
        folder.mkdir()
        make_qcow2(folder / "cloud.img")
        (folder / "disk.img").write_bytes(b"disk")
        for words, kind in (
            (("cloud.img",), "qcow2"),
            (("disk.img",), "raw"),
            (("disk.img", "--disk-format", "ploop"), "ploop"),
        ):
            done = await run_command(
                *("upload", str(folder / words[0]), *words[1:], "--json"),
                *("--server", server.url),
            )
            self.assertEqual(done.json["disk_format"], kind)

    async def test_wrong_format(self) -> None:
        """
        A file that is not what it is said to be is refused while it is sent, and it is
        said what it is.
        """
        server = await self.serve()
        disk = make_qcow2(self.mktemp() + ".qcow2", bytes(20 * 1024 * 1024))
        words = ("--disk-format", "raw", "--server", server.url)
        done = await run_command("upload", str(disk), *words)
        self.assertEqual(done.code, 1)
        self.assertIn("raw was declared, but the bytes are qcow2", done.err)
        self.assertEqual(server.pieces(), [])

    async def test_empty(self) -> None:
        """
        An empty file is stored as an empty piece, not left to wait for bytes.
        """
        server = await self.serve()
        disk = Path(self.mktemp() + ".raw")
        disk.write_bytes(b"")
        done = await run_command("upload", str(disk), "--json", "--server", server.url)
        self.assertEqual((done.json["status"], done.json["size"]), ("active", 0))

    async def test_backing_name(self) -> None:
        """
        An overlay that names its backing file is not sent; it is said what to do.
        """
        server = await self.serve()
        disk = make_qcow2(self.mktemp(), backing="/var/golden\x1b.qcow2")
        done = await run_command("upload", str(disk), "--server", server.url)
        self.assertEqual(done.code, 2)
        self.assertIn("/var/golden\\x1b.qcow2", done.err)
        self.assertIn('qemu-img rebase -u -f qcow2 -b ""', done.err)
        self.assertEqual(server.pieces(), [])

    async def test_refused(self) -> None:
        """
        A server that refuses is quoted, and the status is 1.
        """
        server = await self.serve()
        disk = Path(self.mktemp())
        disk.write_bytes(b"disk")
        done = await run_command(
            *("upload", str(disk), "--disk-format", "raw", "--server", server.url),
            *("--parent", f"http://other.example/images/{image_id(1)}"),
        )
        self.assertEqual(done.code, 1)
        self.assertIn("other.example", done.err)
        self.assertEqual(done.out, "")

    async def test_usage(self) -> None:
        """
        What cannot be meant is status 2, before any server is asked.
        """
        disk = Path(self.mktemp())
        disk.write_bytes(b"disk")
        for words in (
            ("upload",),
            ("upload", "no such file"),
            ("upload", str(disk)),
            ("upload", str(disk), "--id", "seven"),
            ("upload", str(disk), "--property", "os"),
            ("upload", str(disk), "--server", "somewhere"),
            ("show", "golden"),
            ("list", "--limit", "0"),
            ("list", "--trust", "ftp://x"),
            ("delete",),
            ("fly",),
        ):
            done = await run_command(*words)
            self.assertEqual((done.code, done.out), (2, ""), words)
            self.assertIn("Error:", done.err)


class LookingTests(ServerCase):
    """``glancetx list``, ``show`` and ``chain``"""

    async def test_list(self) -> None:
        """
        Images are listed newest first, filtered as asked, as a table or as JSON.
        """
        server = await self.serve()
        for number in range(3):
            await server.add(bytes(number + 1), name=f"image {number}")
        at = ("--server", server.url)
        done = await run_command("list", *at)
        heads, *lines = done.out.splitlines()
        self.assertEqual(heads.split(), "ID STATUS FORMAT SIZE PARENT NAME".split())
        self.assertEqual(
            [line.split()[1:] for line in lines],
            [
                ["active", "raw", "3", "B", "-", "image", "2"],
                ["active", "raw", "2", "B", "-", "image", "1"],
                ["active", "raw", "1", "B", "-", "image", "0"],
            ],
        )
        for options, names in (
            (("--limit", "2"), ["image 2", "image 1"]),
            (("--size-max", "2"), ["image 1", "image 0"]),
            (("--name", "image 1"), ["image 1"]),
            (("--property", "os=none"), []),
        ):
            done = await run_command("list", *options, *at, "--json")
            self.assertEqual([one["name"] for one in done.json], names)

    async def test_hostile_name(self) -> None:
        """
        A name that would steer the terminal is shown escaped.
        """
        server = await self.serve()
        image = await server.add(b"disk", name="a\u202eb")
        at = ("--server", server.url)
        for words in (("list",), ("show", image), ("chain", image)):
            done = await run_command(*words, *at)
            self.assertIn("a\\u202eb", done.out)
            self.assertNotIn("\u202e", done.out)

    async def test_show_unknown(self) -> None:
        """
        An id that the server does not know is status 1 and a sentence.
        """
        server = await self.serve()
        done = await run_command("show", image_id(1), "--server", server.url)
        self.assertEqual(done.code, 1)
        self.assertEqual(
            done.err, f"glancetx: no image {image_id(1)} on {server.url}\n"
        )

    async def test_chain(self) -> None:
        """
        A chain is drawn as a tree: each piece, its size, and where it is.
        """
        world = await self.serve()
        zone = await self.serve([world])
        golden = await world.add(bytes(2048), name="golden")
        middle = await zone.add(bytes(512), world.uri(golden), name="middle")
        top = await zone.add(b"top", middle)
        at = ("--server", zone.url)
        done = await run_command("chain", top, *at)
        self.assertEqual(
            done.out,
            f"{top}  raw  3 B  {zone.url}\n"
            f"└─ middle  raw  512 B  {zone.url}\n"
            f"   └─ golden  raw  2.0 KiB  {world.url}  leased\n"
            "2.5 KiB in one stream\n",
        )
        found = (await run_command("chain", top, *at, "--json")).json
        self.assertEqual(found["size"], 2563)
        self.assertEqual([one["id"] for one in found["chain"]], [top, middle, golden])
        self.assertEqual([one["offset"] for one in found["chain"]], [0, 3, 515])
        leases = [one["lease"] for one in found["chain"]]
        self.assertEqual(leases, [None, None, "held"])

    async def test_chain_unguarded(self) -> None:
        """
        Of a parent on another server it says if that may be deleted there.
        """
        image = Played(1, bytes(2048))
        glance = Loopback(reactor, Site(Glance(image)))
        self.addCleanup(glance.stop)
        zone = await self.serve([OriginConfig("glance", glance.url)])
        child = await zone.add(b"top", f"{glance.url}/v2/images/{image.id}")
        done = await run_command("chain", child, "--server", zone.url)
        self.assertEqual(
            done.out.splitlines()[1],
            f"└─ image 1  qcow2  2.0 KiB  {glance.url}  not guarded: impossible",
        )

    async def test_unreachable(self) -> None:
        """
        A server that is not there is status 3, and it is said how to name another.
        """
        self.patch(
            os, "environ", {**os.environ, "GLANCETX_SERVER": "http://127.0.0.1:1"}
        )
        done = await run_command("list")
        self.assertEqual(done.code, 3)
        self.assertIn("http://127.0.0.1:1 cannot be asked", done.err)

    async def test_not_trusted(self) -> None:
        """
        A URI of a server that was not named is not asked for.
        """
        server = await self.serve()
        uri = server.uri(image_id(1))
        done = await run_command("show", uri, "--server", "http://127.0.0.1:1")
        self.assertEqual(done.code, 1)
        self.assertIn("--trust", done.err)
        done = await run_command(
            "--server", "http://127.0.0.1:1", "--trust", server.url, "show", uri
        )
        self.assertIn(f"no image {image_id(1)}", done.err)


class DeleteTests(ServerCase):
    """``glancetx delete``"""

    async def test_several(self) -> None:
        """
        All that can be deleted are; what could not be is said, and the status is 1.
        """
        server = await self.serve()
        golden = await server.add(b"golden")
        child = await server.add(b"child", golden)
        at = ("--server", server.url)
        done = await run_command("delete", golden, image_id(1), child, *at)
        self.assertEqual((done.code, done.out.strip()), (1, child))
        self.assertIn(f"is the parent of {child}", done.err)
        self.assertIn(f"no image {image_id(1)}", done.err)
        done = await run_command("delete", golden, *at, "--json")
        self.assertEqual(done.json, {"deleted": [golden], "failed": []})
        self.assertEqual((done.code, server.pieces()), (0, []))


class UpkeepTests(ServerCase):
    """``glancetx scrub``"""

    def configure(self) -> str:
        """A configuration with a catalogue that is not there yet."""
        folder = Path(self.mktemp())
        folder.mkdir()
        file = folder / "glancetx.toml"
        file.write_text(
            '[catalogue]\nurl = "sqlite:///catalogue.sqlite"\n'
            '[stores.main]\nbackend = "filesystem"\npath = "pieces"\n'
        )
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        return str(file)

    async def test_scrub(self) -> None:
        """
        What nobody claims is removed; a catalogue that is not there is not made.
        """
        path = self.configure()
        done = await run_command("scrub", "--config", path)
        self.assertEqual(done.code, 1)
        self.assertIn("there is no catalogue", done.err)
        self.assertEqual(os.listdir(os.path.dirname(path)), ["glancetx.toml"])
        await run_command("db", "upgrade", "--config", path)
        done = await run_command("scrub", "--config", path)
        self.assertEqual(done.out, "0 removed, 0 kept, 0 failed\n")
        self.assertEqual(done.code, 0, done.err)

    async def test_bad_configuration(self) -> None:
        """
        A configuration that cannot be used is named with its key.
        """
        path = self.configure()
        Path(path).write_text("[server]\nlisten = 7\n")
        for words in (("scrub",), ("db", "check")):
            done = await run_command(*words, "--config", path)
            self.assertEqual(done.code, 1)
            self.assertIn(f"{path}: server.listen", done.err)
