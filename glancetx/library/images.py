# Copyright glancetx contributors. See LICENSE for details.

"""
What the service does with images: create, store, find, list, open, remove.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import uuid4

from attrs import field, frozen
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger
from txaio.tx import as_future

from glancetx.catalogue import Catalogue, Query
from glancetx.chain import chain_of, pin_of
from glancetx.errors import BadValue, GlancetxError, PieceCorrupt, WrongState
from glancetx.image import Image, Location, Pin, Status, Visibility
from glancetx.interfaces import IPiece
from glancetx.origins import Origins
from glancetx.stores import Stores

from .chains import Chains
from .presence import Presence
from .tasks import Tasks
from .uploads import Expected, Received, Source, Uploads

__all__ = ["Draft", "Images"]


@frozen
class Draft:
    """What a caller says of an image that it makes."""

    id: str | None = None
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    min_disk: int = 0
    min_ram: int = 0
    parent_id: str | None = None
    properties: Mapping[str, str] = field(factory=dict)


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
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._origins = origins
        self._chains = chains
        self._uploads = uploads
        self._presence = presence
        self._now = now
        self._tasks = Tasks()
        self._owed: list[tuple[str, Location]] = []

    async def create(self, draft: Draft) -> Image:
        """
        Make a record without bytes.

        :raises ImageExists: if the id is or was taken.
        :raises BadValue: if the parent cannot be one.
        :raises OriginUnavailable: if the parent's server does not answer.
        """
        parents: tuple[Pin, ...] = ()
        if draft.parent_id is not None:
            parents = await self._chains.resolve(draft.parent_id)
        now = self._now()
        image = Image(
            id=draft.id or str(uuid4()),
            status=Status.QUEUED,
            visibility=draft.visibility,
            created_at=now,
            updated_at=now,
            name=draft.name,
            disk_format=draft.disk_format,
            container_format=draft.container_format,
            min_disk=draft.min_disk,
            min_ram=draft.min_ram,
            properties=draft.properties,
            parents=parents,
        )
        await self._catalogue.add(image)
        return image

    def store(
        self, image_id: str, source: Source, expected: Expected
    ) -> Deferred[Image]:
        """
        Bring the bytes of a queued image; it is active afterwards, or as before.

        Cancelling changes nothing: a client that leaves is noticed by the source,
        and from the commit on nobody's leaving matters.

        :raises NoSuchImage: (as a failure) if there is none.
        :raises WrongState: (as a failure) unless it is queued.
        :raises BadValue: (as a failure) if the bytes are not what was expected.
        :raises BodyLost: (as a failure) if the source ends early.
        :raises StoreFull: (as a failure) if the store has no room.
        """
        return self._tasks.run(self._store(image_id, source, expected))

    async def find(self, image_id: str) -> Image:
        """:raises NoSuchImage: if there is none."""
        return await self._catalogue.find(image_id)

    async def list(self, query: Query) -> Sequence[Image]:
        """:raises BadValue: if the marker is not an image."""
        return await self._catalogue.list(query)

    async def open(self, image: Image) -> IPiece:
        """
        The image's own bytes.

        :raises WrongState: unless it is active.
        """
        return await self._piece(image, pin_of(image))

    async def open_chain(self, image: Image) -> Sequence[IPiece]:
        """
        The bytes of the image and of its parents, child first; asks no origin.

        :raises WrongState: unless it is active.
        :raises UnknownOrigin: if a parent's server is no longer configured.
        """
        pieces = [
            Deferred.fromCoroutine(self._piece(image, pin)) for pin in chain_of(image)
        ]
        try:
            return await gatherResults(pieces, consumeErrors=True)
        except FirstError as first:
            raise cast(Exception, first.subFailure.value) from None

    def remove(self, image_id: str) -> Deferred[None]:
        """
        Delete an image for ever; its id is never given again.

        :raises NoSuchImage: (as a failure) if there is none.
        :raises ImageInUse: (as a failure) if it is the parent of others here.
        :raises WrongState: (as a failure) while its bytes arrive.
        """
        return self._tasks.run(self._remove(image_id))

    async def settled(self) -> None:
        """Wait until what is under way has ended."""
        await self._tasks.settled()

    async def _store(self, image_id: str, source: Source, expected: Expected) -> Image:
        expected.check_length(source.length)
        await self._undo_owed()
        await self._require_formats(image_id)
        location = Location(self._stores.default.name, uuid4().hex)
        await self._catalogue.begin(image_id, location, self._presence.process_id)
        try:
            received = await self._receive(location, source, expected)
        except BaseException as problem:
            self.log.info(
                "image {image_id}: the upload failed: {problem}",
                image_id=image_id,
                problem=problem,
            )
            await self._undo(image_id, location)
            raise
        return await self._commit(image_id, location, received)

    async def _remove(self, image_id: str) -> None:
        await self._undo_owed()
        image = await self._catalogue.delete(image_id)
        if image.location is not None:
            await self._discard(image.location)

    async def _require_formats(self, image_id: str) -> None:
        image = await self._catalogue.find(image_id)
        for name in ("disk_format", "container_format"):
            if getattr(image, name) is None:
                raise BadValue(name, "must be given before the bytes come")

    async def _receive(
        self, location: Location, source: Source, expected: Expected
    ) -> Received:
        store = self._stores.get(location.store)
        writer = await store.create(location.key, source.length)
        try:
            return await self._uploads.receive(source, writer, expected)
        except BaseException:
            await as_future(writer.abort)
            raise

    async def _commit(
        self, image_id: str, location: Location, received: Received
    ) -> Image:
        try:
            return await self._catalogue.commit(
                image_id, location, received.size, received.digest, received.checksum
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
