# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.swift.writing`` and what it stands on.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.swift import segment as segment_module
from glancetx.backends.swift.names import Names
from glancetx.backends.swift.plan import Bounds, Plan
from glancetx.backends.swift.sums import Sum, md5
from glancetx.backends.swift.writing import Writer
from glancetx.errors import StoreFull, StoreUnavailable
from glancetx.testing import RecordingConsumer, inline_tools
from glancetx.testing.conformance.hooks import bytes_of

from .fake_swift_wire import Trouble
from .swift_case import KEY, MIB, SwiftCase

GIB = 1024 * MIB
TURNS = 50
PIECE = f"glancetx-ab/{KEY}"


class NamesTests(SynchronousTestCase):
    """``Names``"""

    def test_containers(self) -> None:
        """
        A key's container is told by its first two digits; there are 256.
        """
        names = Names("images-")
        self.assertEqual(names.container(KEY), "images-ab")
        self.assertEqual(len(set(names.containers())), 256)
        self.assertIn("images-ab", names.containers())

    def test_segments(self) -> None:
        """
        All that belongs to a piece lies beside it, under its key.
        """
        names = Names("images-")
        self.assertEqual(names.piece(KEY), f"images-ab/{KEY}")
        self.assertEqual(names.segment(KEY, 1), f"images-ab/{KEY}/000001")
        self.assertEqual(names.part(KEY, 2), f"images-ab/{KEY}/part-000002")


class PlanTests(SynchronousTestCase):
    """``Plan``"""

    def test_usual(self) -> None:
        """
        Segments have the size that the configuration says.
        """
        self.assertEqual(Plan(10 * GIB, 256 * MIB).length(1), 256 * MIB)
        self.assertEqual(Plan(None, 256 * MIB).length(500), 256 * MIB)

    def test_single(self) -> None:
        """
        What is not larger than one segment is one object; so is what is empty.
        """
        for size, single in ((0, True), (MIB, True), (MIB + 1, False), (None, False)):
            self.assertEqual(Plan(size, MIB).single, single)

    def test_large(self) -> None:
        """
        A large piece has larger segments, 900 at most.
        """
        plan = Plan(GIB * 1024, 256 * MIB)
        self.assertLessEqual(plan.length(1) * 899, GIB * 1024)
        self.assertGreaterEqual(plan.length(1) * 900, GIB * 1024)

    def test_bounds(self) -> None:
        """
        No segment is larger than an object may be.
        """
        bounds = Bounds(object_size=1000)
        self.assertEqual(Plan(10**9, 10**6, bounds).length(1), 1000)
        self.assertFalse(Plan(1001, 10**6, bounds).single)

    def test_growth(self) -> None:
        """
        Of a piece whose size is not known the segments grow after the 500th: 5 TiB are
        three manifests' worth.
        """
        plan, left, number = Plan(None, 256 * MIB), 5 * 1024 * GIB, 0
        while left > 0:
            number += 1
            left -= plan.length(number)
        self.assertLess(number, 3000)


class SumTests(SynchronousTestCase):
    """``Sum``"""

    def test_sum(self) -> None:
        """
        Bytes that come in parts have the sum of all.
        """
        found = Sum(inline_tools())
        data = bytes_of(3 * MIB)
        for start in range(0, len(data), 100_000):
            found.update(data[start : start + 100_000])
        result = self.successResultOf(Deferred.fromCoroutine(found.finish()))
        self.assertEqual(result, md5(data))


class WriterCase(SwiftCase):
    """Writes into the fake."""

    async def create(self, size: int | None = None, **options: Any) -> Writer:
        return await self.new_backend(**options).create(KEY, size)

    async def write(
        self, data: bytes, size: int | None = None, step: int = 300_000, **options: Any
    ) -> Writer:
        """Write a piece; the one who calls finishes it."""
        writer = await self.create(size, **options)
        for start in range(0, len(data), step):
            await writer.write(data[start : start + step])
        return writer

    async def check_kept(self, data: bytes) -> None:
        """A reader gets what was written."""
        consumer = RecordingConsumer()
        piece = self.new_backend().piece(KEY, len(data))
        await piece.produce(consumer, 0, len(data))
        self.assertTrue(consumer.received == data)

    async def check_nothing(self, writer: Writer) -> None:
        """An abort leaves nothing."""
        await writer.abort()
        self.assertEqual(self.swift.objects(), {})

    def sizes(self) -> list[int]:
        """Of all segments."""
        objects = sorted(self.swift.objects().items())
        return [len(one.data) for path, one in objects if path.startswith(f"{PIECE}/")]


