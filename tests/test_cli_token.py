# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx token``, and how the command shows a token.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from glancetx.config import IdentityConfig
from glancetx.identity.tokenfile import (
    add_token,
    parse_token,
    read_tokens,
    secret_digest,
)

from .commands import Outcome, run_command
from .servers import RunningServer, ServerCase

NOW = datetime.now(UTC)


class TokenCommandCase(TestCase):
    """Has a path for a file of tokens."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.file = os.path.join(self.folder, "tokens.toml")

    async def token(self, *words: str, code: int = 0) -> Outcome:
        done = await run_command("token", *words, "--file", self.file)
        self.assertEqual(done.code, code, done.err)
        return done

    async def new(self, *words: str) -> Any:
        """Make a token; gives what is said of it in JSON."""
        base = ("new", "alice", "--project", "demo", "--role", "member", "--json")
        return (await self.token(*base, *words)).json


class NewTests(TokenCommandCase):
    """``glancetx token new``"""

    async def test_shown_once(self) -> None:
        """
        The output is the token alone; the file, made for it, does not have it.
        """
        base = ("new", "alice", "--project", "demo", "--role", "member")
        done = await self.token(*base)
        token_id, secret = parse_token(done.out.removesuffix("\n")) or ("", "")
        found = read_tokens(self.file)[token_id]
        self.assertEqual(found.sha256, secret_digest(secret))
        self.assertNotIn(secret, Path(self.file).read_text() + done.err)
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        self.assertIn("it is not shown again", done.err)
        self.assertIn("kill -HUP", done.err)

    async def test_facts(self) -> None:
        """
        What is said of a token is what the file has of it.
        """
        found = await self.new(
            "--role", "service", "--role", "member", "--expires", "90d"
        )
        (token,) = read_tokens(self.file).values()
        self.assertEqual(found["id"], token.id)
        self.assertEqual((token.user, token.project), ("alice", "demo"))
        self.assertEqual(token.roles, ("member", "service"))
        self.assertEqual(found["roles"], ["member", "service"])
        assert token.expires is not None
        self.assertEqual(token.expires - token.created, timedelta(days=90))
        self.assertEqual(found["expires"], token.expires.isoformat())
        self.assertEqual(found["file"], self.file)

    async def test_expires(self) -> None:
        """
        A token is good for a year, unless told for how long, or for ever.
        """
        for words, days in (
            ((), 365),
            (("--expires", "24h"), 1),
            (("--never-expires",), None),
        ):
            found = await self.new(*words)
            token = read_tokens(self.file)[found["id"]]
            lifetime = token.expires and token.expires - token.created
            self.assertEqual(lifetime, days and timedelta(days))

    async def test_refused(self) -> None:
        """
        What cannot be a token is not made, and it is said why.
        """
        good = {"--project": "demo", "--role": "member", "--expires": "1d"}
        for name, value, code, problem in (
            ("--project", "a b", 1, "project: must have letters"),
            ("--role", "Admin", 1, "roles: must be words in lower case"),
            ("--expires", "1y", 2, "write it as 30m, 1h or 90d"),
            ("--expires", "0d", 2, "write it as 30m, 1h or 90d"),
        ):
            options = {**good, name: value}
            words = [text for pair in options.items() for text in pair]
            done = await self.token("new", "alice", *words, code=code)
            self.assertIn(problem, done.err)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_no_folder(self) -> None:
        """
        A folder that is not there is named.
        """
        self.file = os.path.join(self.folder, "none", "tokens.toml")
        base = ("new", "alice", "--project", "demo", "--role", "member")
        done = await self.token(*base, code=1)
        self.assertIn(f"{self.folder}/none: No such file or directory", done.err)

    async def test_config(self) -> None:
        """
        The server's configuration says where the file is.
        """
        config = Path(self.folder) / "glancetx.toml"
        store = '[stores.main]\nbackend = "filesystem"\npath = "pieces"\n'
        identity = '[identity]\nkind = "tokens"\ntokens_file = "tokens.toml"\n'
        config.write_text(identity + store)
        words = ("alice", "--project", "demo", "--role", "member")
        done = await run_command("token", "new", *words, "--config", str(config))
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(len(read_tokens(self.file)), 1)
        config.write_text(store)
        done = await run_command("token", "list", "--config", str(config))
        self.assertEqual(done.code, 1)
        self.assertIn('identity.kind is not "tokens"', done.err)

    async def test_where(self) -> None:
        """
        One file is meant: not none, not two.
        """
        for words in ((), ("--file", "a", "--config", "b")):
            done = await run_command("token", "list", *words)
            self.assertEqual(done.code, 2)
            self.assertIn("give either --file or --config", done.err)


class ListTests(TokenCommandCase):
    """``glancetx token list`` and ``revoke``"""

    async def test_list(self) -> None:
        """
        A line for each token says all but the secret, and which have expired.
        """
        one = await self.new("--never-expires")
        old = add_token(
            self.file, "bob", "p", ("reader",), NOW - timedelta(1), NOW
        ).token
        done = await self.token("list")
        heads, first, second = done.out.splitlines()
        self.assertEqual(
            heads.split(), ["ID", "USER", "PROJECT", "ROLES", "CREATED", "EXPIRES"]
        )
        self.assertEqual(first.split()[:4], [one["id"], "alice", "demo", "member"])
        self.assertTrue(first.endswith("never"))
        self.assertTrue(second.startswith(old.id) and second.endswith("(expired)"))
        found = (await self.token("list", "--json")).json
        self.assertEqual([fact["id"] for fact in found], [one["id"], old.id])
        self.assertNotIn("sha256", repr(found))

    async def test_revoke(self) -> None:
        """
        Tokens are revoked one by one; what is not there is said, and the rest goes on.
        """
        one, other, kept = [(await self.new())["id"] for _ in range(3)]
        done = await self.token("revoke", one, "nothing", other, code=1)
        self.assertEqual(done.out.split(), [one, other])
        self.assertIn("has no token nothing", done.err)
        self.assertIn("kill -HUP", done.err)
        self.assertEqual(list(read_tokens(self.file)), [kept])

    async def test_no_file(self) -> None:
        """
        A file that is not there has nothing to list, and none is made.
        """
        for words in (("list",), ("revoke", "x")):
            done = await self.token(*words, code=1)
            self.assertIn("No such file or directory", done.err)
        self.assertEqual(os.listdir(self.folder), [])


class ShowTests(ServerCase):
    """``--token-file`` and ``GLANCETX_TOKEN``"""

    async def begin(self) -> RunningServer:
        """A server that asks who is there, and knows one member."""
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        file = os.path.join(self.folder, "tokens.toml")
        new = add_token(file, "alice", "demo", ("member",), None, NOW)
        self.text = new.text
        self.environment("")
        identity = IdentityConfig(kind="tokens", tokens_file=file)
        return await self.serve(identity=identity)

    def environment(self, token: str) -> None:
        self.patch(os, "environ", {**os.environ, "GLANCETX_TOKEN": token})

    def write(self, text: str, mode: int = 0o600) -> str:
        path = os.path.join(self.folder, "token")
        Path(path).write_text(text)
        os.chmod(path, mode)
        return path

    async def test_shown(self) -> None:
        """
        Who shows his token by a file, before or behind the command, is known.
        """
        server = await self.begin()
        path = self.write(f"{self.text}\n")
        for words in (("--token-file", path, "list"), ("list", "--token-file", path)):
            done = await run_command(*words, "--server", server.url)
            self.assertEqual(done.code, 0, done.err)

    async def test_variable(self) -> None:
        """
        The environment may have the token; a file that is named goes before it.
        """
        server = await self.begin()
        self.environment(self.text)
        done = await run_command("list", "--server", server.url)
        self.assertEqual(done.code, 0, done.err)
        path = self.write("gtx_other")
        done = await run_command("list", "--server", server.url, "--token-file", path)
        self.assertEqual(done.code, 1)
        self.assertIn("the token is not known to this server (401)", done.err)

    async def test_not_shown(self) -> None:
        """
        Who shows none is told how to.
        """
        server = await self.begin()
        done = await run_command("list", "--server", server.url)
        self.assertEqual(done.code, 1)
        self.assertIn("show a token with --token-file FILE", done.err)

    async def test_no_token(self) -> None:
        """
        What cannot be a token is sent nowhere.
        """
        await self.begin()
        done = await run_command("list", "--token-file", self.write("a", 0o644))
        self.assertEqual(done.code, 2)
        self.assertIn("has mode 0644", done.err)
        for token in ("a b", "ä", "a\nb"):
            self.environment(token)
            done = await run_command("list")
            self.assertEqual(done.code, 2)
            self.assertIn("GLANCETX_TOKEN is no token", done.err)
            self.assertNotIn(token, done.err)
