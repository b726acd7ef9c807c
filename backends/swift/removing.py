# Copyright glancetx contributors. See LICENSE for details.

"""
Removes pieces, and what killed writers left of them.

Swift has no open files: who reads segments one after the other is cut when they go. So
a piece is gone at once, its segments only after a time of grace. Swift itself keeps
that time (``X-Delete-After``): it ends though this server may not live to see it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from glancetx.errors import StoreUnavailable
from glancetx.interfaces import Tools

from .calls import Calls, Response
from .crowd import each
from .names import Names
from .readers import Readers
from .reports import LARGEST_REPORT, read_report

__all__ = ["Remover"]

OWN_GRACE = 24 * 3600
"""
Seconds after which segments go that this server's own readers hold, and nobody else: a
bound, should the server be killed before the last of them is done.
"""

MISSES = 2
"""Names in a row that must be free before a killed writer's segments end there."""

LARGEST_PAGE = 16 * 1024 * 1024

OK = 200
ACCEPTED = 202
NO_CONTENT = 204
MISSING = 404
CONFLICT = 409


class Remover:
    """Removes the pieces of one store."""

    def __init__(
        self,
        calls: Calls,
        names: Names,
        readers: Readers,
        tools: Tools,
        grace_seconds: int,
    ) -> None:
        """
        :param readers: this server's own.
        :param grace_seconds: how long segments stay for the readers of other servers;
            0 if there are none.
        """
        self._calls = calls
        self._names = names
        self._readers = readers
        self._tools = tools
        self._grace = grace_seconds
        self._background: set[Deferred[None]] = set()

    async def remove(self, key: str) -> None:
        """
        Remove what belongs to a key. Idempotent; what failed is done by another call.

        :raises StoreUnavailable: if something may be left that does not go by itself.
        """
        path = self._names.piece(key)
        self._readers.seen.forget(key)
        answer = await self._calls.request(
            b"HEAD", path, expect=(OK, MISSING, CONFLICT), newest=True
        )
        ending: Sequence[str] = ()
        if _is_segmented(answer):
            ending = await self._remove_segmented(key)
        else:
            await self._drop(path)  # one that comes late is older, and stays away
        left = await self._sweep(key, set(ending))
        if answer.code == MISSING:
            await self._probe(key, left)

    async def settled(self) -> None:
        """Wait for what goes on behind calls that have returned."""
        while self._background:
            await each(list(self._background), _outcome)

    async def _remove_segmented(self, key: str) -> Sequence[str]:
        """:returns: the segments that go by themselves."""
        path = self._names.piece(key)
        busy = self._readers.busy(key)
        if not busy and not self._grace:
            await self._remove_whole(key)
            return ()
        # First the segments get their end, then the manifest goes: without it, and
        # without an end, a segment is what a killed writer left.
        segments = await self._segments(path)
        after = self._grace or OWN_GRACE
        ending: list[str] = []

        async def end(segment: str) -> None:
            if await self._end_later(segment, after) == ACCEPTED:
                ending.append(segment)

        await each(segments, end)
        await self._drop(path)
        if busy and not self._grace:
            self._later(self._remove_unread(key, segments))
        return ending

    async def _remove_whole(self, key: str) -> None:
        """Let Swift remove a manifest with its segments, and see whether it did."""
        path = self._names.piece(key)
        segments = await self._segments(path)
        answer = await self._calls.request(
            b"DELETE",
            path,
            query="multipart-manifest=delete",
            headers=_json(),
            expect=(OK, MISSING),
            most=LARGEST_REPORT,
        )
        report = read_report(answer, self._tools.store)
        if report.code == OK:
            return
        self._tools.log.error(
            "store {store}: piece {key} was not removed whole: {status} {errors}",
            store=self._tools.store,
            key=key,
            status=report.status,
            errors=report.errors,
        )
        await each(segments, self._drop)
        await self._drop(path)

    async def _remove_unread(self, key: str, segments: Sequence[str]) -> None:
        await self._readers.gone(key)
        await each(segments, self._drop)

    def _later(self, work: Any) -> None:
        task: Deferred[None] = Deferred.fromCoroutine(work)
        self._background.add(task)

        def over(outcome: Any) -> None:
            self._background.discard(task)

        task.addErrback(
            lambda failure: self._tools.log.failure(
                "store {store}: segments stay until Swift removes them",
                failure,
                store=self._tools.store,
            )
        )
        task.addBoth(over)

    async def _segments(self, path: str) -> list[str]:
        """All that a manifest is made of, manifests within it included."""
        answer = await self._calls.request(
            b"GET",
            path,
            query="multipart-manifest=get",
            headers=_json(),
            expect=(OK, MISSING),
            newest=True,
            most=LARGEST_PAGE,
        )
        if answer.code == MISSING:
            return []
        found = []
        for entry in self._read(answer):
            segment = str(entry["name"]).removeprefix("/")
            if entry.get("sub_slo"):
                found += await self._segments(segment)
            found.append(segment)
        return found

    async def _sweep(self, key: str, ending: set[str]) -> set[str]:
        """
        Remove what listings have of a key, but what goes by itself.

        :param ending: what is known to go by itself.
        :returns: all that they have.
        """
        listed: set[str] = set()
        container = self._names.container(key)

        async def drop(name: str) -> None:
            path = f"{container}/{name}"
            if path not in ending and not await self._ending(path):
                await self._drop(path)

        async for names in self._pages(key):
            listed.update(names)
            await each(names, drop)
        return listed

    async def _pages(self, key: str) -> AsyncIterator[list[str]]:
        marker = ""
        while True:
            answer = await self._calls.request(
                b"GET",
                self._names.container(key),
                query=f"format=json&prefix={key}&marker={quote(marker, safe='')}",
                expect=(OK, NO_CONTENT, MISSING),
                most=LARGEST_PAGE,
            )
            names = [entry["name"] for entry in self._read(answer)]
            if not names:
                return
            yield names
            marker = names[-1]

    async def _probe(self, key: str, listed: set[str]) -> None:
        """
        Remove the segments, and manifests of them, that a killed writer wrote last:
        listings may not yet have them, but they are numbered.
        """
        container = self._names.container(key)
        for name in (self._names.segment, self._names.part):
            number = misses = 0
            while misses < MISSES:
                number += 1
                path = name(key, number)
                if path.removeprefix(f"{container}/") not in listed:
                    misses = misses + 1 if await self._drop(path) == MISSING else 0

    async def _ending(self, path: str) -> bool:
        """Whether an object has a time at which it goes."""
        answer = await self._calls.request(
            b"HEAD", path, expect=(OK, MISSING), newest=True
        )
        return answer.code == OK and answer.header(b"X-Delete-At") is not None

    async def _end_later(self, path: str, seconds: int) -> int:
        headers = Headers({b"X-Delete-After": [b"%d" % seconds]})
        answer = await self._calls.request(
            b"POST", path, headers=headers, expect=(ACCEPTED, MISSING)
        )
        return answer.code

    async def _drop(self, path: str) -> int:
        answer = await self._calls.request(
            b"DELETE", path, expect=(NO_CONTENT, MISSING)
        )
        return answer.code

    def _read(self, answer: Response) -> list[Any]:
        """A list that Swift made."""
        if answer.code != OK:
            return []
        try:
            found = answer.json()
        except ValueError as error:
            reason = "its list cannot be read"
            raise StoreUnavailable(self._tools.store, reason) from error
        return list(found)


def _is_segmented(answer: Response) -> bool:
    """A manifest whose segments are damaged may say no more than that (409)."""
    slo = answer.header(b"X-Static-Large-Object") is not None
    return answer.code == CONFLICT or answer.code == OK and slo


def _json() -> Headers:
    return Headers({b"Accept": [b"application/json"]})


async def _outcome(task: Deferred[None]) -> None:
    waiting: Deferred[None] = Deferred()
    task.addBoth(lambda _: waiting.callback(None))
    await waiting
