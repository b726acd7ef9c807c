# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.layouts`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.errors import WrongState
from glancetx.image import Digest, Image, Location, Pin, Status, Visibility
from glancetx.interfaces import IPiece
from glancetx.layouts import Layout, Manifest, own, own_etag, stream, tar
from glancetx.streaming.segments import Literal, Slice

from .properties import untimed
from .test_segments import Held, plain

NOON = datetime(2020, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2020, 11, 23, 13, 0, 7, 900_000, tzinfo=UTC)
GIB = 2**30


def image_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def uri(pin: Pin) -> str:
    return f"{pin.origin or 'http://zone.example.com'}/images/{pin.image_id}"


def make_image(sizes: Sequence[int], name: str | None = "snapshot") -> Image:
    """An image and its parents, whose digests tell only which they are."""
    parents = tuple(
        Pin(
            origin="http://global.example.com",
            image_id=image_id(number),
            path=f"/images/{image_id(number)}",
            name=f"parent {number}",
            disk_format="qcow2",
            size=size,
            virtual_size=2 * size,
            checksum=None,
            digest=Digest("sha512", f"{number:0128x}"),
        )
        for number, size in enumerate(sizes[1:], 1)
    )
    return Image(
        id=image_id(0),
        status=Status.ACTIVE,
        visibility=Visibility.PRIVATE,
        created_at=NOON,
        updated_at=NOON,
        stored_at=LATER,
        name=name,
        disk_format="raw",
        parents=parents,
        size=sizes[0],
        virtual_size=sizes[0],
        checksum="2" * 32,
        digest=Digest("sha256", "0" * 64),
        location=Location("main", "0" * 32),
    )


@implementer(IPiece)
@frozen(eq=False)
class Sized:
    """A piece of any size, of which there is not one byte."""

    size: int

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        raise NotImplementedError("nothing is read here")


def body(layout: Layout) -> bytes:
    """A layout's bytes, by the index."""
    segments = layout.segments
    return b"".join(map(plain, segments.cut(0, segments.length)))


class PlainTests(SynchronousTestCase):
    """``own`` and ``stream``"""

    def setUp(self) -> None:
        self.image = make_image([3, 5])
        self.pieces = [Held(b"abc"), Held(b"12345")]

    def test_own(self) -> None:
        """
        An image's own bytes are its piece, with its digest as ETag.
        """
        layout = own(self.image, self.pieces[0])
        self.assertEqual(body(layout), b"abc")
        self.assertEqual(layout.kind, "own")
        self.assertEqual(layout.etag, b'"sha256-%s"' % (b"0" * 64))
        self.assertEqual(layout.digest, self.image.digest)
        self.assertEqual(layout.media_type, b"application/octet-stream")
        self.assertEqual(layout.modified, LATER)
        self.assertFalse(layout.public)

    def test_stream(self) -> None:
        """
        A stream is the pieces end to end; of the whole no digest is known.
        """
        layout = stream(self.image, self.pieces)
        self.assertEqual(body(layout), b"abc12345")
        self.assertEqual(layout.kind, "stream")
        self.assertRegex(layout.etag, rb'\A"stream-[0-9a-f]{64}"\Z')
        self.assertIsNone(layout.digest)
        self.assertEqual(layout.media_type, b"application/octet-stream")
        self.assertEqual(layout.modified, LATER)

    def test_public(self) -> None:
        """
        A layout is public if its image is.
        """
        image = evolve(self.image, visibility=Visibility.PUBLIC)
        self.assertTrue(own(image, self.pieces[0]).public)
        self.assertTrue(stream(image, self.pieces).public)

    def test_no_bytes(self) -> None:
        """
        An image without bytes has no layout.
        """
        image = evolve(self.image, status=Status.QUEUED)
        self.assertRaises(WrongState, own, image, self.pieces[0])
        self.assertRaises(WrongState, stream, image, self.pieces)
        self.assertRaises(WrongState, Manifest, image, uri)

    def test_own_etag(self) -> None:
        """
        The ETag of own bytes can be told from their digest, wherever they are.
        """
        self.assertEqual(own_etag(Digest("sha512", "ab")), b'"sha512-ab"')

    def test_etags(self) -> None:
        """
        Every layout of every chain has an ETag of its own, which metadata do not
        change, but in the archive, that shows them.
        """
        other = evolve(self.image, digest=Digest("sha256", "1" * 64))
        images = [self.image, other, evolve(self.image, parents=())]
        etags = {
            self.etag(kind, image) for kind in ("stream", "tar") for image in images
        }
        self.assertEqual(len(etags), 6)
        renamed = evolve(self.image, name="other", updated_at=LATER)
        self.assertEqual(self.etag("stream", renamed), self.etag("stream", self.image))
        self.assertNotEqual(self.etag("tar", renamed), self.etag("tar", self.image))
        self.assertEqual(self.etag("tar", self.image), self.etag("tar", self.image))

    def etag(self, kind: str, image: Image) -> bytes:
        pieces = self.pieces[: 1 + len(image.parents)]
        if kind == "stream":
            return stream(image, pieces).etag
        return tar(image, pieces, Manifest(image, uri)).etag


