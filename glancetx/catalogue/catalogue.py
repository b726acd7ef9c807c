# Copyright glancetx contributors. See LICENSE for details.

"""
The catalogue, as the reactor's thread sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet.threads import deferToThreadPool

from glancetx.errors import CatalogueUnavailable
from glancetx.image import Digest, Image, Lease, Location, Member, MemberStatus, Pin
from glancetx.times import utcnow

from . import holds, images, intents, leases, members, processes
from .calls import Calls, Threads, read, write
from .db import upgrade
from .engines import BUSY_SECONDS, make_engine, shown
from .holds import Hold
from .intents import Intent
from .listing import list_images
from .postgresql import GRACE_SECONDS
from .processes import Process
from .query import Query

__all__ = ["Catalogue"]

#: How many connections there are at most: one writes, the others read.
CONNECTIONS = 4


class Catalogue:
    """
    The records of images, their chains, the intents and the processes.

    Several processes may use one database. Each call that changes something is one
    transaction, durable once it fires. Every call raises
    :class:`~glancetx.errors.CatalogueUnavailable` while the database is in trouble
    (locked for too long, full, broken, away).

    :param url: e.g. ``sqlite:////var/lib/glancetx/catalogue.sqlite``, or
        ``postgresql://glancetx:secret@db.example.com/glancetx``.
    :param reactor: provides ``IReactorTime`` and ``IReactorFromThreads``.
    :param busy_seconds: how long a call waits while another process writes, and for
        any answer of a database that is a server.
    :param connections: how many there are at most: one writes, the others read.
    :ivar place: its URL as it may be shown: without a password.
    :raises ConfigError: if the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        reactor: Any,
        now: Callable[[], datetime] = utcnow,
        busy_seconds: float = BUSY_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self.url = url
        self.place = shown(url)
        self._reactor = reactor
        self._now = now
        self._busy_seconds = busy_seconds
        self._connections = connections
        self._open: tuple[Calls, Calls] | None = None

    async def start(self) -> None:
        """
        Make or upgrade the database, and open it.

        :raises CatalogueUnavailable: if it is newer than the code, or in trouble.
        :raises ConfigError: if the URL cannot be used.
        """
        threads = Threads(0, 1, "catalogue-upgrade")
        threads.start()
        try:
            await deferToThreadPool(
                self._reactor, threads, upgrade, self.url, self._busy_seconds
            )
        finally:
            threads.stop()
        self._open = (self._calls(False), self._calls(True))

    async def stop(self) -> None:
        """Close the database, after the calls that were made; idempotent."""
        opened, self._open = self._open, None
        for calls in opened or ():
            await calls.stop()

    async def find(self, image_id: str) -> Image:
        """
        One image.

        :raises NoSuchImage: if there is none, or none any more.
        """
        return await self._reads.ask(images.find_all, image_id)

    async def add(self, image: Image) -> None:
        """
        Keep a new image, which is queued.

        :raises ImageExists: if its id is or was taken.
        :raises BadValue: (``parent_id``) if an ancestor on this server is not, or no
            longer, active.
        :raises WrongState: if it is not queued.
        """
        await self._writes.call(images.add, image)

    async def begin(self, image_id: str, location: Location, process_id: str) -> Image:
        """
        Begin an upload, before its first byte is written: queued to saving.

        :param location: a new one; locations never come back.
        :raises NoSuchImage: if there is no such image.
        :raises WrongState: unless it is queued.
        :raises CatalogueUnavailable: also if the process is not one that has joined.
        """
        return await self._writes.call(
            intents.begin, self._now(), image_id, location, process_id
        )

    async def commit(
        self,
        image_id: str,
        location: Location,
        size: int,
        digest: Digest,
        checksum: str | None,
        virtual_size: int | None = None,
    ) -> Image:
        """
        End an upload, after its bytes are durable: saving to active.

        :param virtual_size: bytes of the disk that a machine sees, if the format says.
        :raises NoSuchImage: if there is no such image.
        :raises WrongState: if the upload was abandoned, or condemned by a scrub that
            took this process for dead.
        """
        return await self._writes.call(
            intents.commit,
            self._now(),
            image_id,
            location,
            size,
            digest,
            checksum,
            virtual_size,
        )

    async def abandon(self, image_id: str, location: Location) -> None:
        """
        Give an upload up: saving to queued. Idempotent.

        From here on any scrub may remove what lies at the location, so whatever still
        writes there must have been stopped. Remove the bytes, then :meth:`forget`.

        :raises WrongState: if the upload was committed: do not remove its bytes.
        """
        await self._writes.call(intents.abandon, self._now(), image_id, location)

    async def forget(self, location: Location) -> None:
        """Drop the intent of bytes that are removed. Idempotent."""
        await self._writes.call(intents.forget, location)

    async def change(self, image_id: str, alter: Callable[[Image], Image]) -> Image:
        """
        Change an image, all at once or not at all.

        :param alter: makes the new record of the one that is kept; called in another
            thread while nobody else can change it. What it raises is raised here. The
            id, the bytes and the chain stay as they are, whatever it makes of them.
        :returns: the image as it is now.
        :raises NoSuchImage: if there is none.
        :raises WrongState: if the state changes otherwise than between active and
            deactivated.
        :raises BadValue: if a number is too large to be kept.
        """
        return await self._writes.call(images.change, image_id, alter)

    async def delete(
        self,
        image_id: str,
        check: Callable[[Image], None] = lambda image: None,
        force: bool = False,
    ) -> Image:
        """
        Delete an image; its id never comes back. Its members and leases go with it.

        If it has bytes, an intent for them is left: remove them, then :meth:`forget`.

        :param check: raises if this image must stay; called in another thread, before
            anything else is judged.
        :param force: whether leases of other servers do not matter.
        :returns: the image as it was.
        :raises ImageInUse: if images here have it in their chains (names the nearest),
            or other servers have leases of it.
        :raises WrongState: while it is being uploaded.
        :raises NoSuchImage: if there is none.
        """
        return await self._writes.call(
            images.delete, self._now(), image_id, check, force
        )

    async def membership(self, image_id: str, project: str) -> Member | None:
        """What a project is to an image that may be shared with it."""
        return await self._reads.call(members.find, image_id, project)

    async def members(self, image_id: str) -> tuple[Member, ...]:
        """The projects that an image is shared with, the first of them first."""
        return await self._reads.call(members.of_image, image_id)

    async def add_member(self, member: Member, most: int) -> None:
        """
        Share an image with a project.

        :param most: with how many projects it may be shared.
        :raises NoSuchImage: if there is no such image.
        :raises MemberExists: if it is shared with the project already.
        :raises TooMany: if it is shared with so many.
        """
        await self._writes.call(members.add, member, most)

    async def set_member(
        self, image_id: str, project: str, status: MemberStatus, now: datetime
    ) -> Member:
        """
        Note what a project makes of an image that is shared with it.

        :returns: the member as it is now.
        :raises NoSuchMember: if it is not shared with the project.
        """
        return await self._writes.call(members.change, image_id, project, status, now)

    async def remove_member(self, image_id: str, project: str) -> None:
        """
        Share an image with a project no longer.

        :raises NoSuchMember: if it was not.
        """
        await self._writes.call(members.remove, image_id, project)

    async def leases(self, image_id: str) -> tuple[Lease, ...]:
        """The leases that other servers have of an image, the first of them first."""
        return await self._reads.call(leases.of_image, image_id)

    async def lease(self, lease: Lease, digest: Digest, most: int) -> bool:
        """
        Give a lease, or renew it.

        :param digest: of the bytes that the holder needs.
        :param most: how many leases of an image one project may have.
        :returns: whether it is new; a renewed one keeps its ``created_at``.
        :raises NoSuchImage: if there is no such image.
        :raises LeaseConflict: if the image has other bytes, or none.
        :raises Forbidden: if another project took the holder's lease.
        :raises TooMany: if the image has so many.
        """
        return await self._writes.call(leases.give, lease, digest, most)

    async def release(self, image_id: str, holder: str) -> None:
        """
        End a lease.

        :raises NoSuchLease: if there is none.
        """
        await self._writes.call(leases.end, image_id, holder)

    async def holds(self) -> tuple[Hold, ...]:
        """The leases that this server has, or should have, of images elsewhere."""
        return await self._reads.call(holds.everything)

    async def holds_of(self, image_id: str) -> tuple[Hold, ...]:
        """What is noted of leases of an image's ancestors elsewhere, nearest first."""
        return await self._reads.call(holds.of_image, image_id)

    async def hold(self, *noted: Hold) -> None:
        """Note how it stands with leases elsewhere; replaces what was noted."""
        await self._writes.call(holds.note, self._now(), *noted)

    async def claim(self, hold: Hold) -> Hold | None:
        """
        See to a lease elsewhere, unless another process did since it was read.

        :returns: the hold as it is now, or ``None``.
        """
        return await self._writes.call(holds.claim, self._now(), hold)

    async def unhold(self, hold: Hold) -> bool:
        """
        Forget a lease elsewhere.

        :returns: false if it was noted anew since it was read: it is needed again.
        """
        return await self._writes.call(holds.forget, hold)

    async def needed_holds(self) -> tuple[tuple[str, str, Digest], ...]:
        """
        The images on other glancetx servers that chains here need.

        :returns: origin, id and digest of each, sorted.
        """
        return await self._reads.call(holds.needed)

    async def server_id(self) -> str:
        """The name of this server as a holder of leases; a UUID, ever the same."""
        return await self._reads.call(holds.server_id)

    async def children(self, image_id: str) -> tuple[str, ...]:
        """The ids of the images here whose direct parent is this local image."""
        return await self._reads.call(images.children, image_id)

    async def known_chain(self, origin: str, image_id: str) -> tuple[Pin, ...] | None:
        """
        What an image here has pinned of an image at an origin, and of its parents.

        :param origin: the origin's ``url``, as in :class:`~glancetx.image.Pin`.
        :returns: that image's pin and the rest of the chain, or ``None``.
        """
        return await self._reads.call(images.known_chain, origin, image_id)

    async def join(self, process: Process) -> None:
        """Make a process known, or known again. Idempotent."""
        await self._writes.call(processes.join, process)

    async def beat(self, process_id: str) -> bool:
        """Say that a process lives; false if it is not known (any more)."""
        return await self._writes.call(processes.beat, self._now(), process_id)

    async def leave(self, process_id: str) -> None:
        """Forget a process that ends; what it leaves belongs to nobody."""
        await self._writes.call(processes.leave, process_id)

    async def bury(self, process: Process) -> bool:
        """
        Forget a dead process.

        :returns: false if it has intents, or was heard of since.
        """
        return await self._writes.call(processes.bury, process)

    async def processes(self) -> list[Process]:
        """All known processes, dead ones too."""
        return await self._reads.call(processes.everyone)

    async def leftovers(self) -> list[Intent]:
        """All intents: what may have to be removed, and what is being uploaded."""
        return await self._reads.call(intents.leftovers)

    async def condemn(self, intent: Intent) -> bool:
        """
        Take the bytes of a dead process's upload, or of nobody's, to be removed.

        An image that was saving through it is queued again, and a commit refused.

        :returns: false if the upload was committed or its intent is gone: leave the
            bytes alone.
        """
        return await self._writes.call(intents.condemn, self._now(), intent.location)

    async def list(self, query: Query) -> list[Image]:
        """
        One page of the images that a query asks for, in its order.

        :raises BadValue: if the marker is no image that who asks can see.
        """
        return await self._reads.call(list_images, query)

    def _calls(self, writes: bool) -> Calls:
        width = 1 if writes else self._connections - 1
        engine = make_engine(
            self.url,
            writes=writes,
            connections=width,
            busy_seconds=self._busy_seconds,
        )
        patience = None
        if engine.dialect.name == "postgresql":
            patience = self._busy_seconds + GRACE_SECONDS
        job = write if writes else read
        return Calls(self._reactor, engine, job, width, patience)

    @property
    def _reads(self) -> Calls:
        if self._open is None:
            raise CatalogueUnavailable("it is not open")
        return self._open[0]

    @property
    def _writes(self) -> Calls:
        if self._open is None:
            raise CatalogueUnavailable("it is not open")
        return self._open[1]
