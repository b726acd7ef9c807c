# Copyright glancetx contributors. See LICENSE for details.

"""
Test cases with servers whose pieces lie in a real Swift.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread

from glancetx.backends.swift import calls, circuits, writing
from glancetx.backends.swift.containers import Containers
from glancetx.config import Config, StoreConfig
from glancetx.streaming import relay
from tests.servers import RunningServer, ServerCase
from tests.wire import MIB, Answer, Client, get

from .swift import RealSwift, missing_swift, shared_swift

__all__ = ["CONTAINER", "Upload", "SwiftServerCase"]

T = TypeVar("T")

CONTAINER = "images-"
POLL_SECONDS, POLLS = 0.02, 1500
HEADERS = {
    "Content-Type": "application/octet-stream",
    "x-image-meta-disk_format": "raw",
    "x-image-meta-container_format": "bare",
}


class Upload:
    """
    One upload that is brought in parts; use it in a thread.

    :ivar answer: what the server said, once it is finished.
    """

    def __init__(self, port: int, data: bytes, **headers: str) -> None:
        self.client = Client(port)
        self._left = data
        lines = ["POST /images HTTP/1.1", "Host: here", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (HEADERS | headers).items()]
        self.client.send("\r\n".join([*lines, "", ""]).encode("ascii"))

    def bring(self, count: int) -> None:
        """The next bytes."""
        data, self._left = self._left[:count], self._left[count:]
        self.client.send(data)

    def finish(self) -> Answer:
        """All that is left, if the server still takes it; then its answer."""
        with self.client:
            try:
                self.client.send(self._left)
            except ConnectionError:
                pass  # its answer is there already
            return self.client.answer()


class SwiftServerCase(ServerCase):
    """
    A test with the Swift of all tests, which is repaired at its end.

    What is removed is removed at once: there are no other servers' readers. Containers
    are made when they are needed: 256 of them take some seconds.

    :ivar segment_size: bytes of a segment.
    """

    skip = missing_swift()
    timeout = 120
    segment_size = 2 * MIB

    def setUp(self) -> None:
        super().setUp()
        self.patch(Containers, "make_all", lambda _: succeed(None))
        self.patch(calls, "BACKOFF", 0.02)
        self.patch(circuits, "OPEN_SECONDS", 0.5)
        self.patch(relay, "BACKOFF", 0.02)
        self.patch(writing, "MANIFEST_PAUSE", 0.02)
        self.swift = self.find_swift()
        self.addCleanup(self.swift.repair)
        self._before = set(self.swift.names(CONTAINER))
        self._containers: set[str] = set()

    def find_swift(self) -> RealSwift:
        """The Swift of these tests."""
        return shared_swift()

    def config(self, *args: Any, **kwargs: Any) -> Config:
        config = super().config(*args, **kwargs)
        options = {
            "auth": "v1",
            "auth_url": self.swift.auth_urls,
            "user": self.swift.user,
            "key": self.swift.key,
            "proxies": self.swift.proxies,
            "container": CONTAINER,
            "segment_size": self.segment_size,
            "grace_seconds": 0,
        }
        return evolve(config, stores=(StoreConfig("main", "swift", options, True),))

    def story(self, tell: Callable[[], T]) -> Deferred[T]:
        """Let a test go on in a thread, where it may wait for the servers."""
        return deferToThread(tell)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait; use it in a thread."""
        for _ in range(POLLS):
            if condition():
                return
            sleep(POLL_SECONDS)
        self.fail("it does not come to that")

    def download(self, server: RunningServer, image_id: str) -> Client:
        """A download that is about to begin, by a client with little room."""
        client = Client(server.port, receive_buffer=64 * 1024)
        client.send(get(f"/images/{image_id}".encode("ascii")))
        return client

    def names(self) -> list[str]:
        """``container/object`` of all objects of this test."""
        found = sorted(set(self.swift.names(CONTAINER)) - self._before)
        self._containers |= {name.split("/")[0] for name in found}
        return found

    def left(self) -> list[str]:
        """The same, and what is in the listings that :meth:`names` has seen."""
        found = set(self.names())
        for container in self._containers:
            listed = self.swift.listing(container)
            found |= {f"{container}/{name}" for name in listed}
        return sorted(found - self._before)

    def assert_empty(self) -> None:
        """
        Nothing is left on any disk, nor in any listing, at the latest when what was
        dead knows what it missed; use it in a thread.
        """
        if self.left():
            self.swift.update()
            self.swift.replicate()
        self.assertEqual(self.left(), [])
