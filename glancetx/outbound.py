# Copyright glancetx contributors. See LICENSE for details.

"""
The one door out: every connection that glancetx opens is opened here.

Addresses are checked at the moment of connecting, after names were resolved, so that
neither an odd way to write an address nor a name that answers differently the second
time leads elsewhere. Nothing follows a redirect, keeps a cookie or knows a caller's
token; every peer has connections of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (  # type: ignore[attr-defined]
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ProxyAgent,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from .addresses import refusal
from .errors import ConfigError, OriginUnavailable
from .guard import AnswerTooLarge, GuardedEndpoint, Share
from .limits import Limits
from .streaming.answers import Unready

__all__ = ["Outbound", "Peer", "Settings", "Unreachable"]

#: Bytes taken from a socket at once, of which much is kept while its reader is slow:
#: to relay a byte in chunks of 256 KiB costs twice the CPU. All connections together
#: take less than so many, but each can take the least.
RECEIVE = 1024 * 1024
RECEIVE_TOGETHER = 8 * RECEIVE
RECEIVE_LEAST = 64 * 1024

#: Idle connections kept for each peer, and for how many seconds: less than our own
#: servers wait (60 s), so that the caller is seldom the one surprised.
IDLE_CONNECTIONS = 8
IDLE_SECONDS = 55


class Settings(Protocol):
    """What must be known of a peer: an ``[[origins]]`` entry, or a :class:`Peer`."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy to ask it by."""

    @property
    def ca_file(self) -> str | None:
        """The file with the only certificates that may vouch for it, in PEM."""


@frozen
class Peer:
    """A peer that is no entry of the configuration."""

    name: str
    proxy: str | None = None
    ca_file: str | None = None


class Unreachable(OriginUnavailable, Unready):
    """The peer could not be reached this time; the next time it may be."""


@implementer(IReactorPluggableNameResolver)
class _CheckedReactor:
    """What ``HostnameEndpoint`` needs of a reactor, with a look at addresses."""

    def __init__(self, reactor: Any, peer: str) -> None:
        self._reactor = reactor
        self._peer = peer

    @property
    def nameResolver(self) -> IHostnameResolver:
        resolver: IHostnameResolver = self._reactor.nameResolver
        return resolver

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("the resolver is the reactor's own")

    def connectTCP(self, host: str, port: int, *args: Any, **kwargs: Any) -> IConnector:
        reason = refusal(host)
        if reason is not None:
            raise OriginUnavailable(
                self._peer,
                f"its address {host} is {reason}, and no connection to such an "
                "address is opened",
            )
        connector: IConnector = self._reactor.connectTCP(host, port, *args, **kwargs)
        return connector

    def callLater(self, *args: Any, **kwargs: Any) -> IDelayedCall:
        call: IDelayedCall = self._reactor.callLater(*args, **kwargs)
        return call

    def seconds(self) -> float:
        seconds: float = self._reactor.seconds()
        return seconds


@implementer(IAgentEndpointFactory)
@frozen
class _Endpoints:
    reactor: _CheckedReactor
    policy: IPolicyForHTTPS
    limits: Limits
    receive: int
    share: Share
    clock: IReactorTime

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self.reactor, uri.host, uri.port, timeout=self.limits.origin_seconds
        )
        if uri.scheme == b"https":
            creator = self.policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        elif uri.scheme != b"http":
            raise SchemeNotSupported(f"no connections by {uri.scheme!r}")
        return GuardedEndpoint(
            endpoint, self.receive, self.limits.header_bytes, self.share, self.clock
        )


@implementer(IAgent)
@frozen
class _PeerAgent:
    """Says in words of the domain which peer failed, and how."""

    peer: str
    agent: IAgent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        cancelled: list[Deferred[IResponse]] = []
        answer = self.agent.request(method, uri, headers, bodyProducer)

        def cancel(result: Deferred[IResponse]) -> None:
            cancelled.append(result)
            answer.cancel()

        def failed(failure: Failure) -> Failure:
            # who resolves a name takes a cancel for a name that is not known
            return Failure(CancelledError()) if cancelled else self._translate(failure)

        result: Deferred[IResponse] = Deferred(cancel)
        answer.addErrback(failed).chainDeferred(result)
        return result

    def _translate(self, failure: Failure) -> Failure:
        error: Any = failure.value
        if isinstance(error, RequestGenerationFailed):
            cause: Failure = error.reasons[0]
            return cause  # the caller's own body failed
        while getattr(error, "reasons", None):
            error = error.reasons[0].value
        if isinstance(error, CancelledError | ConnectingCancelledError):
            return Failure(CancelledError())  # also what a time limit waits for
        if failure.check(*_NETWORK):
            return Failure(_unavailable(self.peer, error))
        return failure


