# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.uploads`.
"""

from __future__ import annotations

import gc
import hashlib
from datetime import UTC, datetime

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glancetx.errors import BadValue, BodyLost, StoreFull, WrongFormat
from glancetx.image import Digest, Image, Status, Visibility
from glancetx.interfaces import IPieceWriter
from glancetx.library.uploads import Expected, Received, Uploads
from glancetx.streaming.digest import BACKLOG, Digests

from .chain_records import pin
from .disks import GIB, qcow2_disk
from .properties import untimed
from .threads import ManualThreads, ThreadClock

DATA = b"0123456789"
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
RAW = Image(
    id="11111111-1111-4111-8111-111111111111",
    status=Status.QUEUED,
    visibility=Visibility.PRIVATE,
    created_at=NOW,
    updated_at=NOW,
    disk_format="raw",
    container_format="bare",
)
QCOW2 = evolve(RAW, disk_format="qcow2")


class Client:
    """
    A source that has what it is given.

    :ivar reads: how often it was asked.
    """

    def __init__(self, *chunks: bytes) -> None:
        self.length: int | None = None
        self.reads = 0
        self._chunks: list[bytes | Exception] = list(chunks)
        self._waiting: Deferred[None] | None = None

    async def read(self) -> bytes:
        self.reads += 1
        while not self._chunks:
            self._waiting = Deferred()
            await self._waiting
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def give(self, chunk: bytes | Exception) -> None:
        self._chunks.append(chunk)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


@implementer(IPieceWriter)
class Writer:
    """
    A writer that notes what it is told, and answers when the test says so.

    :ivar slow: each call waits for :meth:`go_on`.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.written = b""
        self.slow = False
        self.under_way: Deferred[None] | None = None

    def write(self, data: bytes) -> Deferred[None]:
        self.written += data
        return self._call("write")

    def finish(self) -> Deferred[None]:
        return self._call("finish")

    def abort(self) -> Deferred[None]:
        return self._call("abort")

    def _call(self, name: str) -> Deferred[None]:
        assert self.under_way is None, "calls must not overlap"
        self.calls.append(name)
        if not self.slow:
            return succeed(None)
        self.under_way = Deferred()
        return self.under_way

    def go_on(self) -> None:
        assert self.under_way is not None
        under_way, self.under_way = self.under_way, None
        under_way.callback(None)

    def fail(self, error: Exception) -> None:
        assert self.under_way is not None
        under_way, self.under_way = self.under_way, None
        under_way.errback(error)


class UploadTestCase(SynchronousTestCase):
    """Receives one upload."""

    def setUp(self) -> None:
        self.threads = ManualThreads(eager=True)
        self.digests = Digests(ThreadClock(), self.threads)
        self.uploads = Uploads(self.digests, "sha256", md5=True)
        self.writer = Writer()

    def tearDown(self) -> None:
        gc.collect()  # errors that nobody waits for must not be in the log

    def receive(
        self,
        client: Client,
        size: int | None = None,
        checksum: str | None = None,
        image: Image = RAW,
    ) -> Deferred[Received]:
        expected = Expected(size, checksum)
        return ensureDeferred(
            self.uploads.receive(client, self.writer, expected, image)
        )