class ShapeTests(WriterCase):
    """What lies in the cluster"""

    async def test_small(self) -> None:
        """
        A small piece is one plain object, whose sum goes along.
        """
        data = bytes_of(1000)
        await (await self.write(data)).finish()
        self.assertEqual(list(self.swift.objects()), [PIECE])
        (put,) = [one for one in self.swift.asked if one.path.endswith(KEY)]
        self.assertEqual(put.headers["etag"], md5(data))
        await self.check_kept(data)

    async def test_one_segment(self) -> None:
        """
        A piece that is known not to be larger than a segment is a plain object.
        """
        data = bytes_of(3 * MIB)
        await (await self.write(data, len(data), segment_size=3 * MIB)).finish()
        self.assertEqual(list(self.swift.objects()), [PIECE])
        await self.check_kept(data)

    async def test_last_byte(self) -> None:
        """
        A plain object's last byte waits for the end, which alone makes it readable.
        """
        data = bytes_of(3 * MIB)
        writer = await self.write(data, len(data), segment_size=3 * MIB)
        await self.new_backend().remove("ab" + "1" * 30)  # time goes by
        self.assertEqual(self.swift.objects(), {})
        await self.check_nothing(writer)

    async def test_segments(self) -> None:
        """
        A larger piece is segments and a manifest, in one container.
        """
        data = bytes_of(2 * MIB + 5)
        await (await self.write(data, len(data))).finish()
        self.assertEqual(self.sizes(), [MIB, MIB, 5])
        self.assertEqual(self.swift.objects()[PIECE].data, b"")
        await self.check_kept(data)

    async def test_unknown_size(self) -> None:
        """
        Segments whose end is not known are sent in chunks.
        """
        data = bytes_of(2 * MIB)
        await (await self.write(data)).finish()
        self.assertEqual(self.sizes(), [MIB, MIB])
        await self.check_kept(data)

    async def test_nested(self) -> None:
        """
        More segments than fit into a manifest are put into several.
        """
        self.swift.entries = 2
        data = bytes_of(4 * MIB + 1)
        await (await self.write(data, len(data))).finish()
        await self.check_kept(data)
        await self.new_backend(grace_seconds=0).remove(KEY)
        self.assertEqual(self.swift.objects(), {})

    async def test_longest_manifest(self) -> None:
        """
        Manifests have no more segments than are usual, though more were allowed: their
        own length has a bound, too.
        """
        for entries, most in ((100_000, 1000), (10, 10)):
            self.swift.entries = entries
            writer = await self.create()
            self.assertEqual(writer._plan.bounds.entries, most)

    async def test_wrong_size(self) -> None:
        """
        A piece that has not the promised size is not kept.
        """
        writer = await self.create(10)
        await self.assertFailure(writer.write(b"more than ten bytes"), ValueError)
        writer = await self.create(10)
        await writer.write(b"few")
        await self.assertFailure(writer.finish(), ValueError)
        await self.check_nothing(writer)

    async def test_policy(self) -> None:
        """
        Containers are made with the store's storage policy.
        """
        await self.create(0, policy="gold")
        self.assertEqual(self.swift.policies, {"glancetx-ab": "gold"})

    async def test_unknown_policy(self) -> None:
        """
        A policy that the cluster does not know lets no piece begin.
        """
        with self.assertRaises(StoreUnavailable):
            await self.create(0, policy="lead")

    async def test_all_containers(self) -> None:
        """
        A backend that starts makes the containers that are missing, once.
        """
        await self.new_backend().start()
        self.assertEqual(len(self.swift.containers), 256)
        await self.new_backend().start()
        self.assertEqual(self.swift.count("PUT"), 256)


