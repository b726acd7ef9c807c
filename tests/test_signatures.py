# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.identity.signatures}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from twisted.trial.unittest import SynchronousTestCase

from glancetx.caller import Grant
from glancetx.errors import BadValue, ConfigError, NotAuthenticated
from glancetx.identity import signatures
from glancetx.identity.keyfile import add_key
from glancetx.identity.signatures import (
    LONGEST,
    SKEW,
    Signatures,
    is_signature,
    is_signed,
)

ID = "8f1f2a52-2b6a-4f3d-9a55-7a5d9f0c1e11"
OTHER = "8f1f2a52-2b6a-4f3d-9a55-7a5d9f0c1e12"
DIGEST = f"sha256:{'ab' * 32}"
OWN = f"/images/{ID}"
READ = Grant("GET", ID, DIGEST)
WRITE = Grant("PUT", ID, DIGEST, 1000)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

Query = dict[bytes, list[bytes]]


def parse(query: str) -> Query:
    """A query as a request has it."""
    return parse_qs(query.encode("ascii"), keep_blank_values=True)


class SignatureCase(SynchronousTestCase):
    """Has keys, and a clock."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        add_key(self.path)
        self.now = NOW
        self.signatures = Signatures(self.path, lambda: self.now)

    def sign(
        self, grant: Grant = READ, path: str = OWN, lifetime: timedelta = HOUR
    ) -> Query:
        return parse(self.signatures.sign(grant, path, lifetime))

    def verify(self, query: Query, method: str = "GET", path: str = OWN) -> Grant:
        return self.signatures.verify(method, path, query)

    def refused(self, query: Query, method: str = "GET", path: str = OWN) -> str:
        """Why a request is refused."""
        with self.assertRaises(NotAuthenticated) as caught:
            self.verify(query, method, path)
        return str(caught.exception)


class VerifyTests(SignatureCase):
    """``Signatures.verify``"""

    def test_read(self) -> None:
        """
        Who has a signed URL may read the bytes that it names, and ask for the headers.
        """
        for path in (
            OWN,
            f"/v1{OWN}",
            f"{OWN}/chain",
            f"{OWN}/stream",
            f"{OWN}/chain.tar",
            f"/v2{OWN}/file",
        ):
            query = self.sign(path=path)
            self.assertEqual(self.verify(query, path=path), READ)
            self.assertEqual(self.verify(query, "HEAD", path), READ)

    def test_write(self) -> None:
        """
        A URL for an upload names the bytes that must come, and how many.
        """
        for path in (OWN, f"/v2{OWN}/file"):
            query = self.sign(WRITE, path)
            self.assertEqual(self.verify(query, "PUT", path), WRITE)

    def test_other_method(self) -> None:
        """
        What is signed for one method is good for no other.
        """
        read, write = self.sign(), self.sign(WRITE)
        for query, methods in (
            (read, ("PUT", "DELETE", "POST", "PATCH", "OPTIONS")),
            (write, ("GET", "HEAD", "DELETE", "POST")),
        ):
            for method in methods:
                self.assertIn("is signed for", self.refused(query, method))

    def test_other_address(self) -> None:
        """
        What is signed for one address is good for no other, not even of that image.
        """
        query = self.sign()
        for path in (
            f"/images/{OTHER}",
            f"{OWN}/stream",
            f"{OWN}/chain",
            f"{OWN}/chain.tar",
            f"/v1{OWN}",
            f"/v2{OWN}/file",
            f"/v2{OWN}",
            f"{OWN}/",
            f"//images/{ID}",
            f"/images/{ID.upper()}",
            f"{OWN}/leases/x",
            "/images",
        ):
            self.assertIn(
                "signature of this URL is not good", self.refused(query, path=path)
            )

    def test_changed(self) -> None:
        """
        Whatever is changed in a signed URL makes it worthless.
        """
        query = self.sign(WRITE)
        self.assertEqual(self.verify(query, "PUT"), WRITE)
        for name, value in (
            (b"gtx_expires", b"%d" % ((NOW + LONGEST).timestamp())),
            (b"gtx_digest", b"sha256:" + b"cd" * 32),
            (b"gtx_digest", b"sha512:" + b"cd" * 64),
            (b"gtx_size", b"1001"),
            (b"gtx_key", b"other"),
            (b"gtx_sig", b"0" * 64),
            (b"gtx_sig", query[b"gtx_sig"][0].upper()),
            (b"gtx_sig", b""),
        ):
            changed = {**query, name: [value]}
            self.assertIn("is not good", self.refused(changed, "PUT"), name)

    def test_every_bit(self) -> None:
        """
        A signature with one digit that differs is no signature.
        """
        query = self.sign()
        (good,) = query[b"gtx_sig"]
        for place in range(len(good)):
            digit = b"0" if good[place : place + 1] != b"0" else b"1"
            bad = good[:place] + digit + good[place + 1 :]
            self.refused({**query, b"gtx_sig": [bad]})

    def test_further_parameters(self) -> None:
        """
        Nothing that was not signed can be added to the query.
        """
        for name in (b"layout", b"force", b"gtx_more", b"\xff", b"gtx_size"):
            found = self.refused({**self.sign(), name: [b"1"]})
            self.assertIn("cannot be in the query of a signed URL", found)

    def test_twice(self) -> None:
        """
        A parameter that is given twice is not taken for either.
        """
        query = self.sign(WRITE)
        for name, values in query.items():
            found = self.refused({**query, name: values * 2}, "PUT")
            self.assertIn("in this signed URL", found)

    def test_missing(self) -> None:
        """
        What lacks a part is refused, and the part is named.
        """
        query = self.sign(WRITE)
        for name in query:
            rest = {key: values for key, values in query.items() if key != name}
            self.refused(rest, "PUT")
        self.assertEqual(
            self.refused({b"gtx_sig": [b"x"]}),
            "gtx_key is given not at all in this signed URL",
        )

    def test_odd_values(self) -> None:
        """
        Values that no program would write are refused before any is used.
        """
        query = self.sign(WRITE)
        for name in (b"gtx_expires", b"gtx_size"):
            for value in (b"", b"-1", b"1.5", b"01", b"9" * 19, b"1 ", b"\xd9\xa1"):
                self.refused({**query, name: [value]}, "PUT")
        for name in query:
            self.refused({**query, name: [b"\xff"]}, "PUT")

    def test_fields_apart(self) -> None:
        """
        No two queries have the same text to be signed, wherever a field ends.
        """
        key = signatures._NO_KEY
        found = {
            signatures._mac(key, path, {"gtx_key": name, "gtx_method": method})
            for path, name, method in (
                ("/a", "b", "cd"),
                ("/a", "bc", "d"),
                ("/ab", "", "cd"),
            )
        }
        self.assertEqual(len(found), 3)


class TimeTests(SignatureCase):
    """``Signatures``: how long a URL is good"""

    def test_expires(self) -> None:
        """
        A URL is good to its end, and for as long as clocks may differ; then it says so.
        """
        query = self.sign()
        self.now = NOW + HOUR + SKEW
        self.assertEqual(self.verify(query), READ)
        self.now += timedelta(seconds=1)
        self.assertEqual(
            self.refused(query), "this signed URL expired at 2026-11-23 13:00:00+00:00"
        )

    def test_wrong_first(self) -> None:
        """
        Of a URL that nobody signed nothing is said but that.
        """
        query = {**self.sign(), b"gtx_expires": [b"1"]}
        self.assertIn("is not good", self.refused(query))

    def test_clock_behind(self) -> None:
        """
        A server whose clock is behind by no more than clocks may differ takes it.
        """
        query = self.sign(lifetime=LONGEST)
        self.now = NOW - SKEW
        self.assertEqual(self.verify(query), READ)
        self.now -= timedelta(seconds=1)
        self.assertIn("more than 24 hours", self.refused(query))

    def test_too_long(self) -> None:
        """
        A URL for more than a day, or for no time, is not made.
        """
        for lifetime in (LONGEST + timedelta(seconds=1), timedelta(), -HOUR):
            with self.assertRaises(BadValue) as caught:
                self.sign(lifetime=lifetime)
            self.assertEqual(caught.exception.field, "expires")

    def test_far_jump(self) -> None:
        """
        A clock that is years off takes nothing for good.
        """
        query = self.sign()
        for days in (-400, 400):
            self.now = NOW + timedelta(days=days)
            self.refused(query)


class SignTests(SignatureCase):
    """``Signatures.sign``"""

    def test_refused(self) -> None:
        """
        What cannot be granted is not signed, and it is said what is wrong.
        """
        for grant, path, field in (
            (READ, f"/images/{OTHER}", "path"),
            (READ, f"/v2{OWN}", "path"),
            (READ, "/images", "path"),
            (Grant("GET", "golden", DIGEST), "/images/golden", "path"),
            (Grant("DELETE", ID, DIGEST), OWN, "method"),
            (Grant("HEAD", ID, DIGEST), OWN, "method"),
            (Grant("GET", ID, "md5:" + "ab" * 16), OWN, "digest"),
            (Grant("GET", ID, "sha256:" + "AB" * 32), OWN, "digest"),
            (Grant("GET", ID, ""), OWN, "digest"),
            (Grant("GET", ID, DIGEST, 1), OWN, "size"),
            (Grant("PUT", ID, DIGEST), OWN, "size"),
            (WRITE, f"{OWN}/stream", "path"),
            (WRITE, f"{OWN}/chain", "path"),
        ):
            with self.assertRaises(BadValue) as caught:
                self.sign(grant, path)
            self.assertEqual(caught.exception.field, field)

    def test_plain(self) -> None:
        """
        The query can be typed: it has no escapes.
        """
        query = self.signatures.sign(READ, OWN, HOUR)
        self.assertRegex(query, r"\A[a-z_0-9=&:A-Z]+\Z")
        self.assertIn(f"gtx_digest={DIGEST}&", query)


class KeysTests(SignatureCase):
    """``Signatures``: its keys"""

    def test_rotation(self) -> None:
        """
        A new key signs; what the one before it signed is good until it is dropped.
        """
        before = self.sign()
        add_key(self.path)
        self.signatures.reload()
        after = self.sign()
        self.assertNotEqual(before[b"gtx_key"], after[b"gtx_key"])
        self.assertEqual(self.verify(before), self.verify(after))
        add_key(self.path)
        self.signatures.reload()
        self.assertIn("is not good", self.refused(before))
        self.verify(after)

    def test_other_key(self) -> None:
        """
        A signature is good only by the key that it names.
        """
        add_key(self.path)
        self.signatures.reload()
        query = self.sign()
        old = [
            key for key in self.signatures._keys if key.encode() != query[b"gtx_key"][0]
        ]
        self.refused({**query, b"gtx_key": [old[0].encode()]})

    def test_no_key(self) -> None:
        """
        Nor is anything good that is signed with the key of a server that has none.
        """
        forged = {**self.sign(), b"gtx_key": [b""]}
        facts = {name.decode(): one[0].decode() for name, one in forged.items()}
        facts["gtx_sig"] = signatures._mac(signatures._NO_KEY, OWN, facts)
        self.assertIn("is not good", self.refused(parse(urlencode(facts))))

    def test_without(self) -> None:
        """
        A server without keys takes no signed URL, and makes none.
        """
        query = self.sign()
        self.signatures = Signatures(None)
        self.assertEqual(self.refused(query), "this server takes no signed URLs")
        with self.assertRaises(BadValue):
            self.sign()

    def test_bad_reload(self) -> None:
        """
        Keys that cannot be read are refused, and the old ones stay good.
        """
        query = self.sign()
        Path(self.path).write_text("")
        self.assertRaises(ConfigError, self.signatures.reload)
        self.assertEqual(self.verify(query), READ)

    def test_signed_by_others(self) -> None:
        """
        What has a right signature, but could not be signed here, grants nothing.
        """
        for facts, path in (
            ({"gtx_method": "DELETE"}, OWN),
            ({"gtx_digest": "md5:" + "ab" * 16}, OWN),
            ({}, f"{OWN}/leases/x"),
            ({}, "/images/detail"),
            ({"gtx_method": "PUT", "gtx_size": "1"}, f"{OWN}/stream"),
        ):
            query = {name.decode(): v[0].decode() for name, v in self.sign().items()}
            query |= facts
            (key,) = self.signatures._keys.values()
            query["gtx_sig"] = signatures._mac(key, path, query)
            method = query["gtx_method"]
            self.refused(parse(urlencode(query)), method, path)


class QueryTests(SignatureCase):
    """``is_signed`` and ``is_signature``"""

    def test_is_signed(self) -> None:
        """
        A query with a signature means to be a signed one, good or bad.
        """
        self.assertTrue(is_signed(self.sign()))
        self.assertTrue(is_signed({b"gtx_sig": []}))
        self.assertFalse(is_signed({b"layout": [b"own"]}))

    def test_is_signature(self) -> None:
        """
        A text is a signature to read with if it has what that needs, and no more.
        """
        query = self.signatures.sign(READ, OWN, HOUR)
        self.assertTrue(is_signature(query))
        for odd in self.odd(query):
            self.assertFalse(is_signature(odd), odd)

    def odd(self, query: str) -> Iterator[str]:
        yield from ("", "x", "gtx_sig=1", f"{query}&layout=own", f"{query}&{query}")
        yield f"{query}&gtx_sig=1"
        yield query.replace("gtx_key", "gtx_kex")
        for odd in "é \t\r\n#/?":
            yield query + odd
        yield query + "0" * 2000
        yield self.signatures.sign(WRITE, OWN, HOUR)