_NETWORK = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
)

_BROKEN = (ConnectionClosed, RequestNotSent)
_PASSING = (ConnectError, DNSLookupError, *_BROKEN)
_TRUST = (SSL.Error, VerificationError, CertificateError)

# The first type that fits tells; the error fills the text.
_SENTENCES: tuple[tuple[Any, str], ...] = (
    (AnswerTooLarge, "its answer has {error}"),
    (ConnectionRefusedError, "it refuses connections"),
    (TimeoutError, "it did not accept a connection in time"),
    (DNSLookupError, "its name cannot be resolved ({error})"),
    (ConnectError, "no connection: {error}"),
    (_TRUST, "no trust in its TLS certificate or connection ({error!r})"),
    (_BROKEN, "the connection broke before its answer came"),
    (BaseException, "its answer is no proper HTTP ({error!r})"),
)


def _unavailable(peer: str, error: BaseException) -> OriginUnavailable:
    text = next(text for types, text in _SENTENCES if isinstance(error, types))
    lasting = isinstance(error, AnswerTooLarge) or not isinstance(error, _PASSING)
    kind = OriginUnavailable if lasting else Unreachable
    return kind(peer, text.format(error=error))


class Outbound:
    """
    Makes the agents by which other servers are asked.

    :param reactor: opens the connections.
    :param limits: ``origin_seconds`` to connect, ``header_bytes`` of an answer.
    """

    def __init__(self, reactor: Any, limits: Limits) -> None:
        self._reactor = reactor
        self._limits = limits
        self._pools: list[HTTPConnectionPool] = []
        self._share = Share(RECEIVE_TOGETHER, RECEIVE_LEAST)

    def agent(self, peer: Settings, receive: int = RECEIVE) -> IAgent:
        """
        An agent, with connections of its own, by which to ask one peer.

        It knows no time limit but that of connecting. By a proxy, ``https`` is the
        proxy's task, and ``ca_file`` then vouches for the proxy.

        :param receive: how many bytes are taken from a socket at once, at most.
        :returns: its requests fail with :class:`Unreachable` if the peer cannot be
            reached now, and with another :class:`OriginUnavailable` if it may not be
            reached, is not to be trusted, or answers no HTTP.
        :raises ConfigError: if the ``ca_file`` cannot be used.
        """
        pool = HTTPConnectionPool(self._reactor)
        pool.maxPersistentPerHost = IDLE_CONNECTIONS
        pool.cachedConnectionTimeout = IDLE_SECONDS
        self._pools.append(pool)
        endpoints = _Endpoints(
            _CheckedReactor(self._reactor, peer.name),
            _policy(peer.ca_file),
            self._limits,
            receive,
            self._share,
            self._reactor,
        )
        agent: IAgent
        if peer.proxy is None:
            agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool)
        else:
            proxy = endpoints.endpointForURI(URI.fromBytes(peer.proxy.encode("ascii")))
            agent = ProxyAgent(proxy, self._reactor, pool)
        return _PeerAgent(peer.name, agent)

    async def stop(self) -> None:
        """Close the connections that nobody uses now."""
        await gatherResults([pool.closeCachedConnections() for pool in self._pools])


def _policy(ca_file: str | None) -> IPolicyForHTTPS:
    if ca_file is None:
        return BrowserLikePolicyForHTTPS()
    try:
        found = re.findall(
            b"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----",
            Path(ca_file).read_bytes(),
        )
        certificates = [Certificate.loadPEM(pem) for pem in found]
    except (OSError, crypto.Error) as error:
        raise ConfigError(ca_file, "ca_file", f"cannot be read: {error}") from error
    if not certificates:
        raise ConfigError(ca_file, "ca_file", "holds no certificate in PEM")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))
