# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the door of ``glancetx.backends.swift`` to a real Swift, and for its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import count
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from twisted.internet.defer import Deferred

from glancetx.backends.swift.backend import SwiftBackend
from glancetx.errors import StoreUnavailable
from glancetx.testing import RecordingConsumer
from tests.swift_case import MIB, StoreCase

from .keystone import GLANCE, Keystone, direct
from .programs import missing
from .swift import RealSwift, missing_swift, shared_swift

KEYS = count(1)
DATA = bytes(range(256)) * 10000
#: Nobody listens there.
NOBODY = "http://127.0.0.1:9/auth/v1.0"


@cache
def keystone() -> Keystone:
    """Whose tokens a Swift of this module takes."""
    return Keystone()


@cache
def swift_of_keystone() -> RealSwift:
    """That Swift."""
    return RealSwift(keystone())


class DoorCase(StoreCase):
    """A store in a real Swift that is repaired after each test."""

    def setUp(self) -> None:
        self.swift = self.find_swift()
        self.addCleanup(self.swift.repair)
        super().setUp()

    def find_swift(self) -> RealSwift:
        return shared_swift()

    def auth_url(self) -> str:
        return self.swift.auth_url

    def proxies(self) -> list[str]:
        return self.swift.proxies

    def store(self, **more: Any) -> SwiftBackend:
        return self.new_backend(container="door-", **more)

    async def write(
        self, backend: SwiftBackend, other: SwiftBackend | None = None
    ) -> str:
        """
        Write :data:`DATA`; its key.

        :param other: what removes it in the end.
        """
        key = f"ab{next(KEYS):030x}"
        writer = await backend.create(key, len(DATA))
        for start in range(0, len(DATA), MIB):
            await writer.write(DATA[start : start + MIB])
        await writer.finish()
        self.addCleanup(lambda: Deferred.fromCoroutine((other or backend).remove(key)))
        return key

    async def check_kept(self, backend: SwiftBackend, key: str) -> None:
        """What was written can be read."""
        consumer = RecordingConsumer()
        piece: Any = backend.piece(key, len(DATA))
        await piece.produce(consumer, 0, len(DATA))
        self.assertTrue(consumer.received == DATA, "other bytes came")

    async def refused(self, backend: SwiftBackend) -> str:
        """The store cannot be written to."""
        writing = Deferred.fromCoroutine(self.write(backend))
        error: Any = await self.assertFailure(writing, StoreUnavailable)
        return str(error.reason)


class OwnTokensTests(DoorCase):
    """The cluster's own tokens"""

    skip = missing_swift()

    async def test_forgotten(self) -> None:
        """
        Tokens that the cluster forgets are replaced, and nobody sees it.
        """
        backend = self.store()
        key = await self.write(backend)
        self.swift.expire_tokens()
        await self.check_kept(backend, key)
        self.swift.expire_tokens()
        await self.write(backend)

    async def test_one_server_gone(self) -> None:
        """
        A server of tokens that is gone is passed over, and so is a proxy.
        """
        backend = self.store(auth_url=[NOBODY, *self.swift.auth_urls])
        key = await self.write(backend)
        self.swift.kill_proxy(1)
        self.swift.expire_tokens()
        await self.check_kept(backend, key)
        await self.write(backend)

    async def test_wrong_key(self) -> None:
        """
        A key that is not accepted is told as such.
        """
        self.assertIn("credential", await self.refused(self.store(key="wrong")))

    async def test_without_proxies(self) -> None:
        """
        The URL that comes with a token suffices.
        """
        backend = self.store(proxies=None)
        await self.check_kept(backend, await self.write(backend))

    async def test_policies(self) -> None:
        """
        Containers have the policy that was asked for; one that there is not, or
        another than that of a container which is there, is told by its key.
        """
        await self.write(self.new_backend(container="two-", policy="two"))
        answer = self.swift.ask("HEAD", "/two-ab")
        self.assertEqual(answer.headers["X-Storage-Policy"], "two")
        for policy, problem in (("three", "another"), ("none", "does not know")):
            reason = await self.refused(
                self.new_backend(container="two-", policy=policy)
            )
            self.assertIn(problem, reason)
            self.assertIn("stores.testing.policy", reason)

    async def test_other_region(self) -> None:
        """
        While no proxy of its own answers, a store is read by those of another region,
        and not written.
        """
        near, far = self.swift.proxies
        backend = self.store(
            proxies=[near], read_proxies=[far], auth_url=self.swift.auth_urls
        )
        other = self.store(auth_url=self.swift.auth_urls)
        key = await self.write(backend, other)
        self.swift.kill_proxy(1)
        await self.check_kept(backend, key)
        await self.refused(backend)

    async def test_signed(self) -> None:
        """
        By a signed URL anybody reads a piece of several segments, whole and in part;
        by no other.
        """
        answer = self.swift.ask("POST", "", {"X-Account-Meta-Temp-URL-Key": "secret"})
        self.assertEqual(answer.code, 204)
        backend = self.store(tempurl_redirect=True, tempurl_key="secret")
        piece: Any = backend.piece(await self.write(backend), len(DATA))
        url = await piece.location()
        self.assertEqual(self.read(url), (200, DATA))
        wanted = {"Range": "bytes=1048570-1048585"}
        self.assertEqual(self.read(url, wanted), (206, DATA[1048570:1048586]))
        for bad in (url[:-1], url.replace("/door-ab/", "/door-ac/"), url.split("?")[0]):
            self.assertEqual(self.read(bad)[0], 401)

    def read(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """What anybody is told."""
        try:
            with direct.open(Request(url, headers=dict(headers or {}))) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, b""


class KeystoneTests(DoorCase):
    """Tokens of Keystone"""

    skip = missing_swift() or missing("keystone")

    def find_swift(self) -> RealSwift:
        return swift_of_keystone()

    def store(self, **more: Any) -> SwiftBackend:
        given = {"auth": "v3", "auth_url": keystone().url, "user": None, "key": None}
        return super().store(**{**given, **more})

    async def test_application_credential(self) -> None:
        """
        An application credential opens the account of its project.
        """
        name, secret = keystone().application_credential(GLANCE, self.id())
        backend = self.store(
            application_credential_id=name, application_credential_secret=secret
        )
        await self.check_kept(backend, await self.write(backend))
        wrong = self.store(
            application_credential_id=name, application_credential_secret="wrong"
        )
        self.assertIn("credential", await self.refused(wrong))

    async def test_password(self) -> None:
        """
        So does a user's password; the URL is found in the catalogue.
        """
        backend = self.store(
            proxies=None,
            username=GLANCE.user,
            password=GLANCE.password,
            project_name=GLANCE.project,
            user_domain_name="Default",
            project_domain_name="Default",
        )
        await self.check_kept(backend, await self.write(backend))
