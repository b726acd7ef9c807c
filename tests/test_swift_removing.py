# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift.removing``.
"""

from __future__ import annotations

from twisted.logger import capturedLogs

from glancetx.backends.swift.backend import SwiftBackend
from glancetx.backends.swift.writing import Writer
from glancetx.errors import NoSuchPiece, StoreUnavailable
from glancetx.testing import RecordingConsumer
from glancetx.testing.conformance.hooks import bytes_of

from .fake_swift_wire import Trouble
from .swift_case import KEY, MIB, SwiftCase

PIECE = f"glancetx-ab/{KEY}"
DATA = bytes_of(5 * MIB + 5)
GRACE = 3600


class RemovingCase(SwiftCase):
    """Removes what was written into the fake."""

    async def keep(self, backend: SwiftBackend, data: bytes = DATA) -> None:
        await (await self.write(backend, data)).finish()

    async def write(self, backend: SwiftBackend, data: bytes = DATA) -> Writer:
        writer = await backend.create(KEY, None)
        await writer.write(data)
        return writer

    def ends(self) -> list[float | None]:
        """When what is left goes."""
        return [one.delete_at for one in self.swift.objects().values()]


class AtOnceTests(RemovingCase):
    """Without a time of grace"""

    async def test_whole(self) -> None:
        """
        Swift removes a piece with its segments in one request.
        """
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend)
        await backend.remove(KEY)
        self.assertEqual(self.swift.objects(), {})
        self.assertEqual(self.swift.count("DELETE"), 1)

    async def test_plain(self) -> None:
        """
        A plain object is removed.
        """
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend, b"few bytes")
        await backend.remove(KEY)
        self.assertEqual(self.swift.objects(), {})

    async def test_half(self) -> None:
        """
        What Swift says in a 200 that it could not remove is removed one by one.
        """
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend)
        swift = self.swift
        whole = dict(swift.containers["glancetx-ab"])

        def come_back() -> None:
            swift.containers["glancetx-ab"].update(whole)

        report = "400 Bad Request"
        swift.troubles.append(Trouble("DELETE", KEY, report=report))
        swift.troubles.append(Trouble("DELETE", KEY, call=come_back))
        with capturedLogs() as events:
            await backend.remove(KEY)
        self.assertEqual(swift.objects(), {})
        self.assertIn(report, [event.get("status") for event in events])

    async def test_missing_segments(self) -> None:
        """
        A damaged piece is removed like any other.
        """
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend)
        self.swift.lose(f"{PIECE}/000002")
        await backend.remove(KEY)
        self.assertEqual(self.swift.objects(), {})

    async def test_own_reader(self) -> None:
        """
        Segments that this server's own reader needs go when he has them; should the
        server be killed before, they go by themselves.
        """
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        piece = backend.piece(KEY, len(DATA))
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await backend.remove(KEY)
        self.assertEqual(len(self.ends()), 6)
        self.assertNotIn(None, self.ends())
        consumer.on_write = None
        consumer.resume()
        await done
        await backend.settled()
        self.assertTrue(consumer.received == DATA)
        self.assertEqual(self.swift.objects(), {})


class GraceTests(RemovingCase):
    """With a time of grace"""

    async def test_segments_stay(self) -> None:
        """
        A piece is gone at once; its segments go by themselves after the time of grace.
        """
        backend = self.new_backend(grace_seconds=GRACE)
        await self.keep(backend)
        await backend.remove(KEY)
        self.assertNotIn(PIECE, self.swift.objects())
        self.assertEqual(self.ends(), [self.swift.now + GRACE] * 6)

    async def test_again(self) -> None:
        """
        Removing once more, by a server that starts, leaves them their time.
        """
        backend = self.new_backend(grace_seconds=GRACE)
        await self.keep(backend)
        await backend.remove(KEY)
        self.swift.now += 10
        await self.new_backend(grace_seconds=GRACE).remove(KEY)
        self.assertEqual(self.ends(), [self.swift.now - 10 + GRACE] * 6)

    async def test_reader_elsewhere(self) -> None:
        """
        The reader of another server has the time of grace.
        """
        backend = self.new_backend(grace_seconds=GRACE)
        await self.keep(backend)
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = backend.piece(KEY, len(DATA)).produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await self.new_backend(grace_seconds=GRACE).remove(KEY)
        consumer.on_write = None
        consumer.resume()
        await done
        self.assertTrue(consumer.received == DATA)

    async def test_no_end(self) -> None:
        """
        A segment that could not be given an end, since no server that knows it was
        there, is removed at once if it turns up.
        """
        backend = self.new_backend(grace_seconds=GRACE)
        await self.keep(backend)
        self.swift.troubles.append(Trouble("POST", "/000003", say=404))
        await backend.remove(KEY)
        self.assertNotIn(f"{PIECE}/000003", self.swift.objects())
        self.assertEqual(self.ends(), [self.swift.now + GRACE] * 5)

    async def test_killed_between(self) -> None:
        """
        A removal that ends in the middle still has its manifest: another finds all.
        """
        backend = self.new_backend(grace_seconds=GRACE)
        await self.keep(backend)
        self.swift.troubles.append(Trouble("POST", "/000003", times=99, say=503))
        with self.assertRaises(StoreUnavailable):
            await backend.remove(KEY)
        self.assertIn(PIECE, self.swift.objects())
        self.swift.troubles.clear()
        await self.new_backend(grace_seconds=GRACE).remove(KEY)
        self.assertEqual(self.ends(), [self.swift.now + GRACE] * 6)


class SweepingTests(RemovingCase):
    """What killed writers left"""

    async def test_all_pages(self) -> None:
        """
        Segments without a manifest are removed at once, over all pages of the list.
        """
        self.swift.page = 2
        writer = await self.write(self.new_backend())
        writer._cut()
        await self.new_backend(grace_seconds=GRACE).remove(KEY)
        self.assertEqual(self.swift.objects(), {})
        self.assertGreaterEqual(self.swift.count("GET", "/glancetx-ab"), 3)

    async def test_not_listed(self) -> None:
        """
        Segments that no list has yet are found by their numbers.
        """
        self.swift.lagging = True
        writer = await self.write(self.new_backend())
        writer._cut()
        await self.new_backend().remove(KEY)
        self.assertEqual(self.swift.objects(), {})

    async def test_manifest_not_listed(self) -> None:
        """
        So are manifests of segments, if a writer was killed before the last.
        """
        self.swift.lagging, self.swift.entries = True, 2
        writer = await self.write(self.new_backend())
        report = "400 Bad Request"
        self.swift.troubles.append(Trouble("PUT", "/part-000003", 3, report=report))
        with self.assertRaises(StoreUnavailable):
            await writer.finish()
        self.assertIn(f"{PIECE}/part-000002", self.swift.objects())
        del self.swift.containers["glancetx-ab"][f"{KEY}/part-000003"]
        await self.new_backend().remove(KEY)
        self.assertEqual(self.swift.objects(), {})

    async def test_others(self) -> None:
        """
        What belongs to other keys stays.
        """
        backend = self.new_backend()
        other = "ab" + "0" * 29 + "1"
        writer = await backend.create(other, 3)
        await writer.write(b"abc")
        await writer.finish()
        await self.keep(backend)
        await backend.remove(KEY)
        self.assertEqual(self.left(), [f"glancetx-ab/{other}"])

    async def test_ghost(self) -> None:
        """
        What a replica kept that missed the removal is not read, and no list brings
        anything back.
        """
        swift = self.swift
        swift.haunted = swift.ghosts = True
        backend = self.new_backend(grace_seconds=0)
        await self.keep(backend)
        await backend.remove(KEY)
        await backend.remove(KEY)
        with self.assertRaises(NoSuchPiece):
            piece = backend.piece(KEY, len(DATA))
            await piece.produce(RecordingConsumer(), 0, len(DATA))

    async def test_unavailable(self) -> None:
        """
        A removal that could not be done says so.
        """
        backend = self.new_backend()
        await self.keep(backend, b"few bytes")
        self.swift.troubles.append(Trouble("DELETE", KEY, times=99, say=503))
        with self.assertRaises(StoreUnavailable):
            await backend.remove(KEY)

    async def test_no_key(self) -> None:
        """
        What is no key names nothing in the cluster.
        """
        for name in ("", "AB" + KEY[2:], f"{KEY}/", "../" + KEY):
            with self.assertRaises(ValueError):
                await self.new_backend().remove(name)
