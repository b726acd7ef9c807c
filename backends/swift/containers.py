# Copyright glancetx contributors. See LICENSE for details.

"""
The containers of a store: made when the server starts, or when the first piece needs
one.
"""

from __future__ import annotations

from twisted.web.http_headers import Headers

from glancetx.errors import GlancetxError, StoreUnavailable
from glancetx.interfaces import Tools

from .calls import Calls, Response
from .crowd import each
from .names import Names

__all__ = ["Containers"]

OK = 200
CREATED = 201
ACCEPTED = 202
NO_CONTENT = 204
BAD = 400
CONFLICT = 409


class Containers:
    """Sees to it that each container is there before it is written to."""

    def __init__(
        self, calls: Calls, names: Names, tools: Tools, policy: str | None
    ) -> None:
        """:param policy: the storage policy that the containers must have."""
        self._calls = calls
        self._names = names
        self._tools = tools
        self._policy = policy
        self._there: set[str] = set()

    async def make_all(self) -> None:
        """Make those that are missing. What fails is tried again when it is needed."""
        try:
            if self._policy is None:  # a list does not tell it
                await self._find()
            first, *others = self._names.containers()
            await self.need(first)
            await each(others, self.need)
        except GlancetxError as error:
            self._tools.log.error(
                "store {store}: its containers cannot be made now: {error}",
                store=self._tools.store,
                error=str(error),
            )

    async def need(self, name: str) -> None:
        """
        Make a container, unless it is known to be there.

        :raises StoreUnavailable: if it cannot be made, or has another policy.
        """
        if name in self._there:
            return
        headers = Headers()
        if self._policy is not None:
            headers.setRawHeaders(b"X-Storage-Policy", [self._policy.encode("ascii")])
        answer = await self._calls.request(
            b"PUT", name, headers=headers, expect=(CREATED, ACCEPTED, BAD, CONFLICT)
        )
        if answer.code == BAD:
            raise self._unavailable("Swift does not know the storage policy")
        if answer.code == CONFLICT:
            raise self._unavailable(
                f"container {name} was made with another storage policy"
            )
        self._there.add(name)

    async def renew(self, name: str) -> None:
        """
        Make a container that is gone: somebody removed it while it was empty.

        :raises StoreUnavailable: as :meth:`need`.
        """
        self._there.discard(name)
        await self.need(name)

    async def _find(self) -> None:
        """Note which there are."""
        answer = await self._calls.request(
            b"GET",
            "",
            query=f"format=json&limit=1000&prefix={self._names.prefix}",
            expect=(OK, NO_CONTENT),
            most=1024 * 1024,
        )
        if answer.code == OK:
            self._there.update(_names(answer))

    def _unavailable(self, problem: str) -> StoreUnavailable:
        key = f"stores.{self._tools.store}.policy"
        reason = f"{problem} ({key} is {self._policy!r})" if self._policy else problem
        return StoreUnavailable(self._tools.store, reason)


def _names(answer: Response) -> list[str]:
    """What a list of containers has; nothing if it is none, as nothing is lost."""
    try:
        found = answer.json()
    except ValueError:
        return []
    entries = found if isinstance(found, list) else []
    return [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]
