# Copyright glancetx contributors. See LICENSE for details.

"""
The two calls of the Identity API v3 that a server needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse

from glancetx import __version__
from glancetx.answers import drop, read_json
from glancetx.errors import IdentityUnavailable, OriginUnavailable
from glancetx.json_body import JsonBody
from glancetx.keystone_login import is_token, tokens_url

from .documents import Described, read_token

__all__ = ["Calls", "OwnRefused"]

#: What errors and the log call the server that is asked.
PEER = "Keystone"

#: Requests to it that are under way at once; others wait.
AT_ONCE = 64
#: Bytes of an answer: one of a token without its catalogue has some thousand.
LARGEST_ANSWER = 1024 * 1024

_NO_ANSWER = "Keystone gives no answer that can be used"
_REFUSALS = {400, 401, 403, 404}

T = TypeVar("T")


class OwnRefused(Exception):
    """Keystone does not accept who this server says it is."""


class Calls:
    """
    Asks Keystone. What is wrong with it is logged once, and once that it is over.

    Nothing here limits how long an answer may take.
    """

    log = Logger()

    def __init__(self, auth_url: str, agent: IAgent) -> None:
        """:param auth_url: with or without ``/v3`` and a slash at its end."""
        self._url = f"{tokens_url(auth_url)}?nocatalog"
        self._agent = agent
        self._room = DeferredSemaphore(AT_ONCE)
        self._well = True

    async def issue(self, auth: Mapping[str, Any]) -> tuple[str, Described]:
        """
        Get a token.

        :param auth: who is to get it, as the Identity API has it.
        :raises OwnRefused: if Keystone gives him none.
        :raises IdentityUnavailable: if there is no proper answer.
        """
        return await self._asked(lambda: self._issue(JsonBody({"auth": auth})))

    async def _issue(self, body: IBodyProducer) -> tuple[str, Described]:
        headers = _headers()
        headers.addRawHeader(b"content-type", b"application/json")
        response = await self._send(b"POST", self._url, headers, body)
        if response.code != 201:
            drop(response)
            if response.code in _REFUSALS:
                raise OwnRefused
            raise ValueError(f"it answered {response.code} to a request for a token")
        found = read_token(await read_json(response, LARGEST_ANSWER, PEER))
        texts = response.headers.getRawHeaders(b"x-subject-token", [])
        text = texts[0].decode("latin-1") if len(texts) == 1 else ""
        if not is_token(text):
            raise ValueError("its answer has no token")
        return text, found

    async def describe(
        self, own: str, token: str, late: bool, own_ids: Collection[str] = ()
    ) -> Described | None:
        """
        Ask whose a token is; ``None`` if it is not good.

        Rules of application credentials come with the answer, and must be enforced.

        :param own: the token of this server.
        :param late: the token may have expired a while ago.
        :param own_ids: of what ``own`` stands on: a user, a project, a credential. If
            one is gone, Keystone names it in a 404, as if the other token were bad.
        :raises OwnRefused: if ``own`` is not good.
        :raises IdentityUnavailable: if there is no proper answer.
        """
        return await self._asked(lambda: self._describe(own, token, late, own_ids))

    async def _describe(
        self, own: str, token: str, late: bool, own_ids: Collection[str]
    ) -> Described | None:
        headers = _headers()
        headers.addRawHeader(b"x-auth-token", own.encode("ascii"))
        headers.addRawHeader(b"x-subject-token", token.encode("ascii"))
        headers.addRawHeader(b"openstack-identity-access-rules", b"1.0")
        url = self._url + ("&allow_expired=1" if late else "")
        response = await self._send(b"GET", url, headers)
        if response.code == 200:
            return read_token(await read_json(response, LARGEST_ANSWER, PEER))
        if response.code == 404:
            told = _read_not_found(await read_json(response, LARGEST_ANSWER, PEER))
            if any(one in told for one in own_ids):
                raise OwnRefused
            return None
        drop(response)
        if response.code == 401:
            raise OwnRefused
        if response.code == 403:
            raise self.trouble("Keystone does not let this server check tokens")
        raise ValueError(f"it answered {response.code} to a question for a token")

    def _send(
        self, method: bytes, url: str, headers: Headers, body: Any = None
    ) -> Deferred[IResponse]:
        return self._agent.request(method, url.encode("ascii"), headers, body)

    async def _asked(
        self, exchange: Callable[[], Coroutine[Deferred[Any], Any, T]]
    ) -> T:
        """Have an exchange when there is room, and say what went wrong."""
        try:
            found = await self._room.run(lambda: Deferred.fromCoroutine(exchange()))
        except OriginUnavailable as problem:
            raise self.trouble(_NO_ANSWER, problem.reason) from None
        except ValueError as problem:
            raise self.trouble(_NO_ANSWER, str(problem)) from None
        if not self._well:
            self._well = True
            self.log.info("Keystone answers again")
        return found

    def trouble(self, reason: str, details: str | None = None) -> IdentityUnavailable:
        """
        The error to raise.

        :param reason: for whoever asked.
        :param details: for the log alone.
        """
        if self._well:
            self._well = False
            self.log.error(
                "no identity can be checked: {reason}", reason=details or reason
            )
        return IdentityUnavailable(reason)


def _headers() -> Headers:
    return Headers(
        {
            b"user-agent": [b"glancetx/" + __version__.encode("ascii")],
            b"accept": [b"application/json"],
            b"accept-encoding": [b"identity"],
        }
    )


def _read_not_found(answer: Mapping[str, Any]) -> str:
    """
    What a 404 says, if it is Keystone's own.

    :raises ValueError: if it may be that of a proxy, which knows nothing of tokens.
    """
    error = answer.get("error")
    if not isinstance(error, dict) or error.get("code") != 404:
        raise ValueError("it answered 404, but not as Keystone does")
    return str(error.get("message"))
