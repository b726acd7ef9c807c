# Copyright glancetx contributors. See LICENSE for details.

"""
One door for all requests to the cluster: which proxy, how often, how long.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import quote

from attrs import frozen
from twisted.internet.task import deferLater
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer

from glancetx import __version__
from glancetx.errors import StoreFull, StoreUnavailable
from glancetx.interfaces import Tools
from glancetx.uris import parse_base

from .account import Account, Session
from .circuits import Circuits
from .exchange import LARGEST_ANSWER, Lost, Response, Silent, Source, exchange

__all__ = ["Calls", "Response"]

TRIES = 5
#: Seconds before the second try, on average; doubled for each that follows.
BACKOFF = 0.25
#: Seconds that a server may be silent while it is waited for.
IDLE_SECONDS = 30.0
#: The same, for a server that failed before and is tried again.
TRIAL_SECONDS = 10.0
#: How often one request is waited for so long, unless there are more proxies.
SILENCES = 2

OK, NOT_AUTHENTICATED, NOT_FOUND = 200, 401, 404
FULL = {413, 507}
#: Worth another try.
BUSY = {408, 429, 498, 499}
#: What arrived is not what was sent: worth one more try.
UNLIKE = 422
#: What a balancer says of proxies behind it.
UNANSWERED = {502, 504}
SERVER_ERROR = 500

INFO = "/info"

_READS = {b"GET", b"HEAD"}


class Calls:
    """
    Sends requests to the account's URLs, with its token.

    A request is tried five times at most, by another proxy each time if there is one;
    not as often when that means to wait for proxies that say nothing.
    A proxy that fails three times in a row is not asked for a while. Redirects are
    not followed.
    """

    def __init__(
        self,
        account: Account,
        agent: IAgent,
        tools: Tools,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """:param jitter: gives numbers from 0 to 1."""
        self.account = account
        self.agent = agent
        self.tools = tools
        self.jitter = jitter
        self.circuits = Circuits(tools.clock, tools.log)

    async def request(
        self,
        method: bytes,
        path: str,
        *,
        query: str = "",
        headers: Headers | None = None,
        body: Callable[[], IBodyProducer] | None = None,
        expect: Collection[int],
        replayable: bool | Callable[[], bool] = True,
        newest: bool = False,
        proxy_after: str | None = None,
        proxy_first: str | None = None,
        most: int | None = None,
    ) -> Response:
        """
        Send a request, and again while it fails in a way that may pass.

        A 404 to GET or HEAD is believed only with ``X-Newest``: it is asked again.

        :param path: container and object, not quoted; empty for the account.
        :param query: as it stands in the URL, quoted.
        :param body: makes what is sent, once for each try. If that fails by itself,
            its error is raised and nothing is tried again.
        :param expect: the statuses that the caller deals with.
        :param replayable: the body can be made again, or what tells that when a try
            has failed. If it cannot, nothing is tried again from its first byte on.
        :param newest: ask all replicas which is the newest.
        :param proxy_after: the proxy that failed the caller; another is asked first.
        :param proxy_first: the proxy that is asked first, unless it is known to fail.
        :param most: how many bytes the body may have, which is read as a part of the
            try. Without it the body of a successful GET is not read but is the
            caller's, to deliver or to drop; other bodies may have 1 MiB.
        :raises StoreFull: if the cluster says so, and the caller expects no 413.
        :raises StoreUnavailable: if no try led to a status that is expected.
        """
        if most is None and method != b"GET":
            most = LARGEST_ANSWER
        asked = _Asked(
            method, _join(path, query), headers or Headers(), frozenset(expect), most
        )
        source = None if body is None else Source(body, replayable)
        return await _Tries(self, asked, source, newest, proxy_after, proxy_first).run()

    async def account_url(self) -> str:
        """
        The account's URL at a proxy that lives, as far as one knows: always the same
        one while it does.

        :raises StoreUnavailable: if there is none.
        """
        session = await self.account.session()
        for url in session.urls:
            if self.circuits.closed(url):
                return url
        raise StoreUnavailable(self.tools.store, "none of its servers answers")

    async def info(self) -> dict[str, Any]:
        """
        What the cluster says of itself (``/info``); empty if it does not.

        :raises StoreUnavailable: if no proxy answers.
        """
        expect = frozenset({OK, *range(300, 500)} - BUSY)  # whatever a balancer says
        asked = _Asked(b"GET", None, Headers(), expect, LARGEST_ANSWER)
        response = await _Tries(self, asked, None, True, None).run()
        try:
            found = response.json() if response.code == OK else {}
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}


@frozen
class _Asked:
    """
    A request, wherever it goes.

    :ivar target: behind the account's URL; ``None`` for :data:`INFO`.
    """

    method: bytes
    target: str | None
    headers: Headers
    expect: frozenset[int]
    most: int | None

    def url(self, account: str) -> str:
        if self.target is not None:
            return account + self.target
        base = parse_base(account)
        return f"{base.scheme}://{base.authority}{INFO}"

    @property
    def shown(self) -> str:
        """The target, for the log."""
        return INFO if self.target is None else self.target


class _Again(Exception):
    """This try failed; the next may not. The text is for the log."""


class _Tries:
    """One request, tried until it is answered."""

    def __init__(
        self,
        calls: Calls,
        asked: _Asked,
        source: Source | None,
        newest: bool,
        after: str | None,
        first: str | None = None,
    ) -> None:
        self._calls = calls
        self._first = first
        self._asked = asked
        self._source = source
        self._newest = newest
        self._failed = [] if after is None else [after]
        self._circuits = calls.circuits
        self._clock = calls.tools.clock
        self._log = calls.tools.log
        self._store = calls.tools.store
        self._doubted = self._unlike = False
        self._silences = 0
        self._proxies = 0

    async def run(self) -> Response:
        problem = ""
        for number in range(TRIES):
            if number:
                await self._pause(number)
            try:
                return await self._try()
            except _Again as again:
                problem = str(again)
            if self._source is not None and self._source.spent:
                break
            if self._silences >= max(SILENCES, self._proxies):
                break
        self._log.warn(
            "{method} {target}: given up: {problem}",
            method=self._asked.method.decode("ascii"),
            target=self._asked.shown,
            problem=problem,
        )
        raise self._unavailable("Swift does not do what it is asked to")

    async def _try(self) -> Response:
        """
        One answer, or several while it is clear what to change.

        :raises _Again: if that has to wait.
        """
        while True:
            session = await self._calls.account.session()
            response = await self._ask(session)
            proxy, code = response.proxy, response.code
            if code == NOT_AUTHENTICATED and self._asked.target is not None:
                if proxy not in session.urls:
                    raise self._again(proxy, "it does not accept the token")
                self._doubt(session)
            elif code == NOT_FOUND and self._asked.method in _READS:
                if self._newest and proxy in session.urls:
                    return self._judged(response)
                if self._newest:
                    raise self._again(proxy, "it does not have it")
                self._newest = True
            else:
                return self._judged(response)

    async def _ask(self, session: Session) -> Response:
        circuits = self._circuits
        groups = [session.urls]
        if self._first in session.urls:
            groups.insert(0, (self._first,))
        if self._asked.method in _READS and self._asked.target is not None:
            groups.append(session.read_urls)
        self._proxies = len({one for group in groups for one in group})
        proxy = circuits.choose(groups, self._failed, self._source is not None)
        if proxy is None:
            raise self._unavailable("none of its servers answers")
        reason: str | None = None
        try:
            response = await exchange(
                self._calls.agent,
                self._clock,
                self._asked.method,
                self._asked.url(proxy),
                self._headers(session),
                self._source,
                proxy=proxy,
                idle_seconds=self._patience(proxy),
                most=self._asked.most,
            )
        except Lost as lost:
            reason = str(lost)
            self._silences += isinstance(lost, Silent)
            raise self._again(proxy, reason) from None
        else:
            if response.code in UNANSWERED:
                reason = f"it answered {response.code}"
            else:
                circuits.worked(proxy)
        finally:
            if reason is not None:
                circuits.failed(proxy, reason)
            circuits.left(proxy)
        return response

    def _patience(self, proxy: str) -> float:
        return TRIAL_SECONDS if self._circuits.half_open(proxy) else IDLE_SECONDS

    def _headers(self, session: Session) -> Headers:
        headers = self._asked.headers.copy()
        headers.setRawHeaders(b"User-Agent", [b"glancetx/" + __version__.encode()])
        if self._asked.target is not None:
            headers.setRawHeaders(b"X-Auth-Token", [session.token.encode("ascii")])
        if self._newest and self._asked.method in _READS:
            headers.setRawHeaders(b"X-Newest", [b"true"])
        return headers

    def _doubt(self, session: Session) -> None:
        """Get another token and ask once more, but not for ever."""
        self._calls.account.doubt(session)
        if self._doubted or (self._source is not None and self._source.spent):
            raise self._unavailable("Swift does not accept the token that it gave")
        self._doubted = True

    def _judged(self, response: Response) -> Response:
        code = response.code
        if code in self._asked.expect:
            return response
        response.drop()
        if code in FULL:
            raise StoreFull(self._store)
        if code in BUSY or code >= SERVER_ERROR:
            raise self._again(response.proxy, f"it answered {code}")
        if code == UNLIKE and not self._unlike:
            self._unlike = True
            raise self._again(response.proxy, "it got other bytes than it was sent")
        self._log.error(
            "{method} {target}: {proxy} answered {code}",
            method=self._asked.method.decode("ascii"),
            target=self._asked.shown,
            proxy=response.proxy,
            code=code,
        )
        raise self._unavailable(f"Swift answered {code}")

    def _again(self, proxy: str, reason: str) -> _Again:
        self._failed.append(proxy)
        return _Again(f"{proxy}: {reason}")

    async def _pause(self, number: int) -> None:
        seconds = BACKOFF * 2 ** (number - 1) * (0.5 + self._calls.jitter())
        await deferLater(self._clock, seconds)

    def _unavailable(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(self._store, reason)


def _join(path: str, query: str) -> str:
    return (f"/{quote(path)}" if path else "") + (f"?{query}" if query else "")
