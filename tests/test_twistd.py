# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for ``twistd glancetx`` as a process: what only a real one shows.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from glancetx import __version__
from tests.certificates import make_certificate
from tests.twistd import Twistd, twistd_script
from tests.wire import Answer, Client, get

T = TypeVar("T")

SERVER = """
[server]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "http://zone.example.com"
"""
STORE = """
[stores.main]
backend = "filesystem"
path = "pieces"
"""
LARGE = 32 * 1024 * 1024
"""Bytes, more than all buffers between a server and a client can hold."""

FORMATS = (
    b"X-Image-Meta-Disk_format: raw",
    b"X-Image-Meta-Container_format: bare",
)
TERMINATED = -signal.SIGTERM
"""How twistd ends after SIGTERM: by the same signal."""


class TwistdCase(TestCase):
    """Runs one server in a process of its own."""

    def setUp(self) -> None:
        self.server = Twistd(reactor, self.mktemp())
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    def configure(self, text: str = SERVER) -> None:
        path = self.server.configure(text + STORE)
        self.server.start("--config", path)

    async def listening(self) -> None:
        self.port = urlsplit(await self.server.url()).port or 0

    async def ask(self, request: bytes) -> Answer:
        """One request on a connection of its own."""

        def work() -> Answer:
            with Client(self.port) as client:
                client.send(request)
                return client.answer()

        answer: Answer = await deferToThread(work)
        return answer

    async def connect(self) -> Client:
        client = await deferToThread(Client, self.port, 65536)
        self.addCleanup(client.__exit__)
        return client

    async def upload(self, body: bytes) -> bytes:
        """Make an image; its path."""
        length = b"Content-Length: %d" % len(body)
        request = get(b"/images", b"POST", length, *FORMATS) + body
        answer = await self.ask(request)
        self.assertEqual(answer.code, 201, answer.body)
        return urlsplit(answer.headers[b"location"]).path


class CommandTests(TestCase):
    """``twistd``: what it says"""

    async def output(self, *arguments: str) -> str:
        output, _, status = await getProcessOutputAndValue(
            twistd_script(), arguments, dict(os.environ), path=self.make_folder()
        )
        self.assertEqual(status, 0)
        return " ".join(output.decode().split())

    def make_folder(self) -> str:
        folder: str = self.mktemp()
        os.mkdir(folder)
        return folder

    async def test_listed(self) -> None:
        """
        From any folder, ``twistd --help`` lists glancetx.
        """
        said = await self.output("--help")
        self.assertIn("glancetx Store, serve and stream virtual machine images", said)

    async def test_help(self) -> None:
        """
        ``twistd glancetx --help`` has an example to follow.
        """
        said = await self.output("glancetx", "--help")
        self.assertIn("twistd -n glancetx --config /etc/glancetx/glancetx.toml", said)

    async def test_version(self) -> None:
        """
        ``twistd glancetx --version`` is glancetx's version, not Twisted's.
        """
        said = await self.output("glancetx", "--version")
        self.assertEqual(said, f"glancetx {__version__}")


