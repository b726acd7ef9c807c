# Copyright glancetx contributors. See LICENSE for details.

"""
What the service does with images: create, store, find, list, open, remove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import cast
from uuid import uuid4

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger
from txaio.tx import as_future

from glancetx.caller import Caller
from glancetx.catalogue import Catalogue, Query
from glancetx.chain import chain_of, pin_of
from glancetx.errors import (
    BadValue,
    CatalogueUnavailable,
    Forbidden,
    GlancetxError,
    ImageInUse,
    PieceCorrupt,
    WrongState,
)
from glancetx.identity.policy import Target
from glancetx.image import Image, Location, Pin, Status, Visibility
from glancetx.interfaces import IPiece
from glancetx.origins import Origins
from glancetx.stores import Stores

from .access import Access, owned
from .chains import Chains
from .changes import Changes, less_visible
from .holding import Guard, Holding
from .presence import Presence
from .tasks import Tasks
from .uploads import Expected, Received, Source, Uploads

__all__ = ["Draft", "Images"]


MOST_NAMED = 100
"""Children that are named to who would delete their parent."""


@frozen
class Draft:
    """
    What a caller says of an image that it makes.

    :ivar visibility: ``None`` for shared, or less if a parent is less visible.
    :ivar owner: a project, ``None`` for the caller's own.
    """

    id: str | None = None
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: Visibility | None = None
    min_disk: int = 0
    min_ram: int = 0
    parent_id: str | None = None
    properties: Mapping[str, str] = field(factory=dict)
    owner: str | None = None
    protected: bool = False
    hidden: bool = False
    tags: frozenset[str] = frozenset()


class Images:
    """The images of this server."""

    log = Logger()

    def __init__(
        self,
        catalogue: Catalogue,
        stores: Stores,
        origins: Origins,
        chains: Chains,
        uploads: Uploads,
        presence: Presence,
        access: Access,
        changes: Changes,
        holding: Holding,
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._changes = changes
        self._holding = holding
        self._catalogue = catalogue
        self._stores = stores
        self._origins = origins
        self._chains = chains
        self._uploads = uploads
        self._presence = presence
        self._now = now
        self._tasks = Tasks()
        self._owed: list[tuple[str, Location]] = []

    async def create(self, caller: Caller, draft: Draft) -> Image:
        """
        Make a record without bytes.

        :raises Forbidden: if the caller may not, or not so visible.
        :raises ImageExists: if the id is or was taken.
        :raises BadValue: if the parent cannot be one.
        :raises TooMany: if there are more tags or properties than allowed.
        :raises OriginUnavailable: if the parent's server does not answer.
        """
        owner = caller.project if draft.owner is None else draft.owner
        self._access.require("add_image", caller, Target(owner))
        parents: tuple[Pin, ...] = ()
        if draft.parent_id is not None:
            parents = await self._chains.resolve(caller, draft.parent_id)
        cap = await self._chains.cap(parents)
        now = self._now()
        image = Image(
            id=draft.id or str(uuid4()),
            status=Status.QUEUED,
            visibility=draft.visibility or less_visible(Visibility.SHARED, cap),
            created_at=now,
            updated_at=now,
            name=draft.name,
            disk_format=draft.disk_format,
            container_format=draft.container_format,
            min_disk=draft.min_disk,
            min_ram=draft.min_ram,
            properties=draft.properties,
            parents=parents,
            owner=owner,
            protected=draft.protected,
            hidden=draft.hidden,
            tags=draft.tags,
        )
        self._changes.check_new(caller, image, cap)
        await self._holding.take(parents)
        await self._catalogue.add(image)
        return image

    def store(
        self, caller: Caller, image_id: str, source: Source, expected: Expected
    ) -> Deferred[Image]:
        """
        Bring the bytes of a queued image; it is active afterwards, or as before.

        Cancelling changes nothing: a client that leaves is noticed by the source,
        and from the commit on nobody's leaving matters.

        :raises NoSuchImage: (as a failure) if there is none.
        :raises Forbidden: (as a failure) if the caller may not.
        :raises WrongState: (as a failure) unless it is queued.
        :raises BadValue: (as a failure) if the bytes are not what was expected.
        :raises WrongFormat: (as a failure) if they are not of the declared format.
        :raises BodyLost: (as a failure) if the source ends early.
        :raises StoreFull: (as a failure) if the store has no room.
        """
        return self._tasks.run(self._store(caller, image_id, source, expected))

    async def find(self, caller: Caller, image_id: str, *rules: str) -> Image:
        """
        The record of an image, for one who may do what a rule is about.

        :param rules: one of which is enough; without any he must see it only.
        :raises NoSuchImage: if there is none that he may see.
        :raises Forbidden: if he may see it, but not do that.
        """
        return await self._access.find(caller, image_id, *rules)

    async def list(self, caller: Caller, query: Query) -> Sequence[Image]:
        """
        The images that a query asks for, and the caller may see.

        :raises Forbidden: if he may see none.
        :raises BadValue: if the marker is not an image.
        """
        self._access.require("get_images", caller, Target(caller.project))
        admin = self._access.is_admin(caller)
        query = evolve(query, project=caller.project, admin=admin)
        return await self._catalogue.list(query)

    async def guards(self, image: Image) -> Sequence[Guard]:
        """Which of an image's ancestors elsewhere are safe from being deleted."""
        return await self._holding.guards(image)

    async def open(self, image: Image) -> IPiece:
        """
        The bytes of an image that was found by the rule ``download_image``.

        :raises WrongState: unless it has bytes.
        """
        return await self._piece(image, pin_of(image))

    async def open_chain(self, caller: Caller, image: Image) -> Sequence[IPiece]:
        """
        The bytes of an image that was found by the rule ``download_image``, and of its
        parents, child first; asks no origin.

        :raises Forbidden: if a parent is deactivated, and the caller is no admin.
        :raises WrongState: unless it has bytes.
        :raises UnknownOrigin: if a parent's server is no longer configured.
        """
        await self.check_chain(caller, image)
        pieces = [
            Deferred.fromCoroutine(self._piece(image, pin)) for pin in chain_of(image)
        ]
        try:
            return await gatherResults(pieces, consumeErrors=True)
        except FirstError as first:
            raise cast(Exception, first.subFailure.value) from None

    async def check_chain(self, caller: Caller, image: Image) -> None:
        """
        Whether one who may read an image may read its parents.

        He may: who made it could read them, and it is no more visible than they are.

        :raises Forbidden: if one is deactivated, and the caller is no admin.
        """
        for pin in image.parents:
            if pin.origin is None:
                parent = await self._catalogue.find(pin.image_id)
                self._access.require_active(caller, parent)

    async def change(
        self, caller: Caller, image_id: str, alter: Callable[[Image], Image]
    ) -> Image:
        """
        Change a record, all at once or not at all.

        :param alter: makes the new record of the old one; called in another thread.
        :raises NoSuchImage: if there is none.
        :raises Forbidden: if the caller may not, or not all of it.
        :raises TooMany: if there are more tags or properties than allowed.
        """
        image = await self._access.find(caller, image_id, "modify_image")
        cap = await self._chains.cap(image.parents)
        return await self._catalogue.change(
            image_id, partial(self._changes.judged, caller, alter, cap)
        )

    async def deactivate(self, caller: Caller, image_id: str) -> Image:
        """
        Let only admins read the bytes of an image, and of those that need it.

        :raises WrongState: unless it has bytes.
        """
        await self._access.find(caller, image_id, "deactivate")

        def deactivated(image: Image) -> Image:
            self._access.require_still("deactivate", caller, image)
            return image.deactivated(self._now())

        return await self._catalogue.change(image_id, deactivated)

    async def reactivate(self, caller: Caller, image_id: str) -> Image:
        """
        Take a deactivation back.

        :raises WrongState: unless it has bytes.
        """
        await self._access.find(caller, image_id, "reactivate")

        def reactivated(image: Image) -> Image:
            self._access.require_still("reactivate", caller, image)
            return image.reactivated(self._now())

        return await self._catalogue.change(image_id, reactivated)

    def remove(
        self, caller: Caller, image_id: str, force: bool = False
    ) -> Deferred[None]:
        """
        Delete an image for ever; its id is never given again.

        :param force: though other servers have a lease of it.
        :raises NoSuchImage: (as a failure) if there is none.
        :raises Forbidden: (as a failure) if it is protected, or the caller may not.
        :raises ImageInUse: (as a failure) if it is the parent of others here, or
            leased by another server.
        :raises WrongState: (as a failure) while its bytes arrive.
        """
        return self._tasks.run(self._remove(caller, image_id, force))

    async def settled(self) -> None:
        """Wait until what is under way has ended."""
        await self._tasks.settled()

    async def _store(
        self, caller: Caller, image_id: str, source: Source, expected: Expected
    ) -> Image:
        expected = expected.bound_by(caller.grant)
        expected.check_length(source.length)
        image = await self._access.find(caller, image_id, "upload_image")
        _require_formats(image)
        await self._undo_owed()
        location = Location(self._stores.default.name, uuid4().hex)
        with self._in_doubt(image_id, location):
            image = await self._catalogue.begin(
                image_id, location, self._presence.process_id
            )
        try:
            # From here on nobody changes what the bytes are judged by.
            self._access.require_still("upload_image", caller, image)
            _require_formats(image)
            received = await self._receive(image, location, source, expected)
        except BaseException as problem:
            self.log.info(
                "image {image_id}: the upload failed: {problem}",
                image_id=image_id,
                problem=problem,
            )
            await self._undo(image_id, location)
            raise
        return await self._commit(image_id, location, received)

    async def _remove(self, caller: Caller, image_id: str, force: bool) -> None:
        image = await self._access.find(caller, image_id, "delete_image")
        if force:
            self._access.require("force_delete", caller, owned(image))
        await self._undo_owed()

        def check(image: Image) -> None:
            self._access.require_still("delete_image", caller, image)
            _require_unprotected(image)

        try:
            with self._in_doubt(image_id, image.location):
                image = await self._catalogue.delete(image_id, check, force)
        except ImageInUse as problem:
            if not problem.children:
                raise
            raise await self._told(caller, problem) from None
        if image.location is not None:
            await self._discard(image.location)

    async def _told(self, caller: Caller, problem: ImageInUse) -> ImageInUse:
        """The same; of children that the caller cannot see only how many they are."""
        query = Query(
            project=caller.project,
            admin=self._access.is_admin(caller),
            visibility="all",
            member_status="all",
            ids=problem.children[:MOST_NAMED],
            sort=(("id", False),),
            limit=MOST_NAMED,
        )
        seen = await self._catalogue.list(query)
        return ImageInUse(
            problem.image_id,
            tuple(image.id for image in seen),
            problem.holders,
            len(problem.children) - len(seen),
        )

    async def _receive(
        self, image: Image, location: Location, source: Source, expected: Expected
    ) -> Received:
        store = self._stores.get(location.store)
        writer = await store.create(location.key, source.length)
        try:
            return await self._uploads.receive(source, writer, expected, image)
        except BaseException:
            await as_future(writer.abort)
            raise

    async def _commit(
        self, image_id: str, location: Location, received: Received
    ) -> Image:
        try:
            return await self._catalogue.commit(
                image_id,
                location,
                received.size,
                received.digest,
                received.checksum,
                received.virtual_size,
            )
        except GlancetxError:
            if await self._undo(image_id, location):
                raise
            return await self._catalogue.find(image_id)

    async def _undo(self, image_id: str, location: Location) -> bool:
        """
        Back to queued, without bytes; tried again later if the catalogue is in the way.

        :returns: whether the upload failed indeed: a commit may have been done
            though its answer was lost.
        """
        try:
            return await self._give_up(image_id, location)
        except GlancetxError:
            self._owed.append((image_id, location))
            self.log.failure(
                "image {image_id}: the failed upload could not be undone; "
                "the next upload or deletion here, or the next start, will do it",
                image_id=image_id,
            )
            return True

    @contextmanager
    def _in_doubt(self, image_id: str, location: Location | None) -> Iterator[None]:
        """
        If the catalogue goes, nobody knows whether it was done: what may lie at a
        location, and belongs to no image, is removed later.
        """
        try:
            yield
        except CatalogueUnavailable:
            if location is not None:
                self._owed.append((image_id, location))
            raise

    async def _undo_owed(self) -> None:
        """
        Undo what could not be undone before: no image stays saving for nobody.

        :raises CatalogueUnavailable: if it is in the way still.
        """
        while self._owed:
            image_id, location = self._owed.pop()
            try:
                await self._give_up(image_id, location)
            except GlancetxError:
                self._owed.append((image_id, location))
                raise

    async def _give_up(self, image_id: str, location: Location) -> bool:
        try:
            await self._catalogue.abandon(image_id, location)
        except WrongState:
            return False
        await self._discard(location)
        return True

    async def _discard(self, location: Location) -> None:
        try:
            await self._stores.get(location.store).remove(location.key)
            await self._catalogue.forget(location)
        except Exception:
            self.log.failure(
                "store {store}: the bytes under {key} could not be removed; "
                "the scrub at the next start will do it",
                store=location.store,
                key=location.key,
            )

    async def _piece(self, image: Image, pin: Pin) -> IPiece:
        if pin.origin is not None:
            return self._origins.get(pin.origin).piece(pin)
        holder = image
        if pin.image_id != image.id:
            holder = await self._catalogue.find(pin.image_id)
        if holder.location is None:
            raise WrongState(holder.id, holder.status, Status.ACTIVE)
        if holder.digest != pin.digest:
            raise PieceCorrupt(holder.id, "its digest is not the one its child knows")
        return await self._stores.get(holder.location.store).piece(
            holder.location.key, pin.size
        )


def _require_formats(image: Image) -> None:
    """:raises BadValue: (naming them all) if any is not known yet."""
    names = ("disk_format", "container_format")
    missing = [name for name in names if getattr(image, name) is None]
    if missing:
        raise BadValue(" and ".join(missing), "must be given before the bytes come")


def _require_unprotected(image: Image) -> None:
    if image.protected:
        raise Forbidden(
            f"image {image.id} is protected; set protected to false before it is "
            "deleted"
        )