class TarTests(SynchronousTestCase):
    """``tar`` and ``Manifest``"""

    def archive(self, *pieces: bytes) -> bytes:
        self.image = make_image([len(piece) for piece in pieces])
        self.manifest = Manifest(self.image, uri)
        held = [Held(piece) for piece in pieces]
        self.layout = tar(self.image, held, self.manifest)
        return body(self.layout)

    def test_python(self) -> None:
        """
        Python reads the manifest first, then every piece under its name.
        """
        pieces = [b"a" * 700, b"", b"c" * 512, b"d"]
        archive = tarfile.open(fileobj=io.BytesIO(self.archive(*pieces)))
        names = ["manifest.json", "0.raw", "1.qcow2", "2.qcow2", "3.qcow2"]
        self.assertEqual(archive.getnames(), names)
        found = [archive.extractfile(name) for name in names]
        manifest, *contents = [one.read() for one in found if one is not None]
        self.assertEqual(json.loads(manifest), self.manifest.document)
        self.assertEqual(contents, pieces)
        for member in archive:
            self.assertTrue(member.isreg())
            self.assertEqual(member.mtime, int(LATER.timestamp()))
            self.assertEqual((member.mode, member.uid), (0o644, 0))

    def test_gnu(self) -> None:
        """
        GNU tar unpacks it without a complaint.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        pieces = [b"a" * 700, b"", b"c" * 512, b"d"]
        done = run_tar(["-xf-", "-C", folder], self.archive(*pieces))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for number, kind in enumerate(["raw", "qcow2", "qcow2", "qcow2"]):
            with open(os.path.join(folder, f"{number}.{kind}"), "rb") as file:
                self.assertEqual(file.read(), pieces[number])

    def test_shape(self) -> None:
        """
        The archive is whole blocks, with two empty ones at its end (POSIX, pax).
        """
        archive = self.archive(b"abc", b"defg")
        self.assertEqual(len(archive) % 512, 0)
        self.assertEqual(archive[-1024:], bytes(1024))
        self.assertEqual(self.layout.media_type, b"application/x-tar")
        self.assertEqual(self.layout.kind, "tar")
        self.assertRegex(self.layout.etag, rb'\A"tar-[0-9a-f]{64}"\Z')
        self.assertIsNone(self.layout.digest)

    def test_manifest(self) -> None:
        """
        The manifest has all that is known of each piece.
        """
        manifest = Manifest(make_image([700, 5]), uri).document
        child, parent = manifest["chain"]
        offset = child.pop("tar_offset")
        self.assertEqual(
            child,
            {
                "id": image_id(0),
                "uri": f"http://zone.example.com/images/{image_id(0)}",
                "name": "snapshot",
                "disk_format": "raw",
                "size": 700,
                "virtual_size": 700,
                "checksum": "2" * 32,
                "os_hash_algo": "sha256",
                "os_hash_value": "0" * 64,
                "offset": 0,
            },
        )
        self.assertEqual(parent["tar_offset"], offset + 1024 + 512)
        self.assertEqual(parent["offset"], 700)
        self.assertEqual(parent["checksum"], None)
        self.assertEqual(parent["os_hash_algo"], "sha512")
        self.assertEqual(
            parent["uri"], f"http://global.example.com/images/{image_id(1)}"
        )
        self.assertEqual(manifest["size"], 705)

    @untimed
    @given(
        st.lists(st.integers(0, 2**50), min_size=1, max_size=64),
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=255),
    )
    def test_offsets(self, sizes: list[int], name: str | None) -> None:
        """
        Of any chain, the offsets are those at which the pieces really are.
        """
        image = make_image(sizes, name)
        manifest = Manifest(image, uri)
        pieces = [Sized(size) for size in sizes]
        for key, layout in [
            ("offset", stream(image, pieces)),
            ("tar_offset", tar(image, pieces, manifest)),
        ]:
            entries = manifest.document["chain"]
            for piece, entry in zip(pieces, entries, strict=True):
                place = entry[key]
                if piece.size:
                    cut = layout.segments.cut(place, place + piece.size)
                    self.assertEqual(cut, [Slice(piece, 0, piece.size)])
        self.assertEqual(manifest.document["size"], sum(sizes))
        self.assertEqual(manifest.document["tar_size"], layout.segments.length)
        self.check_member(manifest)

    def test_offsets_that_move(self) -> None:
        """
        The manifest stands before the pieces whose offsets it tells: it is right also
        where one more digit makes it a block longer.
        """
        lengths = set()
        for letters in range(512):
            image = make_image([3, 5], "x" * letters)
            pieces = [Sized(3), Sized(5)]
            manifest = Manifest(image, uri)
            layout = tar(image, pieces, manifest)
            for piece, entry in zip(pieces, manifest.document["chain"], strict=True):
                place = entry["tar_offset"]
                cut = layout.segments.cut(place, place + piece.size)
                self.assertEqual(cut, [Slice(piece, 0, piece.size)])
            self.check_member(manifest)
            lengths.add(len(manifest.member))
        self.assertEqual(len(lengths), 2)

    def check_member(self, manifest: Manifest) -> None:
        """The archive's first member says the same as the document."""
        archive = tarfile.open(fileobj=io.BytesIO(manifest.member + bytes(1024)))
        file = archive.extractfile("manifest.json")
        assert file is not None
        self.assertEqual(json.loads(file.read()), manifest.document)
        self.assertEqual(len(manifest.member) % 512, 0)

    def test_huge(self) -> None:
        """
        Pieces over 8 GiB, whose size a plain header cannot say, are read by all.
        """
        sizes = [8 * GIB - 1, 8 * GIB, 8 * GIB + 1, 100 * GIB, 3]
        path = self.sparse(sizes)
        names = ["0.raw", *(f"{number}.qcow2" for number in range(1, 5))]
        with tarfile.open(path) as archive:
            found = [(member.name, member.size) for member in archive][1:]
        self.assertEqual(found, list(zip(names, sizes, strict=True)))
        done = run_tar(["-tv", "--seek", "-f", path])
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        listed = [line.split() for line in done.stdout.decode().splitlines()][1:]
        self.assertEqual([(row[-1], int(row[2])) for row in listed], found)

    def sparse(self, sizes: list[int]) -> str:
        """An archive in a file that is nearly all hole."""
        image = make_image(sizes)
        pieces = [Sized(size) for size in sizes]
        layout = tar(image, pieces, Manifest(image, uri))
        path: str = self.mktemp()
        offset = 0
        with open(path, "wb") as file:
            for segment in layout.segments.cut(0, layout.segments.length):
                if isinstance(segment, Literal):
                    file.seek(offset)
                    file.write(segment.data)
                offset += segment.length
            file.truncate(offset)
        return path

    def test_pieces_missing(self) -> None:
        """
        A chain whose pieces are not all there has no archive.
        """
        image = make_image([3, 5])
        with self.assertRaises(ValueError):
            tar(image, [Held(b"abc")], Manifest(image, uri))


def run_tar(
    arguments: list[str], data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run GNU tar, which every Debian has."""
    command = ["tar", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False)
