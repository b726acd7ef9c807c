# Copyright glancetx contributors. See LICENSE for details.

"""
A catalogue in memory, for tests of chains.
"""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve

from glancetx.errors import NoSuchImage
from glancetx.identity.policy import Policy
from glancetx.image import Digest, Image, Location, Member, Pin, Status, Visibility
from glancetx.library.access import Access
from glancetx.library.chains import Chains
from glancetx.limits import Limits
from glancetx.origins import Origins
from glancetx.uris import Names

from .players import image_id

__all__ = ["OWN", "Records", "make_chains", "pin"]

NOW = datetime(2026, 11, 23, tzinfo=UTC)
OWN = Names("http://zone.example.com:9292", ("https://zone.example.com",))


class Records:
    """A catalogue of images in a dictionary."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.known: dict[tuple[str, str], tuple[Pin, ...]] = {}

    async def find(self, image_id: str) -> Image:
        if image_id not in self.images:
            raise NoSuchImage(image_id)
        return self.images[image_id]

    async def membership(self, image_id: str, project: str) -> Member | None:
        return None

    async def known_chain(self, origin: str, image_id: str) -> tuple[Pin, ...] | None:
        return self.known.get((origin, image_id))

    def add(self, number: int, *parents: Pin, active: bool = True) -> str:
        image = Image(
            id=image_id(number),
            status=Status.ACTIVE if active else Status.QUEUED,
            visibility=Visibility.PUBLIC,
            created_at=NOW,
            updated_at=NOW,
            disk_format="qcow2",
            parents=parents,
        )
        if active:
            image = evolve(
                image,
                size=10 + number,
                digest=Digest("sha256", f"{number:064x}"),
                location=Location("main", f"{number:032x}"),
                stored_at=NOW,
            )
        self.images[image.id] = image
        return image.id


def pin(number: int, origin: str | None = None) -> Pin:
    """What an image knows of a parent; of one here as :meth:`Records.add` makes it."""
    return Pin(
        origin=origin,
        image_id=image_id(number),
        path="" if origin is None else f"/images/{image_id(number)}",
        name=None,
        disk_format="qcow2",
        size=10 + number,
        virtual_size=None,
        checksum=None,
        digest=Digest("sha256", f"{number:064x}"),
        anonymous=origin is not None,
    )


def make_chains(origins: Origins, records: Records) -> Chains:
    """What follows parents, for callers of whom the policy decides."""
    return Chains(OWN, origins, records, Access(Policy(), records), Limits())
