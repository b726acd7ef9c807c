# Copyright glancetx contributors. See LICENSE for details.

"""
Catalogues in files, images and other programs, for tests.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import glancetx
from glancetx.catalogue import Catalogue, Process
from glancetx.image import Digest, Image, Location, Pin, Status, Visibility

#: When the tests' time begins.
NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
DIGEST = Digest("sha256", "ab" * 32)

reactor: Any = _reactor


def new_image(**fields: Any) -> Image:
    """A queued image without any wish."""
    image = Image(str(uuid4()), Status.QUEUED, Visibility.PRIVATE, NOON, NOON)
    return evolve(image, **fields)


def new_location() -> Location:
    """A place where nothing ever was."""
    return Location("main", uuid4().hex)


def pin_of(image: Image, origin: str | None = None) -> Pin:
    """What a child knows of an active image."""
    assert image.size is not None and image.digest is not None
    return Pin(
        origin=origin,
        image_id=image.id,
        path="" if origin is None else f"/images/{image.id}",
        name=image.name,
        disk_format=image.disk_format or "raw",
        size=image.size,
        virtual_size=image.virtual_size,
        checksum=image.checksum,
        digest=image.digest,
    )


def far_pin(origin: str = "http://global.invalid", **fields: Any) -> Pin:
    """What a child knows of an image on another server."""
    image_id = str(uuid4())
    pin = Pin(
        origin, image_id, f"/images/{image_id}", None, "qcow2", 9, None, None, DIGEST
    )
    return evolve(pin, **fields)


class CatalogueTestCase(TestCase):
    """Tests with catalogues in files, each closed in the end."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp()).absolute() / "catalogue.sqlite"
        self.now = NOON
        self.catalogue = await self.open()
        self.process = await self.join(self.catalogue)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    async def open(self, busy_seconds: float = 10.0) -> Catalogue:
        """Another server's catalogue on the same file."""
        catalogue = Catalogue(self.url, reactor, lambda: self.now, busy_seconds)
        await catalogue.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(catalogue.stop()))
        return catalogue

    async def join(self, catalogue: Catalogue) -> str:
        """The id of a process that is known, and has no lock."""
        process = Process(str(uuid4()), "elsewhere.invalid", 1, "/nowhere", self.now)
        await catalogue.join(process)
        return process.id

    def pass_seconds(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    async def queued(self, **fields: Any) -> Image:
        image = new_image(**fields)
        await self.catalogue.add(image)
        return image

    async def saving(self, **fields: Any) -> tuple[Image, Location]:
        image, location = await self.queued(**fields), new_location()
        return await self.catalogue.begin(image.id, location, self.process), location

    async def active(self, size: int = 4096, **fields: Any) -> Image:
        image, location = await self.saving(**fields)
        return await self.catalogue.commit(image.id, location, size, DIGEST, None)


class Program(ProcessProtocol):
    """
    A Python program that talks in lines.

    :param code: what it runs; it finds this package, wherever that is installed.
    """

    def __init__(self, code: str, *arguments: str) -> None:
        self._received = b""
        self._lines: list[bytes] = []
        self._wanted: list[Deferred[str]] = []
        self._errors = b""
        self.ended: Deferred[int | None] = Deferred()
        home = str(Path(glancetx.__file__).parent.parent)
        self._process = reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-c", code, *arguments],
            env={"PYTHONPATH": home},
        )

    @property
    def is_running(self) -> bool:
        return not self.ended.called

    async def line(self) -> str:
        """The next line that it prints."""
        if not self._lines:
            wanted: Deferred[str] = Deferred()
            self._wanted.append(wanted)
            return await wanted
        return self._lines.pop(0).decode()

    def say(self, line: str) -> None:
        """Send it a line."""
        self._process.write(line.encode() + b"\n")

    async def kill(self) -> None:
        """End it as nothing can be ended more abruptly."""
        if self.is_running:
            self._process.signalProcess("KILL")
            await self.ended

    def outReceived(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if self._wanted:
                self._wanted.pop(0).callback(line.decode())
            else:
                self._lines.append(line)

    def errReceived(self, data: bytes) -> None:
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        wanted, self._wanted = self._wanted, []
        for deferred in wanted:
            deferred.errback(RuntimeError(f"it ended: {self._errors.decode()}"))
        self.ended.callback(0 if reason.check(ProcessDone) else None)
