# Copyright glancetx contributors. See LICENSE for details.

"""
Readers who are sent from a server to a real Swift.
"""

from __future__ import annotations

import random
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from attrs import evolve

from glancetx.config import Config
from tests.wire import MIB, Answer, Client, get

from .keystone import direct
from .swift_case import SwiftServerCase

DATA = random.Random(5).randbytes(5 * MIB)
KEY = "a-key-for-urls"


class RedirectTests(SwiftServerCase):
    """``tempurl_redirect``"""

    port = 0
    path = b""

    def config(self, *args: Any, **kwargs: Any) -> Config:
        config = super().config(*args, **kwargs)
        (store,) = config.stores
        options = {**store.options, "tempurl_redirect": True, "tempurl_key": KEY}
        return evolve(config, stores=(evolve(store, options=options),))

    def ask(self, *headers: bytes, method: bytes = b"GET") -> Answer:
        with Client(self.port) as client:
            client.send(get(self.path, method, *headers))
            return client.answer(head=method == b"HEAD")

    def read(self, url: str, **headers: str) -> tuple[int, bytes]:
        """What Swift gives to anybody."""
        try:
            with direct.open(Request(url, headers=headers)) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, b""

    async def test_sent(self) -> None:
        """
        A reader gets the bytes from Swift, whole and in part, by a URL without a token;
        a cache gets them from the server, and so does who has conditions.
        """
        server = await self.serve()
        image_id = await server.add(DATA)
        self.port, self.path = server.port, f"/images/{image_id}".encode("ascii")

        def story() -> None:
            answer = self.swift.ask("POST", "", {"X-Account-Meta-Temp-URL-Key": KEY})
            self.assertEqual(answer.code, 204)
            sent = self.ask()
            self.assertEqual((sent.code, sent.body), (302, b""))
            self.assertEqual(sent.headers[b"cache-control"], b"no-store")
            url = sent.headers[b"location"].decode("ascii")
            self.assertIn(url.partition("/v1/")[0], self.swift.proxies)
            self.assertTrue(self.read(url) == (200, DATA))
            part = self.read(url, Range="bytes=2097150-2097153")
            self.assertEqual(part, (206, DATA[2097150:2097154]))
            self.assertEqual(self.ask(method=b"HEAD").code, 200)
            for header in (b"Via: 1.1 cache", b"User-Agent: glancetx/1"):
                kept = self.ask(header)
                self.assertTrue((kept.code, kept.body) == (200, DATA))
            etag = kept.headers[b"etag"]
            self.assertEqual(self.ask(b"If-None-Match: " + etag).code, 304)
            self.assertEqual(self.ask(method=b"DELETE").code, 204)
            self.assertEqual(self.read(url)[0], 404)
            self.assert_empty()

        await self.story(story)
