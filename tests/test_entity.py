# Copyright glancetx contributors. See LICENSE for details.

"""
Every shape of range, on every layout, against plain concatenation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from glancetx import layouts
from glancetx.image import Digest, Image, Location, Pin, Status, Visibility
from glancetx.layouts import Layout, Manifest
from glancetx.limits import Limits
from glancetx.streaming.gather import Local, read
from glancetx.streaming.player import Player
from glancetx.testing.memory import MemoryPiece, Shelf
from glancetx.web.entity import Sender
from glancetx.web.request import Request

from .properties import untimed
from .wire import Memory, get

NOW = datetime(2026, 11, 23, tzinfo=UTC)

Span = tuple[int | None, int | None]

spans: st.SearchStrategy[Span] = st.tuples(
    st.none() | st.integers(0, 4000), st.none() | st.integers(0, 4000)
).filter(lambda span: span != (None, None))
kinds = st.sampled_from(["own", "stream", "tar"])
chains = st.lists(st.binary(max_size=700), min_size=1, max_size=4)


class InlinePlayer(Player):
    """Reads what is at hand at once: there are no files here."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]

    def read(self, job: Sequence[Local]) -> Deferred[bytes]:
        return succeed(read(job))


def make_layout(kind: str, chain: Sequence[bytes]) -> Layout:
    """A layout of these pieces, child first."""
    shelf = Shelf()
    pins = []
    pieces = []
    for number, data in enumerate(chain):
        key = f"{number:032x}"
        shelf.pieces[key] = data
        pieces.append(MemoryPiece(shelf, key, len(data)))
        digest = Digest("sha256", hashlib.sha256(data).hexdigest())
        pins.append(Pin(None, key, "", None, "raw", len(data), None, None, digest))
    image = Image(
        id="child",
        status=Status.ACTIVE,
        visibility=Visibility.PRIVATE,
        created_at=NOW,
        updated_at=NOW,
        stored_at=NOW,
        disk_format="raw",
        parents=tuple(pins[1:]),
        size=len(chain[0]),
        digest=pins[0].digest,
        location=Location("main", "0" * 32),
    )
    if kind == "own":
        return layouts.own(image, pieces[0])
    if kind == "stream":
        return layouts.stream(image, pieces)
    return layouts.tar(image, pieces, Manifest(image, lambda pin: pin.image_id))


def fetch(layout: Layout, *headers: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """What a site in memory answers to a GET of a layout."""
    sender = Sender(InlinePlayer(), Limits(), open_door=True)

    async def answer(request: Request) -> None:
        body = await sender.send(request, layout, {})
        if body is not None:
            request.write(body)
        request.finish()

    line = Memory(answer).connect()
    line.send(get(b"/", b"GET", *headers))
    head, _, body = line.received().partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    found = dict(one.split(b": ", 1) for one in lines)
    assert int(found[b"Content-Length"]) == len(body)
    return int(first.split(b" ")[1]), found, body


def cut(span: Span, size: int) -> tuple[int, int]:
    """A reference: where a range begins and ends (RFC 9110, 14.1.2)."""
    first, last = span
    if first is None:
        return size - min(size, last or 0), size
    return first, size if last is None else min(size, last + 1)


def written(span: Span) -> bytes:
    """A range as it stands in a header."""
    return "-".join("" if end is None else str(end) for end in span).encode("ascii")


class RangeTests(SynchronousTestCase):
    """``Range`` on own bytes, streams and archives."""

    @untimed
    @given(
        st.sampled_from(["own", "stream", "tar"]), chains, st.lists(spans, min_size=1)
    )
    def test_ranges(self, kind: str, chain: list[bytes], wanted: list[Span]) -> None:
        """
        What is sent is what the ranges are of the body as a whole.
        """
        layout = make_layout(kind, chain)
        code, _, whole = fetch(layout)
        self.assertEqual((code, len(whole)), (200, layout.segments.length))
        if kind == "stream":
            self.assertEqual(whole, b"".join(chain))
        header = b"Range: bytes=" + b", ".join(map(written, wanted))
        code, headers, body = fetch(layout, header)
        if self.is_ignored(wanted):
            self.assertEqual((code, body), (200, whole))
            return
        cuts = [cut(span, len(whole)) for span in wanted]
        cuts = [(start, stop) for start, stop in cuts if start < stop]
        if not cuts:
            self.assertEqual(code, 416)
            self.assertEqual(headers[b"Content-Range"], b"bytes */%d" % len(whole))
            return
        self.assertEqual(code, 206)
        self.assertEqual(self.parts(headers, body), self.expected(cuts, whole))

    def is_ignored(self, wanted: list[Span]) -> bool:
        """Too many ranges, or one that ends before it begins (RFC 9110, 14.1.1)."""
        backwards = any(None not in span and span[1] < span[0] for span in wanted)  # type: ignore[operator]
        return len(wanted) > Limits().ranges or backwards

    def expected(
        self, cuts: list[tuple[int, int]], whole: bytes
    ) -> list[tuple[bytes, bytes]]:
        size = len(whole)
        return [
            (b"bytes %d-%d/%d" % (start, stop - 1, size), whole[start:stop])
            for start, stop in cuts
        ]

    def parts(
        self, headers: dict[bytes, bytes], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """The ranges of an answer, each with what it says it is."""
        if b"Content-Range" in headers:
            return [(headers[b"Content-Range"], body)]
        kind, _, boundary = headers[b"Content-Type"].partition(b"; boundary=")
        self.assertEqual(kind, b"multipart/byteranges")
        empty, *parts, end = body.split(b"\r\n--" + boundary)
        self.assertEqual((empty, end), (b"", b"--\r\n"))
        found = []
        for part in parts:
            head, _, data = part.partition(b"\r\n\r\n")
            match = re.search(rb"\r\nContent-Range: ([^\r]+)", head)
            assert match is not None
            found.append((match[1], data))
        return found
