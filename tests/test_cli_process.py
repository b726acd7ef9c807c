# Copyright glancetx contributors. See LICENSE for details.

"""
The command as a process: pipes, interrupts and exit statuses.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .commands import Outcome, run_process, script
from .fake_servers import Answer, ClientCase, FakeServer, Piece, RawServer, image_id
from .servers import ServerCase, reactor


class PipeTests(ServerCase):
    """Bytes that come and go by pipes."""

    async def test_there_and_back(self) -> None:
        """
        What comes by a pipe is stored, and goes by a pipe, byte by byte.
        """
        server = await self.serve()
        folder = Path(self.mktemp())
        folder.mkdir()
        data = os.urandom(3_000_000)
        (folder / "disk").write_bytes(data)
        environment = {"GLANCETX_SERVER": server.url}
        line = "cat disk | glancetx upload - --name piped --disk-format raw"
        done = await run_process(
            "sh", "-c", line, folder=str(folder), environment=environment
        )
        self.assertEqual(done.code, 0, done.err)
        uri = done.out.strip()
        for words in (f"download {uri} -o -", f"restore {uri} --stream -o -"):
            done = await run_process(
                *("sh", "-c", f"glancetx {words} | sha256sum"), environment=environment
            )
            self.assertEqual(done.out.split()[0], hashlib.sha256(data).hexdigest())
            self.assertEqual(done.err, "")

    async def test_reader_leaves(self) -> None:
        """
        A reader who has enough ends the command without a word.
        """
        server = await self.serve()
        image = await server.add(bytes(30_000_000))
        get = f"glancetx download {image} -o -; echo $? >&2"
        done = await run_process(
            *("sh", "-c", f"({get}) | head -c 1000 | wc -c"),
            environment={"GLANCETX_SERVER": server.url},
        )
        self.assertEqual((done.out.strip(), done.err.strip()), ("1000", "1"))

    async def test_no_reader(self) -> None:
        """
        So does one who wants no word of what would have been said.
        """
        server = await self.serve()
        await server.add(b"disk")
        done = await run_process(
            *("sh", "-c", "(glancetx list; echo $? >&2) | true"),
            environment={"GLANCETX_SERVER": server.url},
        )
        self.assertEqual((done.out, done.err.strip()), ("", "1"))

    async def test_refused_pipe(self) -> None:
        """
        A refusal ends the command though the pipe it reads from stays silent.
        """
        server = await self.serve()
        parent = f"http://other.example/images/{image_id(1)}"
        words = f"upload - --disk-format raw --parent {parent}"
        process = Command(*words.split(), "--server", server.url)
        done = await process.ended
        self.assertEqual((done.code, done.out), (1, ""))
        self.assertIn("other.example", done.err)


class EndTests(ClientCase):
    """How the process ends."""

    async def test_interrupt(self) -> None:
        """
        An interrupt is status 130, leaves no file, and prints no traceback.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, b"disk"))
        asked = Deferred[None]()
        path = f"GET /images/{image_id(1)}"
        server.say(path, Answer(hang=lambda: asked.callback(None)))
        folder = Path(self.mktemp())
        folder.mkdir()
        process = Command(
            *("download", image_id(1), "-o", str(folder / "disk")),
            *("--server", server.url),
        )
        await asked
        process.transport.signalProcess("INT")
        done = await process.ended
        self.assertEqual((done.code, done.out), (130, ""))
        self.assertEqual(done.err.strip(), "glancetx: interrupted")
        self.assertEqual(os.listdir(folder), [])

    async def test_interrupted_upload(self) -> None:
        """
        So is one in the middle of an upload from a pipe that says nothing.
        """
        asked = Deferred[None]()
        server = RawServer((b"\r\n\r\n", lambda t: asked.callback(None)))
        url = await server.start(self)
        process = Command("upload", "-", "--disk-format", "raw", "--server", url)
        await asked
        process.transport.signalProcess("INT")
        done = await process.ended
        self.assertEqual((done.code, done.out), (130, ""))

    async def test_statuses(self) -> None:
        """
        The exit statuses are those that the help lists.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, b"disk", digest="00" * 32))
        at = ("--server", server.url)
        for code, words in (
            (0, ("show", image_id(1), *at)),
            (1, ("show", image_id(2), *at)),
            (2, ("show", "golden", *at)),
            (3, ("show", image_id(1), "--server", "http://127.0.0.1:1")),
            (4, ("download", image_id(1), "-o", self.mktemp(), *at)),
        ):
            done = await run_process(script(), *words)
            self.assertEqual(done.code, code, shlex.join(words))
            self.assertNotIn("Traceback", done.err)
            self.assertEqual(bool(done.err), code != 0, done.err)

    async def test_resume_is_told(self) -> None:
        """
        That a stream broke and goes on is said while it is.
        """
        server = await FakeServer().start(self)
        server.offer(Piece(1, os.urandom(200_000)))
        path = f"GET /images/{image_id(1)}"
        whole = server.answers[path][0]
        server.say(path, Answer(200, whole.body, whole.headers, 50_000), whole)
        done = await run_process(
            *(script(), "download", image_id(1), "-o", self.mktemp()),
            *("--server", server.url),
        )
        self.assertEqual(done.code, 0)
        self.assertIn("asking again from byte 50000", done.err)


class Command(ProcessProtocol):
    """
    ``glancetx`` in a process whose input stays open and silent.

    :ivar ended: fires with how it ended.
    """

    transport: Any

    def __init__(self, *arguments: str) -> None:
        self.ended: Deferred[Outcome] = Deferred()
        self._output = {1: b"", 2: b""}
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        environment = {**os.environ, "PYTHONPATH": here}
        reactor.spawnProcess(self, script(), [script(), *arguments], environment)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._output[childFD] += data

    def processEnded(self, reason: Failure) -> None:
        status: Any = reason.value
        code = status.exitCode if status.signal is None else -status.signal
        out, err = (self._output[fd].decode("utf-8") for fd in (1, 2))
        self.ended.callback(Outcome(code, out, err))
