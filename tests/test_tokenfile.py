# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.tokenfile}.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import ConfigError
from glancetx.identity import tokenfile
from glancetx.identity.tokenfile import (
    NewToken,
    Token,
    add_token,
    parse_token,
    read_tokens,
    revoke_token,
    secret_digest,
)

NOW = datetime(2026, 11, 23, 12, 30, 15, 999, UTC)
ID = "0123456789abcdef"
TABLE = f"""version = 1
[tokens.{ID}]
sha256 = "{"ab" * 32}"
user = "zone-a"
project = "service"
roles = ["service"]
created = 2026-11-23T12:00:00Z
"""
WRITER = """
import sys
from datetime import UTC, datetime
from glancetx.identity.tokenfile import add_token, revoke_token

path, user = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    new = add_token(path, user, "p", ("reader",), None, datetime.now(UTC))
    if number % 2:
        revoke_token(path, new.token.id)
"""


class TokenFileCase(SynchronousTestCase):
    """Has a path."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def write(self, text: str) -> None:
        Path(self.path).write_text(text, encoding="utf-8")
        os.chmod(self.path, 0o600)

    def add(
        self,
        user: str = "zone-a",
        project: str = "p",
        roles: tuple[str, ...] = ("reader",),
        expires: datetime | None = None,
    ) -> NewToken:
        return add_token(self.path, user, project, roles, expires, NOW)


class ChangeTests(TokenFileCase):
    """``add_token`` and ``revoke_token``"""

    def test_first(self) -> None:
        """
        The first token makes the file; who has the file does not have the token.
        """
        new = self.add(roles=("admin", "service"), expires=NOW + timedelta(days=1))
        text = Path(self.path).read_text(encoding="utf-8")
        token_id, secret = parse_token(new.text) or ("", "")
        self.assertNotIn(secret, text)
        self.assertIn(hashlib.sha256(secret.encode()).hexdigest(), text)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(
            read_tokens(self.path),
            {
                token_id: Token(
                    id=token_id,
                    sha256=secret_digest(secret),
                    user="zone-a",
                    project="p",
                    roles=("admin", "service"),
                    created=NOW.replace(microsecond=0),
                    expires=NOW.replace(microsecond=0) + timedelta(days=1),
                )
            },
        )

    def test_text(self) -> None:
        """
        A token can be told by its beginning, and has 256 bits that nobody can guess.
        """
        texts = {self.add().text for _ in range(5)}
        for text in texts:
            self.assertRegex(text, r"\Agtx_[0-9a-f]{16}_[0-9a-f]{64}\Z")
        self.assertEqual(len({text[-64:] for text in texts}), 5)
        self.assertEqual(len({text[:20] for text in texts}), 5)

    def test_kept(self) -> None:
        """
        Other tokens stay as they were, in their order.
        """
        zone = timezone(timedelta(hours=2))
        first = self.add(expires=datetime(2030, 1, 1, tzinfo=zone)).token
        second = self.add("b", "q.1", ("member", "x_y")).token
        third = self.add("c@example.com").token
        self.assertEqual(list(read_tokens(self.path).values()), [first, second, third])
        self.assertEqual(revoke_token(self.path, second.id), second)
        self.assertEqual(list(read_tokens(self.path).values()), [first, third])

    def test_revoke_last(self) -> None:
        """
        When the last token is revoked, a file without tokens is left.
        """
        revoke_token(self.path, self.add().token.id)
        self.assertEqual(read_tokens(self.path), {})

    def test_revoke_unknown(self) -> None:
        """
        What is not there cannot be revoked, and nothing is changed.
        """
        self.add()
        before = Path(self.path).read_bytes()
        self.assertRaises(KeyError, revoke_token, self.path, ID)
        self.assertEqual(Path(self.path).read_bytes(), before)

    def test_bad_values(self) -> None:
        """
        What would make a file that cannot be read is not put there.
        """
        for user, project, key in (
            ('a"b', "p", "user"),
            ("", "p", "user"),
            ("x" * 65, "p", "user"),
            ("u", "a b", "project"),
            ("u", "a\n", "project"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.add(user, project)
            self.assertTrue(caught.exception.key.endswith(f".{key}"))
        for roles in ((), ("Admin",), ("a b",), ("",)):
            with self.assertRaises(ConfigError) as caught:
                self.add(roles=roles)
            self.assertTrue(caught.exception.key.endswith(".roles"))
        self.assertFalse(os.path.exists(self.path))

    def test_other_file(self) -> None:
        """
        A file that is something else is not written over.
        """
        self.write("[server]\nlisten = []\n")
        with self.assertRaises(ConfigError) as caught:
            self.add()
        self.assertIn("is this a file of tokens at all?", str(caught.exception))
        self.assertIn("[server]", Path(self.path).read_text(encoding="utf-8"))

    def test_at_once(self) -> None:
        """
        Of two processes that change the file at once, none undoes what the other did.
        """
        package = os.path.dirname(os.path.abspath(tokenfile.__file__))
        home = os.path.dirname(os.path.dirname(package))
        environment = {**os.environ, "PYTHONPATH": home}
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, self.path, user],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for user in "ab"
        ]
        for writer in writers:
            self.addCleanup(writer.kill)
            assert writer.stdout is not None
            self.assertEqual(writer.stdout.readline(), "ready\n")
        for writer in writers:  # both are ready: begin
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
        self.assertEqual([writer.returncode for writer in writers], [0, 0])
        users = sorted(token.user for token in read_tokens(self.path).values())
        self.assertEqual("".join(users), "a" * 30 + "b" * 30)


class ReadTests(TokenFileCase):
    """``read_tokens``"""

    def assert_refused(self, text: str, key: str, problem: str) -> None:
        self.write(text)
        with self.assertRaises(ConfigError) as caught:
            read_tokens(self.path)
        error = caught.exception
        self.assertEqual((error.source, error.key), (self.path, key))
        self.assertIn(problem, error.problem)

    def test_by_hand(self) -> None:
        """
        What a person writes is read as well.
        """
        self.write(TABLE)
        (token,) = read_tokens(self.path).values()
        self.assertEqual((token.id, token.expires), (ID, None))
        self.assertEqual(token.created, datetime(2026, 11, 23, 12, tzinfo=UTC))

    def test_file(self) -> None:
        """
        A file that cannot be a list of tokens is refused.
        """
        for text, key, problem in (
            ("", "version", "must be 1"),
            ("version = 2", "version", "must be 1"),
            ("version = 1\nx = 1", "x", "unknown key"),
            ("version = 1\ntokens = 1", "tokens", "must be tables"),
            ("version = ", "tokens", "is not TOML"),
            ("version = " + "9" * 5000, "tokens", "digits"),
            (f"version = 1\ntokens.{ID} = 1", f"tokens.{ID}", "must be a table"),
        ):
            self.assert_refused(text, key, problem)

    def test_values(self) -> None:
        """
        Each value of a token is checked, and named.
        """
        for old, new, key, problem in (
            ("user =", "usr =", "usr", "did you mean user?"),
            ('user = "zone-a"', "", "user", "is needed"),
            ('"zone-a"', '"zone a"', "user", "must have letters"),
            ('"service"\n', '""\n', "project", "must be a text"),
            ('["service"]', "[]", "roles", "must be words"),
            ('["service"]', '["Admin"]', "roles", "must be words"),
            ('["service"]', '"admin"', "roles", "must be a list"),
            ("ab" * 32, "ab" * 31, "sha256", "must be 64 hex"),
            ("ab" * 32, "AB" * 32, "sha256", "must be 64 hex"),
            ("00Z", "00", "created", "must say its time zone"),
            ("2026-11-23T12:00:00Z", "2026-11-23", "created", "must be a time"),
        ):
            text = TABLE.replace(old, new)
            self.assertNotEqual(text, TABLE)
            self.assert_refused(text, f"tokens.{ID}.{key}", problem)
        self.assert_refused(TABLE.replace(ID, "x"), "tokens.x", "16 hexadecimal")
        self.assert_refused(
            f"{TABLE}expires = 2030-01-01T00:00:00",
            f"tokens.{ID}.expires",
            "must say its time zone",
        )

    def test_open(self) -> None:
        """
        A file that others can read is refused, though no token is in it.
        """
        self.add()
        os.chmod(self.path, 0o644)
        with self.assertRaises(ConfigError) as caught:
            read_tokens(self.path)
        self.assertIn("has mode 0644", caught.exception.problem)
        self.assertRaises(ConfigError, self.add)

    def test_not_utf8(self) -> None:
        """
        Bytes that are not UTF-8 are no list of tokens.
        """
        Path(self.path).write_bytes(b"\xff")
        os.chmod(self.path, 0o600)
        with self.assertRaises(ConfigError) as caught:
            read_tokens(self.path)
        self.assertEqual(caught.exception.problem, "is not UTF-8")


class ParseTests(SynchronousTestCase):
    """``parse_token``"""

    def test_forms(self) -> None:
        """
        Only what ``add_token`` makes is a token.
        """
        good = f"gtx_{ID}_{'0a' * 32}"
        self.assertEqual(parse_token(good), (ID, "0a" * 32))
        for odd in (
            "",
            "gtx_",
            f" {good}",
            f"{good}\n",
            good.upper(),
            good[:-1],
            good + "0",
            good.replace("gtx", "xtx"),
            re.sub("_", "-", good),
            "a" * 32,
            good.replace("0", "٠"),
        ):
            self.assertIsNone(parse_token(odd), odd)

    def test_not_shown(self) -> None:
        """
        No secret is in what a log or a traceback might show.
        """
        token = Token(ID, "ab" * 32, "u", "p", ("reader",), NOW)
        new = NewToken(token, f"gtx_{ID}_{'0a' * 32}")
        self.assertNotIn("abab", repr(new))
        self.assertNotIn("0a0a", repr(new))
