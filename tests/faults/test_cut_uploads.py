# Copyright glancetx contributors. See LICENSE for details.

"""
Uploads that are cut: the image waits for the next one, or has all of its bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from glancetx.limits import Limits
from tests.wire import chunked

from .uploads import FORMAT, UploadCase, request

WINDOW = 256 * 1024
BATCH = 64 * 1024
SIZE = 4 * WINDOW + 1000

Head = Callable[[str], bytes]


class CutUploadTests(UploadCase):
    """Clients that are cut off at 20 points of an upload, by FIN and by RST."""

    async def start_small(self) -> None:
        await self.start(Limits(upload_window=WINDOW))
        self.body = random.randbytes(SIZE)

    def points(self, head: int, body: int) -> list[int]:
        """Offsets of a request, given the lengths of its parts."""
        inner = [1, 2, 1000, BATCH - 1, BATCH, BATCH + 1, WINDOW - 1, WINDOW]
        inner += [WINDOW + 1, 2 * WINDOW + 7, body // 2, body - BATCH]
        last = [body - 3, body - 2, body - 1, body]
        return [3, head // 2, head - 3, head, *[head + n for n in inner + last]]

    async def check(self, image_id: str, body: bytes, complete: bool) -> None:
        """What became of an upload that was cut; another one follows it."""
        status = await self.status(image_id)
        self.assertIn(status, ("queued", "active") if complete else ("queued",))
        if status == "queued":
            await self.check_kept()
            body = b"a later one"
            self.assertEqual(await self.put(image_id, body), 200)
        await self.check_kept((image_id, body))
        await self.zone.ask("DELETE", f"/images/{image_id}")

    async def cut(self, make: Callable[[str], tuple[bytes, bytes]]) -> None:
        """Cut requests that bring an existing image its bytes."""
        for reset in (False, True):
            head, body = make("0" * 36)
            points = self.points(len(head), len(body))
            self.assertEqual(len(points), 20)
            for point in points:
                image_id = await self.queued()
                head, body = make(image_id)
                data = head + body
                await self.break_off(data[:point], reset)
                await self.check(image_id, self.body, point == len(data))

    async def test_length(self) -> None:
        """
        A body of known length.
        """
        await self.start_small()

        def make(image_id: str) -> tuple[bytes, bytes]:
            length = b"Content-Length: %d" % SIZE
            return request(b"PUT", f"/images/{image_id}", length), self.body

        await self.cut(make)

    async def test_chunked(self) -> None:
        """
        A body in chunks: also cut in the mark of its end.
        """
        await self.start_small()

        def make(image_id: str) -> tuple[bytes, bytes]:
            coding = b"Transfer-Encoding: chunked"
            head = request(b"PUT", f"/images/{image_id}", coding)
            pieces = [self.body[:7], self.body[7:WINDOW], self.body[WINDOW:]]
            return head, chunked(*pieces)

        await self.cut(make)

    async def test_one_call(self) -> None:
        """
        An image that is made by the same request: it is there, or not made at all;
        not if the cut was in the headers.
        """
        await self.start_small()
        length = b"Content-Length: %d" % SIZE
        made = 0
        for reset in (False, True):
            for number in range(20):
                image_id = self.next_id()
                named = b"X-Image-Meta-Id: " + image_id.encode("ascii")
                head = request(b"POST", "/images", length, FORMAT, named)
                point = self.points(len(head), SIZE)[number]
                await self.break_off((head + self.body)[:point], reset)
                status = await self.status(image_id)
                if not status:
                    await self.check_kept()
                    continue
                self.assertGreaterEqual(point, len(head))
                await self.check(image_id, self.body, point == len(head) + SIZE)
                made += 1
        self.assertGreater(made, 10)
