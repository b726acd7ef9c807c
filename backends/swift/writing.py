# Copyright glancetx contributors. See LICENSE for details.

"""
Writes pieces: as one object, or as segments and a manifest of them (SLO).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from glancetx.errors import StoreUnavailable
from glancetx.interfaces import IPieceWriter, Tools
from glancetx.json_body import JsonBody

from .calls import Calls, Response
from .containers import Containers
from .crowd import each
from .names import Names
from .plan import Plan
from .reports import Report, read_report
from .segment import REPLAY, BytesBody, Segment
from .sums import md5

__all__ = ["Writer"]

MANIFEST_TRIES = 3
MANIFEST_PAUSE = 1.0
"""Seconds before a manifest that was refused is sent again."""

CREATED = 201
ACCEPTED = 202
OK = 200
NO_CONTENT = 204
MISSING = 404


@frozen
class _Part:
    """An entry of a manifest. Its ETag has no quotes."""

    path: str
    etag: str
    size: int

    @property
    def entry(self) -> dict[str, Any]:
        return {"path": f"/{self.path}", "etag": self.etag, "size_bytes": self.size}


@implementer(IPieceWriter)
class Writer:
    """
    Writes one piece.

    What is not more than :data:`~.segment.REPLAY` bytes is sent when all of it is
    there, anything else as it comes. While a segment waits for its answer the next one
    is on its way.
    """

    def __init__(
        self,
        calls: Calls,
        names: Names,
        containers: Containers,
        tools: Tools,
        key: str,
        plan: Plan,
    ) -> None:
        self._calls = calls
        self._names = names
        self._containers = containers
        self._tools = tools
        self._key = key
        self._plan = plan
        self._over = False
        self._finished = False
        self._step: Deferred[None] = succeed(None)
        self._taken = self._sent = 0
        self._first: list[bytes] = []
        self._last = b""
        self._segment: Segment | None = None
        self._closing: Segment | None = None
        self._count = 0
        self._parts: list[_Part] = []
        self._begun: list[str] = []

    def write(self, data: bytes) -> Deferred[None]:
        return self._begin(lambda: self._write(data))

    def finish(self) -> Deferred[None]:
        return self._begin(self._finish)

    def abort(self) -> Deferred[None]:
        self._over = True
        if self._finished:
            return succeed(None)
        return Deferred.fromCoroutine(self._abort())

    # How calls end

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """
        Do one step. A result that is cancelled fails at once; what is under way is
        waited for by :meth:`abort`.
        """
        if self._over:
            return fail(RuntimeError("this writer failed, was aborted or is finished"))
        result: Deferred[None] = Deferred(lambda _: self._give_up())
        self._step = Deferred.fromCoroutine(work())
        self._step.addErrback(self._failed)
        self._step.addBoth(self._pass_on, result)
        return result

    def _give_up(self) -> None:
        self._over = True
        self._cut()

    def _failed(self, failure: Failure) -> Failure:
        self._over = True
        self._cut()
        return failure

    def _pass_on(self, outcome: Any, result: Deferred[None]) -> None:
        if not result.called:
            result.callback(outcome)

    def _cut(self) -> None:
        for segment in (self._segment, self._closing):
            if segment is not None:
                segment.cut()

    async def _abort(self) -> None:
        """
        The names are known, so no listing is needed, which may not yet have them. The
        piece itself goes last: what comes late finds its segments gone.
        """
        self._cut()
        settled: Deferred[None] = Deferred()
        self._step.addBoth(lambda _: settled.callback(None))
        await settled
        self._cut()
        for segment in (self._segment, self._closing):
            if segment is not None:
                await segment.over()
        piece = self._names.piece(self._key)
        await each([path for path in self._begun if path != piece], self._drop)
        if piece in self._begun:
            await self._drop(piece)

    async def _drop(self, path: str) -> None:
        await self._calls.request(b"DELETE", path, expect=(NO_CONTENT, MISSING))
        if path in self._begun:  # nobody else aborts at the same time
            self._begun.remove(path)

    # Bytes

    async def _write(self, data: bytes) -> None:
        self._taken += len(data)
        if self._plan.size is not None and self._taken > self._plan.size:
            raise ValueError(
                f"more than the {self._plan.size} bytes that were promised"
            )
        if self._closing is not None and self._closing.failure is not None:
            self._closing.failure.raiseException()
        if self._count == 0:
            self._first.append(data)
            if self._taken <= REPLAY:
                return
            data, self._first = b"".join(self._first), []
        await self._send(data)

    async def _send(self, data: bytes) -> None:
        if self._plan.single and self._taken == self._plan.size and data:
            # A plain object is there with its last byte: that one waits for finish().
            data, self._last = data[:-1], data[-1:]
        while data:
            segment = self._segment or await self._open()
            room = self._plan.length(self._count) - segment.size
            part, data = (
                (data, b"") if len(data) <= room else (data[:room], data[room:])
            )
            await segment.write(part)
            self._sent += len(part)
            if len(part) == room:
                await self._close()

    async def _open(self) -> Segment:
        """
        Begin an object. Much of it cannot be sent again, so a proxy is asked something
        small first: that shows whether it lives and takes the token.
        """
        container = self._names.container(self._key)
        answer = await self._calls.request(
            b"HEAD", container, expect=(NO_CONTENT, MISSING)
        )
        if answer.code == MISSING:
            await self._containers.renew(container)
        if self._over:
            raise CancelledError
        self._count += 1
        single, size = self._plan.single, self._plan.size
        path = self._names.segment(self._key, self._count)
        if single:
            path = self._names.piece(self._key)
        length = None
        if size is not None:
            length = min(self._plan.length(self._count), size - self._sent)
        self._begun.append(path)
        self._segment = Segment(
            path, length, self._tools, partial(self._request, answer.proxy)
        )
        return self._segment

    def _request(self, proxy: str, segment: Segment) -> Deferred[Response]:
        return Deferred.fromCoroutine(
            self._calls.request(
                b"PUT",
                segment.path,
                headers=_binary(),
                body=segment.body,
                expect=(CREATED,),
                replayable=segment.replayable,
                proxy_first=proxy,
            )
        )

    async def _close(self) -> None:
        """All of a segment is sent; wait for the one before it."""
        if self._segment is not None:
            self._segment.end()
            await self._closed()
            self._closing, self._segment = self._segment, None

    async def _closed(self) -> None:
        segment = self._closing
        if segment is None:
            return
        self._parts.append(await self._kept(segment))
        self._closing = None

    async def _kept(self, segment: Segment) -> _Part:
        """
        Wait until an object is stored.

        :raises StoreUnavailable: if it is not what was sent.
        """
        answer, found = await segment.kept()
        self._check(answer, segment.path, found)
        return _Part(segment.path, found, segment.size)

    def _check(self, answer: Response, path: str, expected: str) -> None:
        found = _etag(answer)
        if found != expected:
            self._tools.log.error(
                "store {store}: {path} was stored as {found}, but is {expected}",
                store=self._tools.store,
                path=path,
                found=found,
                expected=expected,
            )
            raise self._unavailable("it stored other bytes than it was sent")

    # The end

    async def _finish(self) -> None:
        if self._plan.size not in (None, self._taken):
            raise ValueError(
                f"{self._plan.size} bytes were promised, not {self._taken}"
            )
        if self._count == 0:
            await self._put_small(b"".join(self._first))
        elif self._plan.single:
            await self._put_last()
        else:
            await self._close()
            await self._closed()
            await self._put_manifests()
        if self._over:
            raise CancelledError
        self._over = self._finished = True

    async def _put_small(self, data: bytes) -> None:
        """Write a piece that is all there."""
        path, found = self._names.piece(self._key), md5(data)
        self._begun.append(path)
        headers = _binary()
        headers.setRawHeaders(b"ETag", [found.encode("ascii")])

        async def put(*expect: int) -> Response:
            return await self._calls.request(
                b"PUT",
                path,
                headers=headers,
                body=lambda: BytesBody(data),
                expect=expect,
            )

        answer = await put(CREATED, MISSING)
        if answer.code == MISSING:
            await self._containers.renew(self._names.container(self._key))
            answer = await put(CREATED)
        self._check(answer, path, found)

    async def _put_last(self) -> None:
        """Write the byte that was held back."""
        segment = self._segment
        assert segment is not None
        await segment.write(self._last)
        await self._kept(segment)

    async def _put_manifests(self) -> None:
        """Write what makes a piece of the segments: nothing can be read before."""
        parts, count = self._parts, 0
        most = self._plan.bounds.entries
        while len(parts) > most:
            groups = [parts[at : at + most] for at in range(0, len(parts), most)]
            parts = []
            for group in groups:
                count += 1
                path = self._names.part(self._key, count)
                parts.append(await self._put_manifest(path, group))
        piece = await self._put_manifest(self._names.piece(self._key), parts)
        answer = await self._calls.request(
            b"HEAD", piece.path, expect=(OK, MISSING), newest=True
        )
        length = answer.header(b"Content-Length") or b""
        if answer.code != OK or length != b"%d" % self._taken:
            self._tools.log.error(
                "store {store}: piece {key} has {size} bytes, but its manifest {found}",
                store=self._tools.store,
                key=self._key,
                size=self._taken,
                found=length.decode("ascii", "replace"),
            )
            raise self._unavailable("the piece is not there as it was written")
        self._check(answer, piece.path, piece.etag)

    async def _put_manifest(self, path: str, parts: Sequence[_Part]) -> _Part:
        self._begun.append(path)
        for tried in range(MANIFEST_TRIES):
            if tried:
                await deferLater(self._tools.clock, MANIFEST_PAUSE * tried)
            report = await self._try_manifest(path, parts)
            if report.code == CREATED:
                etag = md5("".join(part.etag for part in parts).encode("ascii"))
                return _Part(path, etag, sum(part.size for part in parts))
            self._tools.log.error(
                "store {store}: the manifest {path} was refused: {status} {errors}",
                store=self._tools.store,
                path=path,
                status=report.status,
                errors=report.errors,
            )
        raise self._unavailable("it does not take the manifest of the segments")

    async def _try_manifest(self, path: str, parts: Sequence[_Part]) -> Report:
        """
        Send a manifest. While Swift looks at the segments it sends blanks, to be seen
        alive; so the status tells nothing (202), and the true one is in the body.
        """
        answer = await self._calls.request(
            b"PUT",
            path,
            query="multipart-manifest=put&heartbeat=on",
            headers=Headers({b"Accept": [b"application/json"]}),
            body=lambda: JsonBody([part.entry for part in parts]),
            expect=(CREATED, ACCEPTED, 400),
        )
        return read_report(answer, self._tools.store)

    def _unavailable(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(self._tools.store, reason)


def _binary() -> Headers:
    return Headers({b"Content-Type": [b"application/octet-stream"]})


def _etag(answer: Response) -> str:
    """The ETag of an answer: Swift puts quotes only around those of manifests."""
    return (answer.header(b"ETag") or b"").decode("latin-1").strip('"')
