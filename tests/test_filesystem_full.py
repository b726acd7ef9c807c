# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``glancetx.backends.filesystem`` on a disk that is really full.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase

from glancetx.backends.filesystem import FilesystemBackend
from glancetx.errors import StoreFull
from glancetx.interfaces import IPieceWriter
from glancetx.testing import RecordingConsumer, threaded_tools

MIB = 1024 * 1024
KEYS = [f"{number:02x}" + "0" * 30 for number in range(20)]


class FullDiskTests(TestCase):
    """A store on a file system of 4 MiB and few files"""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        os.mkdir(self.path)
        self.mount("size=4m,nr_inodes=12")
        self.backend = FilesystemBackend(self.path, threaded_tools(self, "small"))

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SkipTest(f"cannot mount a small disk: {error}") from None
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.path], check=True)

    async def test_write(self) -> None:
        """
        The write that does not fit fails; after the abort all the room is back.
        """
        for _ in range(3):
            writer = await self.backend.create(KEYS[0], None)
            await self.fill(writer)
            await writer.abort()
        await self.keep(KEYS[1], 3 * MIB)

    async def test_known_size(self) -> None:
        """
        A piece that cannot fit is refused before its first byte.
        """
        await self.check_full(self.backend.create(KEYS[0], 5 * MIB))
        await (await self.backend.create(KEYS[0], 3 * MIB)).abort()

    async def test_reading_goes_on(self) -> None:
        """
        While the disk is full, what is there can be read and removed.
        """
        await self.keep(KEYS[1], MIB)
        writer = await self.backend.create(KEYS[0], None)
        await self.fill(writer)
        consumer = RecordingConsumer()
        await self.backend.piece(KEYS[1], MIB).produce(consumer, 0, MIB)
        self.assertEqual(len(consumer.received), MIB)
        await self.backend.remove(KEYS[1])
        await writer.abort()
        await self.keep(KEYS[2], 3 * MIB)

    async def test_no_more_files(self) -> None:
        """
        A disk without room for one more file, or folder, is full.
        """
        writers: list[IPieceWriter] = []
        for key in KEYS:
            creating = self.backend.create(key, None)
            try:
                writers.append(await creating)
            except StoreFull:
                break
        else:
            self.fail("the disk has room for any number of files")
        await self.check_full(writers[0].finish())
        for writer in writers:
            await writer.abort()
        await self.keep(KEYS[0], MIB)

    async def fill(self, writer: IPieceWriter) -> None:
        with self.assertRaises(StoreFull):
            for _ in range(8):
                await writer.write(bytes(MIB - 1))

    async def keep(self, key: str, size: int) -> None:
        writer = await self.backend.create(key, size)
        await writer.write(bytes(size))
        await writer.finish()

    async def check_full(self, result: Deferred[Any]) -> None:
        error = await self.assertFailure(result, StoreFull)
        self.assertEqual(error.store, "small")
