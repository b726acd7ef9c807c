# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx sign``, and what its URLs are good for.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from glancetx.config import IdentityConfig
from glancetx.identity.keyfile import add_key, read_keys
from glancetx.identity.tokenfile import add_token

from .commands import Outcome, run_command
from .servers import RunningServer, ServerCase

NOW = datetime.now(UTC)
DISK = b"a disk"
DIGEST = f"sha256:{hashlib.sha256(DISK).hexdigest()}"
ID = "8f1f2a52-2b6a-4f3d-9a55-7a5d9f0c1e11"


class SignCase(ServerCase):
    """Has keys, a member's token, and a server that knows both."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.keys = os.path.join(self.folder, "keys.toml")
        self.patch(os, "environ", {**os.environ, "GLANCETX_TOKEN": ""})

    async def begin(self) -> RunningServer:
        add_key(self.keys)
        tokens = os.path.join(self.folder, "tokens.toml")
        self.token = add_token(tokens, "alice", "demo", ("member",), None, NOW).text
        identity = IdentityConfig(
            kind="tokens", tokens_file=tokens, signing_keys_file=self.keys
        )
        self.server = await self.serve(identity=identity)
        return self.server

    async def add(self, body: bytes | None = DISK) -> str:
        """Make a private image; gives its id."""
        headers = {"X-Auth-Token": self.token}
        headers |= {
            f"x-image-meta-{key}": value
            for key, value in (("disk_format", "raw"), ("container_format", "bare"))
        }
        reply = await self.server.ask("POST", "/images", headers, body)
        self.assertEqual(reply.code, 201, reply.body)
        image_id: str = reply.json["image"]["id"]
        return image_id

    async def sign(self, *words: str, code: int = 0) -> Outcome:
        done = await run_command("sign", *words, "--keys-file", self.keys)
        self.assertEqual(done.code, code, done.err)
        return done

    async def url(self, *words: str) -> str:
        """A signed URL of the server."""
        self.patch(os, "environ", {**os.environ, "GLANCETX_TOKEN": self.token})
        done = await self.sign(*words, "--server", self.server.url)
        self.patch(os, "environ", {**os.environ, "GLANCETX_TOKEN": ""})
        return done.out.removesuffix("\n")

    async def ask(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        """Ask without a token."""
        self.assertTrue(url.startswith(self.server.url))
        path = url.removeprefix(self.server.url)
        reply = await self.server.ask(method, path, **more)
        return reply.code, reply.body


class UrlTests(SignCase):
    """Signed URLs at a server that asks who is there"""

    async def test_read(self) -> None:
        """
        Who has a signed URL reads a private image, and nothing else of the server.
        """
        await self.begin()
        image = await self.add()
        plain = f"{self.server.url}/images/{image}"
        self.assertEqual((await self.ask("GET", plain))[0], 401)
        url = await self.url(image)
        self.assertEqual(await self.ask("GET", url), (200, DISK))
        self.assertEqual((await self.ask("HEAD", url))[0], 200)
        query = url.partition("?")[2]
        for method, other in (
            ("DELETE", url),
            ("GET", f"{plain}/chain?{query}"),
            ("GET", f"{self.server.url}/images/{await self.add()}?{query}"),
            ("GET", f"{self.server.url}/images/detail?{query}"),
            ("GET", f"{url}&force=true"),
        ):
            self.assertEqual((await self.ask(method, other))[0], 401, other)

    async def test_layouts(self) -> None:
        """
        Each layout of the command is one that the server knows.
        """
        await self.begin()
        image = await self.add()
        for layout, end in (
            ("own", ""),
            ("stream", "/stream"),
            ("chain", "/chain"),
            ("chain.tar", "/chain.tar"),
            ("file", "/file"),
        ):
            url = await self.url(image, "--layout", layout)
            self.assertTrue(urlsplit(url).path.endswith(f"/images/{image}{end}"))
            self.assertEqual((await self.ask("GET", url))[0], 200, layout)

    async def test_download(self) -> None:
        """
        The command downloads what a signed URL names, without a token.
        """
        await self.begin()
        url = await self.url(await self.add())
        path = os.path.join(self.folder, "disk")
        words = ("download", url, "-o", path, "--server", self.server.url)
        done = await run_command(*words)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(Path(path).read_bytes(), DISK)

    async def test_put(self) -> None:
        """
        A URL to put is good for the bytes that it names, and for no others.
        """
        await self.begin()
        image = await self.add(None)
        words = ("--method", "PUT", "--digest", DIGEST, "--size", str(len(DISK)))
        url = await self.url(image, *words)
        headers = {"Content-Type": "application/octet-stream"}
        code, _ = await self.ask("PUT", url, headers=headers, body=b"others")
        self.assertGreaterEqual(code, 400)
        code, _ = await self.ask("PUT", url, headers=headers, body=DISK)
        self.assertIn(code, (200, 201, 204))
        read = await self.url(image)
        self.assertEqual(await self.ask("GET", read), (200, DISK))
        code, _ = await self.ask("PUT", url, headers=headers, body=DISK)
        self.assertEqual(code, 409)

    async def test_rotated(self) -> None:
        """
        A reload drops keys that are gone, and with them what they signed.
        """
        await self.begin()
        url = await self.url(await self.add())
        for good in (True, False):
            add_key(self.keys)
            self.server.parts.signatures.reload()
            code, _ = await self.ask("GET", url)
            self.assertEqual(code, 200 if good else 401)


class CommandTests(SignCase):
    """``glancetx sign``"""

    async def test_json(self) -> None:
        """
        What is said of a URL is what it says itself.
        """
        add_key(self.keys)
        words = (ID, "--digest", DIGEST, "--expires", "10m", "--json")
        found = (await self.sign(*words)).json
        query = parse_qs(urlsplit(found["url"]).query)
        self.assertEqual(query["gtx_digest"], [found["digest"]])
        expires = datetime.fromisoformat(found["expires"])
        self.assertEqual(query["gtx_expires"], [str(int(expires.timestamp()))])
        self.assertLess(
            abs(expires - datetime.now(UTC) - timedelta(minutes=10)),
            timedelta(minutes=1),
        )
        self.assertEqual((found["method"], found["image_id"]), ("GET", ID))

    async def test_base(self) -> None:
        """
        A URL begins as --url says, or as the configuration, or --server.
        """
        config = os.path.join(self.folder, "glancetx.toml")
        Path(config).write_text(
            '[server]\npublic_url = "http://public.example.com"\n'
            '[identity]\nkind = "tokens"\ntokens_file = "t"\n'
            'signing_keys_file = "keys.toml"\n'
            '[stores.main]\nbackend = "filesystem"\npath = "pieces"\n'
        )
        add_key(self.keys)
        asked = ("--server", "http://s.example.com", "--digest", DIGEST)
        for words, base in (
            (("--keys-file", self.keys), "http://s.example.com"),
            (("--config", config), "http://public.example.com"),
            (("--config", config, "--url", "https://u/x/"), "https://u/x"),
        ):
            done = await run_command("sign", ID, *asked, *words)
            self.assertEqual(done.code, 0, done.err)
            self.assertTrue(done.out.startswith(f"{base}/images/{ID}?"), done.out)

    async def test_uri(self) -> None:
        """
        An image may be named by its URI, if that is of the server that is meant.
        """
        add_key(self.keys)
        words = (f"http://g.example.com/images/{ID}", "--digest", DIGEST)
        done = await self.sign(*words, code=1)
        self.assertIn("name its server with --url", done.err)
        done = await self.sign(*words, "--url", "http://g.example.com")
        self.assertTrue(done.out.startswith(f"http://g.example.com/images/{ID}?"))

    async def test_new_key(self) -> None:
        """
        A new key is named, not shown, and the one before it is kept.
        """
        first = (await self.sign("--new-key")).out.strip()
        done = await self.sign("--new-key", "--json")
        keys = read_keys(self.keys)
        self.assertEqual([key.id for key in keys], [done.json["key"], first])
        self.assertEqual(done.json["kept"], [first])
        self.assertIn("kill -HUP", done.err)
        for key in keys:
            self.assertNotIn(key.secret.hex(), done.out + done.err)

    async def test_refused(self) -> None:
        """
        What cannot be signed is not, and it is said why.
        """
        add_key(self.keys)
        for words, code, problem in (
            ((ID, "--digest", "md5:00"), 1, "digest: must be sha256: or sha512:"),
            ((ID, "--digest", DIGEST, "--expires", "25h"), 1, "at most 24 hours"),
            ((ID, "--digest", DIGEST, "--size", "1"), 1, "size: is needed to PUT"),
            ((ID, "--method", "PUT"), 1, "needs --digest and --size"),
            ((ID, "--method", "PUT", "--digest", DIGEST), 1, "size: is needed to PUT"),
            ((ID, "--method", "DELETE"), 2, "DELETE"),
            ((ID, "--url", "x", "--digest", DIGEST), 1, "no usable address"),
            ((), 2, "Missing argument 'IMAGE'"),
            ((ID, "--new-key"), 2, "--new-key is for no IMAGE"),
        ):
            done = await self.sign(*words, code=code)
            self.assertIn(problem, done.err)
            self.assertEqual(done.out, "")

    async def test_no_keys(self) -> None:
        """
        Without keys nothing is signed, and it is said how to make some.
        """
        Path(self.keys).write_text("")
        os.chmod(self.keys, 0o600)
        done = await self.sign(ID, "--digest", DIGEST, code=1)
        self.assertIn("glancetx sign --new-key", done.err)

    async def test_queued(self) -> None:
        """
        An image without bytes has nothing to be read.
        """
        await self.begin()
        image = await self.add(None)
        self.patch(os, "environ", {**os.environ, "GLANCETX_TOKEN": self.token})
        done = await self.sign(image, "--server", self.server.url, code=1)
        self.assertIn("is queued, not active", done.err)