class TroubleTests(WriterCase):
    """What happens when the cluster fails"""

    data = bytes_of(3 * MIB + 5)

    async def check_broken(
        self, *errors: type[Exception], size: int | None = None
    ) -> Writer:
        """Write until it fails; nothing is left behind."""
        writer = await self.create(size)
        with self.assertRaises(errors):
            for start in range(0, len(self.data), MIB):
                await writer.write(self.data[start : start + MIB])
            await writer.finish()
        await self.check_nothing(writer)
        return writer

    async def test_wrong_etag(self) -> None:
        """
        A segment that was stored as something else fails the upload, and is named.
        """
        self.swift.troubles.append(Trouble("PUT", "/000002", etag="0" * 32))
        with capturedLogs() as events:
            await self.check_broken(StoreUnavailable)
        found = [event for event in events if "expected" in event]
        self.assertEqual([event["path"] for event in found], [f"{PIECE}/000002"])

    async def test_cut(self) -> None:
        """
        A segment of which much was sent cannot be sent again: the upload fails.
        """
        self.patch(segment_module, "REPLAY", 1000)
        self.swift.troubles.append(Trouble("PUT", "/000002", cut=900_000))
        await self.check_broken(StoreUnavailable)
        self.assertEqual(self.swift.count("PUT", "/000002"), 1)

    async def test_cut_early(self) -> None:
        """
        A segment of which little was sent is sent again, by another proxy.
        """
        self.swift.troubles.append(Trouble("PUT", "/000002", cut=10))
        await (await self.write(self.data, len(self.data))).finish()
        first, second = [o for o in self.swift.asked if o.path.endswith("/000002")]
        self.assertNotEqual(first.proxy, second.proxy)
        await self.check_kept(self.data)

    async def test_refused_early(self) -> None:
        """
        A proxy that says no before it has read a segment is not the last word.
        """
        for say in (503, 401, 408):
            self.swift.troubles.append(Trouble("PUT", "/000002", say=say))
        await (await self.write(self.data)).finish()
        await self.check_kept(self.data)

    async def test_lost_token(self) -> None:
        """
        A token that ends between two segments is seen before the next is sent.
        """
        writer = await self.create(len(self.data))
        await writer.write(self.data[:MIB])
        self.swift.tokens.clear()
        await writer.write(self.data[MIB:])
        await writer.finish()
        refused = [one for one in self.swift.asked if one.method == "PUT"]
        self.assertEqual(len([o for o in refused if "/0000" in o.path]), 4)
        await self.check_kept(self.data)

    async def test_dead_proxy(self) -> None:
        """
        A proxy that dies between two segments is replaced by the other.
        """
        writer = await self.create(len(self.data))
        await writer.write(self.data[:MIB])
        await self.swift.kill_proxy(1)
        await writer.write(self.data[MIB:])
        await writer.finish()
        await self.check_kept(self.data)

    async def test_container_gone(self) -> None:
        """
        A container that somebody removed while it was empty is made again.
        """
        backend = self.new_backend()
        for data in (self.data, b"few bytes"):
            writer = await backend.create(KEY, len(data))
            self.swift.containers.clear()
            await writer.write(data)
            await writer.finish()
            await self.check_kept(data)

    async def test_full(self) -> None:
        """
        A cluster without room is a full store.
        """
        self.swift.troubles.append(Trouble("PUT", "/000002", say=507))
        await self.check_broken(StoreFull, size=len(self.data))

    async def test_refused_manifest(self) -> None:
        """
        A manifest that is refused behind a 202 is not a piece, however often.
        """
        report = "400 Bad Request"
        self.swift.troubles.append(Trouble("PUT", KEY, 3, skip=4, report=report))
        with capturedLogs() as events:
            await self.check_broken(StoreUnavailable)
        found = [event["status"] for event in events if "errors" in event]
        self.assertEqual(found, [report] * 3)

    async def test_manifest_again(self) -> None:
        """
        A manifest that could not be checked just then is sent again.
        """
        report = "503 Service Unavailable"
        self.swift.troubles.append(Trouble("PUT", KEY, skip=4, report=report))
        await (await self.write(self.data)).finish()
        await self.check_kept(self.data)

    async def test_other_length(self) -> None:
        """
        A piece that is not there as it was written is not kept.
        """

        def replace() -> None:
            self.swift.objects()[PIECE].manifest = []

        self.swift.troubles.append(Trouble("HEAD", KEY, call=replace))
        await self.check_broken(StoreUnavailable)

    async def test_late_segment(self) -> None:
        """
        What is aborted does not come back, though its last request arrives late.
        """
        writer = await self.write(self.data)
        await writer.abort()
        self.assertEqual(self.swift.objects(), {})
        self.assertGreaterEqual(self.swift.count("DELETE", KEY), 3)

    async def test_two_aborts(self) -> None:
        """
        Two who abort at the same time do not disturb each other.
        """
        writer = await self.write(self.data)
        await gatherResults([writer.abort(), writer.abort()], consumeErrors=True)
        self.assertEqual(self.swift.objects(), {})

    async def test_abort_lists_nothing(self) -> None:
        """
        An abort needs no listing, which may not yet have what was written.
        """
        writer = await self.write(self.data)
        self.swift.asked.clear()
        await writer.abort()
        self.assertEqual({one.method for one in self.swift.asked}, {"DELETE"})

    async def test_back_pressure(self) -> None:
        """
        A cluster that takes nothing lets the source wait.
        """
        self.swift.deaf = True
        writer = await self.create(64 * MIB, segment_size=64 * MIB)
        for written in range(32):
            writing = writer.write(self.data[:MIB])
            for _ in range(TURNS):
                await deferLater(reactor, 0)
            if written and not writing.called:
                break
        self.assertFalse(writing.called)
        await writer.abort()
        await self.assertFailure(writing, Exception)
