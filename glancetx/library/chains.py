# Copyright glancetx contributors. See LICENSE for details.

"""
From what a caller names as the parent of a new image to the pins of its whole chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import evolve, frozen
from twisted.logger import Logger

from glancetx.caller import Caller
from glancetx.chain import pin_of
from glancetx.claims import shown
from glancetx.errors import BadValue, Forbidden, NoSuchImage, OriginUnavailable
from glancetx.identity.signatures import is_signature
from glancetx.image import Image, Pin, Status, Visibility
from glancetx.limits import Limits
from glancetx.origins import Origin, Origins
from glancetx.uris import Names, is_image_id

from .access import READ_BY, Access
from .changes import less_visible

__all__ = ["Chains", "Records"]


class Records(Protocol):
    """What is asked of the catalogue."""

    async def find(self, image_id: str) -> Image:
        """The record of an image; raises ``NoSuchImage``."""

    async def known_chain(self, origin: str, image_id: str) -> tuple[Pin, ...] | None:
        """The pins that an image here has of another's image and its parents."""


@frozen
class _Named:
    """
    An image and the server that has it, ``None`` for this one.

    :ivar signature: the query of a signed URL, which lets its bearer read the image.
    """

    origin: Origin | None
    image_id: str
    signature: str = ""


class _Pins:
    """
    The pins of one chain, while they are found.

    However many servers take part in offering it, and whatever they say, it ends:
    at its depth, or when it comes back to an image that it has already.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.found: list[Pin] = []
        self._seen: set[tuple[str | None, str]] = set()

    def add(self, pin: Pin) -> None:
        """
        :raises BadValue: if the chain has it already, or as many as are allowed.
        """
        if (pin.origin, pin.image_id) in self._seen:
            raise _refused(
                f"the chain comes back to image {pin.image_id} of "
                f"{pin.origin or 'this server'}, and so would never end"
            )
        if len(self.found) + 2 > self._depth:
            raise _refused(
                f"the chain would have more than {self._depth} images, the new one "
                "included; upload a whole disk, and begin a new chain with that"
            )
        self._seen.add((pin.origin, pin.image_id))
        self.found.append(pin)


class Chains:
    """
    Follows parents, here and on the origins, at the creation of an image.

    :param own: what this server's URIs begin with.
    """

    log = Logger()

    def __init__(
        self,
        own: Names,
        origins: Origins,
        catalogue: Records,
        access: Access,
        limits: Limits,
    ) -> None:
        self._access = access
        self._own = own
        self._origins = origins
        self._catalogue = catalogue
        self._limits = limits

    async def cap(self, parents: Sequence[Pin]) -> Visibility:
        """
        How visible an image with these parents may be: as the least visible of them.

        Those here count as visible as they are now, others as they were.

        :raises BadValue: (of ``parent_id``) if one here was deleted meanwhile.
        """
        seen = [Visibility.PUBLIC]
        for pin in parents:
            if pin.origin is not None:
                seen.append(pin.visibility)
                continue
            try:
                seen.append((await self._catalogue.find(pin.image_id)).visibility)
            except NoSuchImage:
                raise _unreadable(pin.image_id) from None
        return less_visible(*seen)

    async def resolve(self, caller: Caller, parent_id: str) -> tuple[Pin, ...]:
        """
        The whole chain that an image with this parent will have, nearest first.

        The caller must be able to read all of it. That he could is what its pins
        prove later, to whoever may read the new image.

        Nothing is asked of any server unless the text names an image of an origin.

        :param parent_id: an id of this server, or a URI of this server's or of an
            origin's; a signed one may be read by whoever has it.
        :raises BadValue: (of ``parent_id``) if it names no image that can be a
            parent, or one of its ancestors cannot be followed.
        :raises OriginUnavailable: if an origin that must be asked does not answer,
            and what it would say is not known here already.
        """
        pins = _Pins(self._limits.chain_depth)
        named: _Named | None = self._first(parent_id)
        while named is not None and named.origin is not None:
            named = await self._follow_there(caller, named, named.origin, pins)
        if named is not None:
            await self._follow_here(caller, named.image_id, pins)
        return tuple(pins.found)

    def _first(self, parent_id: str) -> _Named:
        uri, signed, signature = parent_id.partition("?")
        named = self._locate(parent_id if not is_signature(signature) else uri, None)
        if named is not None and named.origin is not None and signed:
            named = evolve(named, signature=signature)
        if named is None:
            raise _refused(
                f"{shown(parent_id)} names no image of this server or of an origin in "
                "its configuration; give an id (a UUID in lower case) or a URI like "
                f"{self._own.uri('ID')}"
            )
        return named

    def _locate(self, text: str, said_by: Origin | None) -> _Named | None:
        if is_image_id(text):
            return _Named(said_by, text)
        image_id = self._own.image_id(text)
        if image_id is not None:
            return _Named(None, image_id)
        located = self._origins.locate(text)
        return None if located is None else _Named(*located)

    async def _follow_here(self, caller: Caller, image_id: str, pins: _Pins) -> None:
        """The image and its own chain, which was followed when it was made."""
        try:
            image = await self._access.find(caller, image_id, *READ_BY)
        except (NoSuchImage, Forbidden):
            raise _unreadable(image_id) from None
        if image.status is not Status.ACTIVE:
            raise _refused(f"image {image_id} is {image.status}; it must be active")
        pins.add(pin_of(image))
        for pin in image.parents:
            pins.add(pin)

    async def _follow_there(
        self, caller: Caller, asked: _Named, origin: Origin, pins: _Pins
    ) -> _Named | None:
        image_id = asked.image_id
        try:
            found = await origin.look_up(image_id, caller, asked.signature)
        except OriginUnavailable as problem:
            known = await self._catalogue.known_chain(origin.url, image_id)
            if known is None or not await self._is_his(caller, known):
                raise
            self.log.info(
                "image {image_id} of origin {origin}: taken as known: {reason}",
                image_id=image_id,
                origin=origin.name,
                reason=problem.reason,
            )
            for pin in known:
                pins.add(pin)
            return None
        pins.add(found.pin)
        if found.parent is None:
            return None
        named = self._locate(found.parent, origin)
        if named is None:
            raise _refused(
                f"image {image_id} of origin {origin.name} has the parent "
                f"{shown(found.parent)}, and its server is not in the configuration; "
                "an [[origins]] entry for that server would let it be followed"
            )
        return named

    async def _is_his(self, caller: Caller, known: Sequence[Pin]) -> bool:
        """
        Whether a caller may have what somebody else was granted, when nobody can be
        asked: all that is elsewhere must be public.

        What he may read here he may read with all its parents.
        """
        for pin in known:
            if pin.origin is None:
                try:
                    await self._access.find(caller, pin.image_id, *READ_BY)
                except (NoSuchImage, Forbidden):
                    return False
                return True
            if not pin.visibility.is_public:
                return False
        return True


def _refused(problem: str) -> BadValue:
    return BadValue("parent_id", problem)


def _unreadable(image_id: str) -> BadValue:
    return _refused(f"there is no image {image_id} here that you may read")