class GoodTests(UploadTestCase):
    """``Uploads``: bytes that come as they should"""

    def test_received(self) -> None:
        """
        Every byte is written, counted and digested, and durable at the end.
        """
        d = self.receive(Client(DATA[:3], DATA[3:], b""))
        received = self.successResultOf(d)
        self.assertEqual(received, Received(10, Digest("sha256", SHA256), MD5, 10))
        self.assertEqual(self.writer.written, DATA)
        self.assertEqual(self.writer.calls, ["write", "write", "finish"])

    def test_empty(self) -> None:
        """
        Nothing is an upload, too.
        """
        received = self.successResultOf(self.receive(Client(b"")))
        self.assertEqual(received.size, 0)
        self.assertEqual(received.digest.value, hashlib.sha256().hexdigest())
        self.assertEqual(self.writer.calls, ["finish"])

    def test_other_algorithm(self) -> None:
        """
        The main digest is of the algorithm that the server is told to use.
        """
        self.uploads = Uploads(self.digests, "sha512", md5=True)
        received = self.successResultOf(self.receive(Client(DATA, b"")))
        expected = Digest("sha512", hashlib.sha512(DATA).hexdigest())
        self.assertEqual(received.digest, expected)

    def test_no_md5(self) -> None:
        """
        Without MD5 there is no checksum, and none is made.
        """
        self.uploads = Uploads(self.digests, "sha256", md5=False)
        received = self.successResultOf(self.receive(Client(DATA, b"")))
        self.assertIsNone(received.checksum)

    def test_md5_if_promised(self) -> None:
        """
        What a client promises is checked even then, and still not kept.
        """
        self.uploads = Uploads(self.digests, "sha256", md5=False)
        d = self.receive(Client(DATA, b""), checksum=MD5)
        self.assertIsNone(self.successResultOf(d).checksum)
        d = self.receive(Client(DATA, b""), checksum="0" * 32)
        self.failureResultOf(d, BadValue)

    def test_promises_kept(self) -> None:
        """
        Bytes that are what was promised are welcome.
        """
        d = self.receive(Client(DATA, b""), size=10, checksum=MD5)
        self.assertEqual(self.successResultOf(d).size, 10)

    @untimed
    @given(st.lists(st.binary(min_size=1, max_size=50)), st.booleans())
    def test_any(self, chunks: list[bytes], eager: bool) -> None:
        """
        However the bytes are cut, they are the same.
        """
        self.setUp()
        self.threads.eager = eager
        d = self.receive(Client(*chunks, b""))
        self.threads.run_all()
        whole = b"".join(chunks)
        received = self.successResultOf(d)
        self.assertEqual(self.writer.written, whole)
        self.assertEqual(received.checksum, hashlib.md5(whole).hexdigest())
        self.assertEqual(received.size, len(whole))


class PaceTests(UploadTestCase):
    """``Uploads``: who waits for whom"""

    def test_one_ahead(self) -> None:
        """
        While a chunk is written the next one is read, and no other.
        """
        self.writer.slow = True
        client = Client(DATA[:3], DATA[3:6], DATA[6:], b"")
        d = self.receive(client)
        self.assertEqual((client.reads, self.writer.written), (2, DATA[:3]))
        self.writer.go_on()
        self.assertEqual((client.reads, self.writer.written), (3, DATA[:6]))
        self.writer.go_on()
        self.writer.go_on()
        self.assertEqual(self.writer.calls[-1], "finish")
        self.assertNoResult(d)
        self.writer.go_on()
        self.successResultOf(d)

    def test_digest_behind(self) -> None:
        """
        Nothing is read while the digests are far behind.
        """
        self.threads.eager = False
        client = Client(bytes(BACKLOG + 1), DATA, b"")
        d = self.receive(client)
        self.assertEqual(client.reads, 1)
        self.threads.run_all()
        self.successResultOf(d)

    def test_digest_before_finish(self) -> None:
        """
        The digests are known, and compared, before the piece is finished.
        """
        self.threads.eager = False
        d = self.receive(Client(DATA, b""), checksum="0" * 32)
        self.assertEqual(self.writer.calls, ["write"])
        self.threads.run_all()
        self.failureResultOf(d, BadValue)
        self.assertEqual(self.writer.calls, ["write"])