class RunTests(TwistdCase):
    """``twistd -n glancetx``"""

    async def test_serves(self) -> None:
        """
        It serves until SIGTERM, and then ends by that.
        """
        self.configure()
        await self.listening()
        self.assertEqual((await self.ask(get(b"/healthcheck"))).code, 200)
        self.server.signal("TERM")
        self.assertEqual(await self.server.ended(), TERMINATED)

    async def test_private(self) -> None:
        """
        Nobody else may read the files that it makes.
        """
        self.configure(f'{SERVER}access_log = "access.log"')
        await self.listening()
        await self.upload(b"secret")
        made = [Path(self.server.folder, "access.log")]
        for name in ("glancetx-data", "pieces"):
            made += Path(self.server.folder, name).rglob("*")
        self.assertGreater(len(made), 4)
        self.assertEqual([str(path) for path in made if path.stat().st_mode & 0o77], [])

    async def test_secure(self) -> None:
        """
        It listens with a certificate, whose file is named relative to the folder.
        """
        make_certificate(os.path.join(self.server.folder, "key.pem"))
        listen = "ssl:0:privateKey=key.pem:interface=127.0.0.1"
        self.configure(SERVER.replace("tcp:0:interface=127.0.0.1", listen))
        self.assertTrue((await self.server.url()).startswith("https://127.0.0.1:"))

    async def test_insecure(self) -> None:
        """
        Beyond loopback it listens only if told to, and warns of it.
        """
        beyond = SERVER.replace(":interface=127.0.0.1", "")
        self.configure(f"{beyond}insecure = true")
        await self.server.url()
        self.assertIn("#warn] INSECURE", self.server.output)

    async def test_handed_socket(self) -> None:
        """
        It serves on a socket that systemd holds; who comes early waits for it.
        """
        text = SERVER.replace(
            "tcp:0:interface=127.0.0.1", "systemd:domain=INET:index=0"
        )
        path = self.server.configure(f"{text}insecure = true{STORE}")
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port = held.getsockname()[1]
            early = self.ask(get(b"/healthcheck"))
            self.server.start_with_socket(held.fileno(), "--config", path)
            self.assertEqual((await early).code, 200)
            await self.listening()
            self.assertEqual(held.getsockname()[1], self.port)

    async def test_daemon(self) -> None:
        """
        In the background it works as well: its threads begin behind the fork.
        """
        self.server.start_daemon("--config", self.server.configure(SERVER + STORE))
        await self.listening()
        path = await self.upload(b"bytes")
        self.assertEqual((await self.ask(get(path))).body, b"bytes")
        os.kill(int(Path(self.server.folder, "twistd.pid").read_text()), signal.SIGTERM)
        self.assertEqual(await self.server.ended(), 0)
        self.assertIn("Server Shut Down", self.server.output)

    async def test_reopens_log(self) -> None:
        """
        After SIGHUP the access log is a new file, if the old one was moved away.
        """
        self.configure(f'{SERVER}access_log = "access.log"')
        await self.listening()
        log = Path(self.server.folder, "access.log")
        await self.ask(get(b"/healthcheck?before"))
        log.rename(f"{log}.1")
        self.server.signal("HUP")
        await self.server.says("access log re-opened")
        await self.ask(get(b"/metrics"))
        self.assertIn("/healthcheck", Path(f"{log}.1").read_text())
        self.assertIn("/metrics", log.read_text())
        self.assertNotIn("/healthcheck", log.read_text())


