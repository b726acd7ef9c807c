# Copyright glancetx contributors. See LICENSE for details.

"""
The leases that other servers have of images here: given, renewed, ended.

Who keeps differences to an image here takes a lease of it, and says by when he will be
heard of again. As long as there is one, expired or not, the image is deleted by nobody
but an admin who insists.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from glancetx.caller import Caller
from glancetx.catalogue import Catalogue
from glancetx.errors import NoSuchLease
from glancetx.image import Digest, Lease
from glancetx.limits import Limits

from .access import Access

__all__ = ["Leases"]


class Leases:
    """Gives leases, to those who may read an image."""

    def __init__(
        self,
        access: Access,
        catalogue: Catalogue,
        limits: Limits,
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._catalogue = catalogue
        self._limits = limits
        self._now = now

    async def give(
        self,
        caller: Caller,
        image_id: str,
        holder: str,
        url: str,
        digest: Digest,
        seconds: int,
    ) -> tuple[Lease, bool]:
        """
        Give a lease, or renew it.

        :param holder: the id of whoever takes it.
        :param url: where he is.
        :param digest: of the bytes that he needs.
        :param seconds: until it expires; it may be given for less.
        :returns: the lease, and whether it is new.
        :raises NoSuchImage: if there is none that the caller may see.
        :raises Forbidden: if he may not read it, or the lease is another project's.
        :raises LeaseConflict: if the image has other bytes, or none.
        :raises TooMany: if it has as many leases as one may have.
        """
        image = await self._access.find(caller, image_id, "lease_image")
        await self._access.require_reader(caller, image)
        now = self._now()
        until = now + timedelta(seconds=min(seconds, self._limits.lease_seconds))
        lease = Lease(image_id, holder, url, caller.project, until, now)
        new = await self._catalogue.lease(lease, digest, self._limits.image_leases)
        return await self._find(image_id, holder), new

    async def all(self, caller: Caller, image_id: str) -> tuple[Lease, ...]:
        """
        The leases of an image, those that have expired too.

        :raises NoSuchImage: if there is none that the caller may see.
        :raises Forbidden: if he may not see its leases.
        """
        await self._access.find(caller, image_id, "get_leases")
        return await self._catalogue.leases(image_id)

    async def end(self, caller: Caller, image_id: str, holder: str) -> None:
        """
        End a lease, for the project that took it or by the rule ``drop_lease``.

        Whoever took it may end it though he may not see the image any more.

        :raises NoSuchImage: if there is none that the caller may see.
        :raises NoSuchLease: if the holder has none of it.
        :raises Forbidden: if it is another project's.
        """
        lease = await self._seen(caller, image_id, holder)
        if caller.project is None or lease.project != caller.project:
            await self._access.find(caller, image_id, "drop_lease")
        await self._catalogue.release(image_id, holder)

    def is_expired(self, lease: Lease) -> bool:
        """Whether its holder should have been heard of."""
        return self.seconds_left(lease) <= 0

    def seconds_left(self, lease: Lease) -> float:
        """How long its holder need not be heard of."""
        return (lease.until - self._now()).total_seconds()

    async def _seen(self, caller: Caller, image_id: str, holder: str) -> Lease:
        try:
            return await self._find(image_id, holder)
        except NoSuchLease:
            await self._access.find(caller, image_id)
            raise

    async def _find(self, image_id: str, holder: str) -> Lease:
        for lease in await self._catalogue.leases(image_id):
            if lease.holder == holder:
                return lease
        raise NoSuchLease(image_id, holder)
