# Copyright glancetx contributors. See LICENSE for details.

"""
One image server as a client sees it: asked with its own credentials, and no others.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from glancetx import __version__
from glancetx.errors import OriginUnavailable
from glancetx.outbound import Outbound, Peer
from glancetx.streaming.relay import Ask
from glancetx.uris import Names

from .answers import accepted, accepted_json
from .upload import Body, upload

__all__ = ["Connection", "Server"]

AGENT = b"glancetx/" + __version__.encode("ascii")
"""What servers know us by: no redirects are followed, so they send none."""

NOT_ALLOWED = (401, 403)

ANSWER_SECONDS = 60
"""How long a server may take for a small answer, from the first byte to the last."""

T = TypeVar("T")


@frozen
class Server:
    """
    A server that a client may talk to, and what it says there only.

    :ivar url: what its URIs begin with.
    :ivar headers: sent with every request to it, and to no other server.
    :ivar aliases: what its URIs begin with, too.
    :ivar ca_file: the file with the only certificates that may vouch for it, in PEM.
    :raises BadValue: if the URL or an alias is no usable address of a server.
    """

    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    aliases: tuple[str, ...] = ()
    ca_file: str | None = None
    names: Names = field(init=False, repr=False, eq=False)

    @names.default
    def _names(self) -> Names:
        return Names(self.url, self.aliases)


class Connection:
    """
    Asks one server.

    :ivar url: the server's, without a slash at its end.
    """

    def __init__(self, server: Server, outbound: Outbound, clock: IReactorTime) -> None:
        self.url = server.names.bases[0].url
        self.names = server.names
        self._credentials = [
            (name.encode("ascii"), value.encode("utf-8"))
            for name, value in server.headers.items()
        ]
        self._agent: IAgent = outbound.agent(
            Peer(name=self.url, ca_file=server.ca_file)
        )
        self._clock = clock

    async def ask(self, method: str, path: str) -> IResponse:
        """
        A small answer, without its body.

        :raises OriginUnavailable: if the server cannot be asked.
        :raises ServerRefused: if it answers anything but success.
        """
        return await self._in_time(self._ask(method, path))

    async def _ask(self, method: str, path: str) -> IResponse:
        return await accepted(await self._request(method, path, None), self.url)

    async def ask_json(
        self, method: str, path: str, headers: Headers | None = None
    ) -> dict[str, Any]:
        """What a small answer says in JSON; raises as :meth:`ask` does."""
        return await self._in_time(self._ask_json(method, path, headers))

    async def _ask_json(
        self, method: str, path: str, headers: Headers | None
    ) -> dict[str, Any]:
        response = await self._request(method, path, headers)
        return await accepted_json(response, self.url)

    async def send(
        self, method: str, path: str, headers: Headers, body: Body
    ) -> dict[str, Any]:
        """Send a body; else as :meth:`ask_json`."""
        response = await upload(
            self._agent,
            method.encode("ascii"),
            self._uri(path),
            self._headers(headers),
            body,
            self._clock,
        )
        return await self._in_time(accepted_json(response, self.url))

    def asker(self, path: str, size: int, etag: bytes | None = None) -> Ask:
        """
        Asks for the bytes of a body, by ranges that hold only while it is the same.

        :param size: bytes of the whole body.
        :param etag: its ETag, where that is known before the first answer.
        """
        return _Asker(self, path, size, etag).ask

    def get(self, path: str, headers: Headers) -> Deferred[IResponse]:
        """Send a GET; fires with whatever is answered."""
        return self._request("GET", path, headers)

    def _request(
        self, method: str, path: str, headers: Headers | None
    ) -> Deferred[IResponse]:
        return self._agent.request(
            method.encode("ascii"), self._uri(path), self._headers(headers)
        )

    def _uri(self, path: str) -> bytes:
        return (self.url + path).encode("ascii")

    def _headers(self, more: Headers | None) -> Headers:
        headers = Headers() if more is None else more.copy()
        headers.setRawHeaders(b"User-Agent", [AGENT])
        for name, value in self._credentials:
            headers.setRawHeaders(name, [value])
        return headers

    async def _in_time(self, reading: Coroutine[Any, Any, T]) -> T:
        try:
            return await Deferred.fromCoroutine(reading).addTimeout(
                ANSWER_SECONDS, self._clock
            )
        except TimeoutError:
            raise OriginUnavailable(
                self.url, f"no whole answer for {ANSWER_SECONDS} seconds"
            ) from None


class _Asker:
    """Asks for ranges of one body, and remembers which body it was."""

    def __init__(
        self, connection: Connection, path: str, size: int, etag: bytes | None
    ) -> None:
        self._connection = connection
        self._path = path
        self._size = size
        self._etag = etag

    def ask(self, start: int, stop: int) -> Deferred[IResponse]:
        headers = Headers({b"Accept-Encoding": [b"identity"]})
        if (start, stop) != (0, self._size):
            headers.setRawHeaders(b"Range", [b"bytes=%d-%d" % (start, stop - 1)])
            if self._etag is not None:
                headers.setRawHeaders(b"If-Range", [self._etag])
        answer = self._connection.get(self._path, headers)
        return answer.addCallback(self._answered)

    def _answered(self, response: IResponse) -> IResponse | Deferred[IResponse]:
        """:raises ServerRefused: if the caller may not read this."""
        if response.code in NOT_ALLOWED:
            return Deferred.fromCoroutine(accepted(response, self._connection.url))
        etags = response.headers.getRawHeaders(b"ETag")
        if self._etag is None and etags:
            self._etag = etags[-1]
        return response