class BadTests(UploadTestCase):
    """``Uploads``: bytes that are not what was promised, or do not come"""

    def problem(self, d: Deferred[Received]) -> str:
        error = self.failureResultOf(d, BadValue).value
        self.assertNotIn("finish", self.writer.calls)
        return str(error)

    def test_too_few(self) -> None:
        """
        Fewer bytes than promised are an error.
        """
        d = self.receive(Client(DATA, b""), size=11)
        self.assertEqual(self.problem(d), "size: 11 was promised, 10 bytes came")

    def test_too_many(self) -> None:
        """
        The first byte too many is an error; what comes after it is not read.
        """
        client = Client(DATA, DATA, DATA, b"")
        d = self.receive(client, size=19)
        self.assertEqual(self.problem(d), "size: more than the 19 bytes promised")
        self.assertEqual(client.reads, 2)
        self.assertEqual(self.writer.written, DATA)

    def test_none_promised(self) -> None:
        """
        If no bytes were promised, one is too many.
        """
        self.problem(self.receive(Client(b"x", b""), size=0))
        self.assertEqual(self.writer.calls, [])

    def test_checksum(self) -> None:
        """
        Another MD5 than promised is an error that says which it is.
        """
        d = self.receive(Client(DATA, b""), checksum="0" * 32)
        expected = f"checksum: {'0' * 32} was promised, the MD5 is {MD5}"
        self.assertEqual(self.problem(d), expected)

    def test_announced(self) -> None:
        """
        What the body announces is compared before a byte is read.
        """
        Expected(10).check_length(10)
        Expected(10).check_length(None)
        Expected().check_length(10)
        with self.assertRaises(BadValue) as caught:
            Expected(0).check_length(10)
        self.assertEqual(str(caught.exception), "size: 0 was promised, the body has 10")

    def test_lost(self) -> None:
        """
        A client that is lost is the result, once the writer is at rest.
        """
        self.writer.slow = True
        client = Client(DATA)
        d = self.receive(client)
        client.give(BodyLost())
        self.assertNoResult(d)
        self.writer.go_on()
        self.failureResultOf(d, BodyLost)
        self.assertEqual(self.writer.calls, ["write"])

    def test_lost_and_full(self) -> None:
        """
        It is the result as well if the writer failed meanwhile.
        """
        self.writer.slow = True
        client = Client(DATA)
        d = self.receive(client)
        client.give(BodyLost())
        self.writer.fail(StoreFull("main"))
        self.failureResultOf(d, BodyLost)

    def test_full(self) -> None:
        """
        A store that is full is the result, and nothing more is written.
        """
        self.writer.slow = True
        client = Client(DATA)
        d = self.receive(client)
        self.writer.fail(StoreFull("main"))
        client.give(DATA)
        self.failureResultOf(d, StoreFull)
        self.assertEqual(self.writer.calls, ["write"])

    def test_full_at_the_end(self) -> None:
        """
        It may also be noticed with the last write, or when the piece is finished.
        """
        for calls in (["write"], ["write", "finish"]):
            self.setUp()
            self.writer.slow = True
            d = self.receive(Client(DATA, b""))
            for _ in calls[1:]:
                self.writer.go_on()
            self.writer.fail(StoreFull("main"))
            self.failureResultOf(d, StoreFull)
            self.assertEqual(self.writer.calls, calls)

    def test_writer_raises(self) -> None:
        """
        A plug-in that raises where it should fail has failed.
        """

        def write(data: bytes) -> Deferred[None]:
            raise StoreFull("main")

        self.writer.write = write  # type: ignore[method-assign]
        self.failureResultOf(self.receive(Client(DATA, b"")), StoreFull)

    def test_cancelled(self) -> None:
        """
        To cancel leaves no call under way.
        """
        self.writer.slow = True
        d = self.receive(Client(DATA))
        d.cancel()
        self.assertNoResult(d)
        self.writer.go_on()
        self.failureResultOf(d, CancelledError)


class FormatTests(UploadTestCase):
    """``Uploads``: bytes that are, or are not, of the image's format"""

    def test_virtual_size(self) -> None:
        """
        What the disk's header says of its size is known at the end.
        """
        disk = qcow2_disk()
        d = self.receive(Client(disk[:100], disk[100:], b""), image=QCOW2)
        self.assertEqual(self.successResultOf(d).virtual_size, GIB)

    def test_refused(self) -> None:
        """
        Bytes that are not what was declared are not written, nor is more of them read.
        """
        client = Client(qcow2_disk(), DATA, b"")
        self.failureResultOf(self.receive(client), WrongFormat)
        self.assertEqual((client.reads, self.writer.calls), (1, []))

    def test_refused_at_the_end(self) -> None:
        """
        If only the end shows it, the piece is not finished.
        """
        d = self.receive(Client(DATA, b""), image=QCOW2)
        self.failureResultOf(d, WrongFormat)
        self.assertEqual(self.writer.calls, ["write"])

    def test_writing(self) -> None:
        """
        A write that is under way has ended when the refusal is known.
        """
        self.writer.slow = True
        disk = qcow2_disk()
        d = self.receive(Client(disk[:100], disk[100:], b""))
        self.assertNoResult(d)
        self.writer.go_on()
        self.failureResultOf(d, WrongFormat)
        self.assertEqual(self.writer.calls, ["write"])

    def test_parent(self) -> None:
        """
        An image that has a parent may be brought as a difference to it.
        """
        disk = qcow2_disk(backing="golden.qcow2")
        self.failureResultOf(self.receive(Client(disk, b""), image=QCOW2), WrongFormat)
        child = evolve(QCOW2, parents=(pin(1),))
        self.successResultOf(self.receive(Client(disk, b""), image=child))

    def test_budget(self) -> None:
        """
        How much is looked at is what the server is told to.
        """
        self.uploads = Uploads(self.digests, "sha256", md5=True, inspect_bytes=1000)
        iso = evolve(RAW, disk_format="iso")
        d = self.receive(Client(bytes(100_000), b""), image=iso)
        problem = self.failureResultOf(d, WrongFormat).value.problem
        self.assertIn("too much work", problem)