class RefusalTests(TwistdCase):
    """``twistd -n glancetx``: starts that fail"""

    async def refuse(self, text: str) -> str:
        """Start what cannot start; the one line that says why."""
        self.configure(text)
        self.assertEqual(await self.server.ended(), 1, self.server.output)
        self.assertNotIn("Traceback", self.server.output)
        self.assertNotIn("listening at", self.server.output)
        lines = [line for line in self.server.output.splitlines() if "glancetx" in line]
        return lines[-1]

    async def test_wrong_key(self) -> None:
        """
        A wrong key ends it with a line that names file and key.
        """
        said = await self.refuse("[server]\nlistn = []")
        file = f"{self.server.folder}/glancetx.toml"
        problem = "server.listn: unknown key; did you mean listen?"
        self.assertEqual(said, f"glancetx: {file}: {problem}")

    async def test_beyond_loopback(self) -> None:
        """
        It does not listen beyond loopback untold.
        """
        said = await self.refuse(SERVER.replace(":interface=127.0.0.1", ""))
        self.assertIn("server.listen: would let everyone", said)

    async def test_taken_port(self) -> None:
        """
        A port that is taken ends it, and what it had started.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = SERVER.replace("tcp:0", f"tcp:{port}")
            said = await self.refuse(text)
        self.assertIn(
            f"cannot start: server.listen: 127.0.0.1, port {port}: Address already in "
            "use; is another server running there?",
            said,
        )
        self.assert_nobody_left()

    async def test_store(self) -> None:
        """
        A store that cannot be written ends it.
        """
        Path(self.server.folder, "pieces").write_text("a file, not a folder")
        self.assertIn("pieces", await self.refuse(SERVER))

    async def test_backend(self) -> None:
        """
        A backend that is not installed ends it, and those that are, are listed.
        """
        tape = "[stores.tape]\nbackend = 'tape'\ndefault = true"
        said = await self.refuse(SERVER + tape)
        self.assertIn("tape", said)
        self.assertIn("filesystem", said)

    async def test_newer_catalogue(self) -> None:
        """
        A catalogue that a newer version made ends it, untouched.
        """
        folder = Path(self.server.folder, "glancetx-data")
        folder.mkdir()
        with sqlite3.connect(folder / "catalogue.sqlite") as database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES ('from_afar')")
        said = await self.refuse(SERVER)
        self.assertIn("from_afar, which a newer glancetx made", said)

    def assert_nobody_left(self) -> None:
        """No process is known to the catalogue, no lock of one is there."""
        folder = Path(self.server.folder, "glancetx-data")
        self.assertEqual(list(folder.glob("catalogue.sqlite.processes/*")), [])
        with sqlite3.connect(folder / "catalogue.sqlite") as database:
            known = database.execute("SELECT count(*) FROM processes").fetchone()
        self.assertEqual(known, (0,))


class DrainTests(TwistdCase):
    """``twistd -n glancetx``: SIGTERM while bytes flow"""

    async def setUp_reader(self) -> tuple[Client, bytes]:
        """A client that has read the headers of a large image, and no more."""
        self.configure()
        await self.listening()
        body = os.urandom(1024) * (LARGE // 1024)
        path = await self.upload(body)
        client = await self.connect()
        await self.do(lambda: client.send(get(path)))
        code, _ = await self.do(client.head)
        self.assertEqual(code, 200)
        return client, body

    async def do(self, work: Callable[[], T]) -> T:
        result: T = await deferToThread(work)
        return result

    async def test_download(self) -> None:
        """
        A download that runs at SIGTERM comes to its end, while nobody new is let in.
        """
        client, body = await self.setUp_reader()
        self.server.signal("TERM")
        await self.server.says("draining 1 transfers")
        with self.assertRaises(ConnectionRefusedError):
            await self.connect()
        self.assertEqual(await self.do(lambda: client.take(LARGE)), body)
        client.__exit__()
        self.assertEqual(await self.server.ended(), TERMINATED)
        self.assertIn("drained: 1 transfers ended, 0 were cut", self.server.output)

    async def test_upload(self) -> None:
        """
        An upload that runs at SIGTERM comes to its end, and is kept.
        """
        self.configure()
        await self.listening()
        client = await self.connect()
        length = b"Content-Length: 6"
        head = get(b"/images", b"POST", length, b"Expect: 100-continue", *FORMATS)
        await self.do(lambda: client.send(head))
        self.assertEqual((await self.do(client.head))[0], 100)
        self.server.signal("TERM")
        await self.server.says("draining 1 transfers")
        await self.do(lambda: client.send(b"abcdef"))
        self.assertEqual((await self.do(client.answer)).code, 201)
        client.__exit__()
        self.assertEqual(await self.server.ended(), TERMINATED)

    async def test_second_signal(self) -> None:
        """
        A second SIGTERM cuts what still runs: never a clean end.
        """
        client, _ = await self.setUp_reader()
        self.server.signal("TERM")
        await self.server.says("draining 1 transfers")
        self.server.signal("TERM")
        self.assertEqual(await self.server.ended(), TERMINATED)
        with self.assertRaises((EOFError, ConnectionResetError)):
            await self.do(lambda: client.take(LARGE))
        self.assertIn("0 transfers ended, 1 were cut", self.server.output)
        self.assertNotIn("Traceback", self.server.output)

    async def test_no_time(self) -> None:
        """
        Where draining has no time, the first SIGTERM cuts.
        """
        self.configure(f"limits.drain_seconds = 0\n{SERVER}")
        await self.listening()
        path = await self.upload(bytes(LARGE))
        client = await self.connect()
        await self.do(lambda: client.send(get(path)))
        await self.do(client.head)
        self.server.signal("TERM")
        self.assertEqual(await self.server.ended(), TERMINATED)
        with self.assertRaises((EOFError, ConnectionResetError)):
            await self.do(lambda: client.take(LARGE))

    async def test_lost_upload(self) -> None:
        """
        An upload that is cut leaves nothing behind: no bytes, no intent.
        """
        self.configure()
        await self.listening()
        client = await self.connect()
        length = b"Content-Length: 100"
        head = get(b"/images", b"POST", length, b"Expect: 100-continue", *FORMATS)
        await self.do(lambda: client.send(head))
        self.assertEqual((await self.do(client.head))[0], 100)
        await self.do(lambda: client.send(b"abc"))
        self.server.signal("TERM")
        await self.server.says("draining 1 transfers")
        self.server.signal("TERM")
        self.assertEqual(await self.server.ended(), TERMINATED)
        self.assertNotIn("Traceback", self.server.output)
        pieces = Path(self.server.folder, "pieces").rglob("*")
        self.assertEqual([path for path in pieces if path.is_file()], [])
        file = Path(self.server.folder, "glancetx-data", "catalogue.sqlite")
        with sqlite3.connect(file) as database:
            left = database.execute("SELECT count(*) FROM intents").fetchone()
        self.assertEqual(left, (0,))
