# Copyright glancetx contributors. See LICENSE for details.

"""
A server whose Swift fails amid its transfers: right bytes, or none; nothing is left.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable, Sequence

from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from glancetx.errors import PieceTruncated, StoreUnavailable
from tests.servers import RunningServer
from tests.wire import MIB, Client, get

from .swift_case import SwiftServerCase, Upload

SIZE = 20 * MIB + 12_345
DATA = random.Random(4).randbytes(SIZE)


class FaultCase(SwiftServerCase):
    """One server, and one image."""

    server: RunningServer
    image_id = ""
    key = ""

    async def start(self) -> None:
        self.server = await self.serve()

    async def start_with_image(self) -> None:
        await self.start()
        self.image_id = await self.server.add(DATA)

    def read(self, *faults: Callable[[], None]) -> None:
        """Read the image, with something that happens after each of its first MiB."""
        with self.download(self.server, self.image_id) as client:
            code, headers = client.head()
            self.assertEqual((code, headers[b"content-length"]), (200, b"%d" % SIZE))
            found = b""
            for fault in faults:
                found += client.take(MIB)
                fault()
            self.assertTrue(found + client.take(SIZE - len(found)) == DATA)

    def ask(self, method: bytes) -> int:
        """Ask for the image; the status."""
        with Client(self.server.port) as client:
            client.send(get(f"/images/{self.image_id}".encode("ascii"), method))
            return client.answer(head=method == b"HEAD").code

    def remove(self) -> None:
        """Delete the image, and look whether all of it is gone."""
        self.assertNotEqual(self.names(), [])
        self.assertEqual(self.ask(b"DELETE"), 204)
        self.assertEqual(self.ask(b"HEAD"), 404)
        self.assert_empty()

    def write(
        self,
        *codes: int,
        faults: Sequence[Callable[[], None]] = (),
        each: int = SIZE // 3,
    ) -> int:
        """
        Upload an image, with something that happens while it comes.

        :param codes: one of which is to be the answer, which is returned.
        :param each: after so many bytes, of which Swift has the segments by then.
        """
        upload = Upload(self.server.port, DATA)
        for number, fault in enumerate(faults):
            upload.bring(each)
            if number == 0:
                self.until(lambda: len(self.names()) == each // self.segment_size)
            fault()
        answer = upload.finish()
        self.assertIn(answer.code, codes, answer.body)
        if answer.code == 201:
            self.image_id = answer.headers[b"location"].decode().rpartition("/")[2]
        return answer.code

    def kill_proxies(self) -> list[Callable[[], None]]:
        """Faults that kill one proxy after the other: one of them is in use."""

        def second() -> None:
            self.swift.start_proxy(1)
            self.swift.kill_proxy(2)

        return [lambda: self.swift.kill_proxy(1), second]


class ReadingTests(FaultCase):
    """An image that is read"""

    async def test_object_servers_killed(self) -> None:
        """
        Object servers are killed amid a download, two of four: nobody sees it.
        """
        await self.start_with_image()

        def story() -> None:
            self.read(lambda: self.swift.kill_object(1, 2), others)
            self.swift.start_object(3, 4)
            self.remove()

        def others() -> None:
            self.swift.start_object(1, 2)
            self.swift.kill_object(3, 4)

        await self.story(story)

    async def test_proxy_killed(self) -> None:
        """
        The proxy is killed amid a download: the rest comes by the other one.
        """
        await self.start_with_image()

        def story() -> None:
            self.read(*self.kill_proxies())
            self.swift.start_proxy(2)
            self.assertGreaterEqual(self.resumed(), 1)
            self.remove()

        await self.story(story)

    def resumed(self) -> int:
        """How often a part of the image was asked for."""
        (key,) = {name.split("/")[1] for name in self.names()}
        logs = self.swift.output("proxy1") + self.swift.output("proxy2")
        return len(re.findall(rf" GET \S+/{key} HTTP/1.\d 206 ", logs))

    async def test_segment_lost(self) -> None:
        """
        A segment has vanished: the download is cut where it was, and the log has an
        alarm with the key; what lies before can still be read.
        """
        await self.start_with_image()

        def story() -> None:
            lost = self.names()[5]
            self.key = lost.split("/")[1]
            self.assertTrue(lost.endswith("/000005"), lost)
            self.assertEqual(self.swift.lose(*lost.split("/", 1)), 3)
            with self.download(self.server, self.image_id) as client:
                self.assertEqual(client.head()[0], 200)
                before = 4 * self.segment_size
                self.assertTrue(client.take(before) == DATA[:before])
                with self.assertRaises((EOFError, ConnectionError)):
                    client.take(SIZE - before)
            path = f"/images/{self.image_id}".encode("ascii")
            with Client(self.server.port) as client:
                client.send(get(path, b"GET", b"Range: bytes=5-99"))
                self.assertEqual(client.answer().body, DATA[5:100])
            self.remove()

        with capturedLogs() as events:
            await self.story(story)
        self.assert_alarm(events)

    async def test_first_segment_lost(self) -> None:
        """
        If it is the first one, the answer is an error.
        """
        await self.start_with_image()

        def story() -> None:
            first = self.names()[1]
            self.key = first.split("/")[1]
            self.assertTrue(first.endswith("/000001"), first)
            self.assertEqual(self.swift.lose(*first.split("/", 1)), 3)
            self.assertEqual(self.ask(b"GET"), 500)
            self.remove()

        with capturedLogs() as events:
            await self.story(story)
        self.assert_alarm(events)

    def assert_alarm(self, events: Sequence[LogEvent]) -> None:
        """The log names the piece that is damaged."""
        (alarm,) = [one for one in events if "DAMAGED" in formatEvent(one)]
        self.assertEqual(alarm["key"], self.key)
        self.assertEqual(alarm["log_level"], LogLevel.error)
        self.assertTrue(self.flushLoggedErrors(PieceTruncated))


class WritingTests(FaultCase):
    """An image that is uploaded"""

    async def test_object_server_killed(self) -> None:
        """
        An object server is killed amid an upload: nobody sees it.
        """
        await self.start()

        def story() -> None:
            self.write(201, faults=[lambda: self.swift.kill_object(1)])
            self.read()
            self.swift.start_object(1)
            self.read()
            self.remove()

        await self.story(story)

    async def test_most_object_servers_killed(self) -> None:
        """
        Three of four are killed: there is no image, and nothing is left of it when
        they are back and the next server has started.
        """
        await self.start()

        def story() -> None:
            self.write(503, faults=[lambda: self.swift.kill_object(1, 2, 3)])
            self.swift.start_object(1, 2, 3)

        await self.story(story)
        self.flushLoggedErrors(StoreUnavailable)  # it may not be removed as yet
        await self.next_start()

    async def next_start(self) -> None:
        """A server begins where another ended, and everything is in order."""
        await self._stop(self.server)
        self.server = await self.serve(folder=self.server.folder)

        def story() -> None:
            self.assert_empty()
            self.write(201)
            self.read()
            self.remove()

        await self.story(story)

    async def test_proxy_killed(self) -> None:
        """
        A proxy is killed amid an upload: what it had in hand cannot be asked for
        again, so there is an image or none, and nothing in between.
        """
        await self.start()

        def story() -> None:
            code = self.write(201, 503, faults=self.kill_proxies())
            self.swift.start_proxy(2)
            if code == 201:
                self.read()
                self.remove()

        await self.story(story)
        await self.next_start()

    async def test_proxy_killed_small_segments(self) -> None:
        """
        Segments that are kept until they are there are sent again.
        """
        self.segment_size = MIB
        await self.start()

        def story() -> None:
            self.write(201, faults=self.kill_proxies())
            self.swift.start_proxy(2)
            self.read()
            self.remove()

        await self.story(story)

    async def test_tokens_flushed(self) -> None:
        """
        Swift forgets all tokens between two segments: the server gets another.
        """
        await self.start()

        def story() -> None:
            flush = [self.swift.expire_tokens]
            self.write(201, faults=flush, each=3 * self.segment_size)
            self.read(self.swift.expire_tokens)
            self.remove()

        await self.story(story)

    async def test_full_disk(self) -> None:
        """
        A disk is full: the others take its share.
        """
        await self.start()

        def story() -> None:
            self.write(201, faults=[lambda: self.swift.fill_disk(2)])
            self.read()
            self.swift.free_disk(2)
            self.remove()

        await self.story(story)

    async def test_full_disks(self) -> None:
        """
        All disks are full: there is no image, and nothing is left of it.
        """
        await self.start()

        def story() -> None:
            self.write(503, 507, faults=[lambda: self.swift.fill_disk(1, 2, 3, 4)])
            self.swift.free_disk(1, 2, 3, 4)

        await self.story(story)
        await self.next_start()


class AwayTests(FaultCase):
    """No proxy lives"""

    async def test_proxies_dead(self) -> None:
        """
        Readers and writers are told to come back; soon nobody is asked any more, until
        a while has passed.
        """
        await self.start_with_image()

        def story() -> None:
            self.swift.kill_proxy(1, 2)
            self.assertEqual(self.ask(b"GET"), 503)
            self.assertEqual(self.ask(b"GET"), 503)
            with socket.create_server(self.address(1)) as nobody:
                nobody.setblocking(False)
                self.assertEqual(self.ask(b"GET"), 503)
                self.assertRaises(BlockingIOError, nobody.accept)
            self.swift.start_proxy(1, 2)
            self.until(lambda: self.ask(b"GET") == 200)
            self.read()
            self.remove()

        with capturedLogs() as events:
            await self.story(story)
        opened = [one for one in events if one["log_level"] is LogLevel.error]
        self.assertEqual(
            {one["server"].rpartition("/v1")[0] for one in opened},
            {*self.swift.proxies},
        )

    def address(self, number: int) -> tuple[str, int]:
        """Where a proxy listens."""
        host, port = self.swift.proxies[number - 1][len("http://") :].split(":")
        return host, int(port)


class RemovingTests(FaultCase):
    """An image that is deleted"""

    async def test_object_server_down(self) -> None:
        """
        An object server is down when an image is deleted, and has it when it is back:
        nobody else does, and Swift's own daemons take it away.
        """
        await self.start_with_image()

        def story() -> None:
            self.swift.kill_object(1)
            self.assertEqual(self.ask(b"DELETE"), 204)
            self.swift.start_object(1)
            self.assertNotEqual(self.names(), [])
            self.assertEqual(self.ask(b"GET"), 404)
            self.assert_empty()

        await self.story(story)
