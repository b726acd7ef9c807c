# Copyright glancetx contributors. See LICENSE for details.

"""
``twistd glancetx``: its options, and the life of a server from start to drain.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from . import __version__
from .allocator import keep_freed_memory
from .config import Config, OriginConfig, StoreConfig, load
from .errors import ConfigError, GlancetxError
from .library.scrub import scrub
from .listening import make_endpoint, parse_endpoint, url_of
from .parts import Parts, compose
from .signals import handled
from .web.accesslog import AccessLog

__all__ = ["Options", "Server", "makeService"]

Compose = Callable[[Config, Any], Parts]

SCRUB_SECONDS = 10
"""How long a start waits for its scrub: a store that is away may take minutes."""

SPARE_FILES = 256
"""Descriptors beside those of connections: pieces, the catalogue, logs."""


class Options(usage.Options):
    """What may be said behind ``twistd glancetx``."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Stores, serves and streams virtual machine images. Without --config: SQLite "
        "and a folder below ./glancetx-data, on http://127.0.0.1:9292. Example: "
        "twistd -n glancetx --config /etc/glancetx/glancetx.toml"
    )
    optParameters = [["config", "c", None, "The configuration, a TOML file."]]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def opt_version(self) -> None:
        """Say which glancetx this is, and end."""
        print(f"glancetx {__version__}")
        sys.exit(0)


def makeService(options: Options) -> Server:
    """
    Make the service that ``twistd`` runs.

    From here on the files of this process are private, unless twistd's ``--umask``
    says otherwise.

    :raises SystemExit: with a line that says what is wrong with the configuration.
    """
    from twisted.internet import reactor  # noqa: PLC0415

    os.umask(0o077)
    try:
        config = load(options["config"])
    except ConfigError as error:
        raise SystemExit(f"glancetx: {error}") from error
    return Server(config, reactor)


class Server(MultiService):
    """
    One server: starts its parts in order, listens last, ends them in reverse.

    If a part does not start, those before it are ended, the log says why, and the
    process ends with status 1.

    :ivar starting: fires when the start is over, well or not.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        compose: Compose = compose,
        fail: Callable[[], None] | None = None,
    ) -> None:
        """
        :param compose: makes the parts.
        :param fail: ends the process after a start that failed.
        """
        super().__init__()
        self.config = config
        self._reactor = reactor
        self._compose = compose
        self._fail = fail or self._exit
        self._stack = AsyncExitStack()
        self._cut: Callable[[], object] = lambda: None
        self.starting: Deferred[None] | None = None

    def startService(self) -> None:
        """Start as soon as the reactor runs: twistd forks before, and drops rights."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """
        Stop listening, let running transfers end within ``drain_seconds``, then end.

        A second SIGTERM or SIGINT meanwhile cuts the transfers.
        """
        return Deferred.fromCoroutine(self._stop())

    def _begin(self) -> None:
        if self.running:
            self.starting = Deferred.fromCoroutine(self._start())
            self.starting.addErrback(self._failed)

    async def _start(self) -> None:
        try:
            await self._start_parts(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start_parts(self, stack: AsyncExitStack) -> None:
        self._raise_file_limit()
        keep_freed_memory()
        parts = self._compose(self.config, self._reactor)
        for pool in parts.pools:
            pool.start()
            stack.callback(pool.stop)
        self._open_log(parts.site.access_log, stack)
        stack.enter_context(
            handled(self._reactor, lambda: self._reload(parts), signal.SIGHUP)
        )
        stack.push_async_callback(parts.catalogue.stop)
        await parts.catalogue.start()
        stack.push_async_callback(parts.presence.stop)
        await parts.presence.start()
        stack.push_async_callback(parts.outbound.stop)
        await self._begin_scrub(parts, stack)
        stack.push_async_callback(parts.holding.stop)
        parts.holding.start()
        stack.push_async_callback(parts.images.settled)
        stack.push_async_callback(self._drain, parts)
        self._introduce(parts)
        for description in self.config.server.listen:
            await self._listen(parts, description, stack)

    async def _listen(
        self, parts: Parts, description: str, stack: AsyncExitStack
    ) -> None:
        backlog = self.config.limits.backlog
        try:
            endpoint = make_endpoint(self._reactor, description, backlog)
        except ValueError as error:
            problem = f"{description}: {error}"
            raise ConfigError(self.config.source, "server.listen", problem) from error
        port = await endpoint.listen(parts.site)
        stack.push_async_callback(_stop_listening, port)
        scheme = parse_endpoint(description).scheme
        self.log.info("listening at {url}", url=_where(scheme, port.getHost()))

    async def _begin_scrub(self, parts: Parts, stack: AsyncExitStack) -> None:
        """Scrub, and go on with the start when that is done or takes too long."""
        enough: Deferred[None] = Deferred()
        scrubbing = Deferred.fromCoroutine(self._scrub_all(parts, enough))
        scrubbing.addErrback(self._not_scrubbed)
        stack.callback(scrubbing.cancel)
        enough.addTimeout(SCRUB_SECONDS, self._reactor, self._scrub_later)
        await enough

    def _scrub_later(self, outcome: Any, seconds: float) -> Any:
        if not isinstance(outcome, Failure) or not outcome.check(CancelledError):
            return outcome
        self.log.warn("the scrub takes long; it goes on while the server runs")
        return None

    async def _scrub_all(self, parts: Parts, enough: Deferred[None]) -> None:
        """:param enough: fires when only those are left who must be watched first."""
        try:
            doubted = await self._scrub(parts, patient=False)
        except Exception as error:
            if enough.called:
                raise
            enough.errback(error)
            return
        if not enough.called:
            enough.callback(None)
        if doubted:
            await self._scrub(parts, patient=True)

    async def _scrub(self, parts: Parts, patient: bool) -> bool:
        """
        Remove what dead processes left; what cannot be removed stops no start.

        :returns: whether there is more, for one who is patient.
        """
        found = await scrub(parts.catalogue, parts.stores, parts.presence, patient)
        if found.removed or found.failed:
            self.log.info(
                "scrub: {removed} leftovers removed, {failed} could not be",
                removed=len(found.removed),
                failed=len(found.failed),
            )
        return bool(found.doubted)

    def _not_scrubbed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("scrub: the next start will do it", failure)

    async def _drain(self, parts: Parts) -> None:
        """Let transfers end; the time limit, or another signal, cuts the rest."""
        site = parts.site
        seconds = self.config.limits.drain_seconds
        if site.transfers:
            self.log.info(
                "draining {running} transfers, at most {seconds} s; "
                "another SIGTERM cuts them",
                running=len(site.transfers),
                seconds=seconds,
            )
        self._cut = lambda: site.drain(0)
        drained = await site.drain(seconds)
        if drained.finished or drained.cut:
            self.log.info(
                "drained: {finished} transfers ended, {cut} were cut",
                finished=drained.finished,
                cut=drained.cut,
            )

    async def _stop(self) -> None:
        await super().stopService()
        with handled(self._reactor, self._hurry, signal.SIGTERM, signal.SIGINT):
            if self.starting is not None:
                self.starting.cancel()
                await self.starting
            try:
                await self._stack.aclose()
            except Exception:
                self.log.failure("a part did not end well")

    def _hurry(self) -> None:
        self.log.warn("asked again to end: cutting what still runs")
        self._cut()

    def _introduce(self, parts: Parts) -> None:
        """Say once what this server is, and loudly if anyone may use it."""
        server = self.config.server
        self.log.info(
            "glancetx {version} serves {url}/images/ID; stores: {stores}; "
            "origins: {origins}",
            version=__version__,
            url=server.public_url,
            stores=", ".join(_store(store) for store in self.config.stores),
            origins=", ".join(_origin(origin) for origin in self.config.origins)
            or "none",
        )
        local = all(parse_endpoint(text).local for text in server.listen)
        if self.config.identity.kind == "none" and not local:
            self.log.warn(
                "INSECURE: whoever reaches this server may read, upload and delete "
                "every image; it asks nobody who he is (server.insecure = true)"
            )

    def _open_log(self, access_log: AccessLog, stack: AsyncExitStack) -> None:
        try:
            access_log.open()
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
            raise ConfigError(
                self.config.source, "server.access_log", problem
            ) from error
        stack.callback(access_log.close)

    def _reload(self, parts: Parts) -> None:
        """At SIGHUP: open the access log again, and read secrets and tokens again."""
        try:
            parts.site.access_log.reopen()
        except OSError as error:
            self.log.error("cannot re-open the access log: {error}", error=error)
        else:
            self.log.info("access log re-opened")
        for part in (parts.identity, parts.signatures):
            try:
                part.reload()
            except ConfigError as error:
                self.log.error("what was read before stays: {error}", error=error)

    def _raise_file_limit(self) -> None:
        """Allow this process as many descriptors as the system lets it have."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        wanted = self.config.limits.connections + SPARE_FILES
        if most != resource.RLIM_INFINITY and most < wanted:
            self.log.warn(
                "this process may have {most} files open, but limits.connections needs "
                "{wanted}; raise it with LimitNOFILE= or ulimit -Hn",
                most=most,
                wanted=wanted,
            )

    def _failed(self, failure: Failure) -> None:
        """Say why the start failed, in a line if it is nobody's mistake but plain."""
        if failure.check(CancelledError):
            return
        reason = _reason(failure.value)
        if reason is None:
            self.log.failure("cannot start", failure)
        else:
            self.log.critical("cannot start: {reason}", reason=reason)
        self._fail()

    def _exit(self) -> None:
        """
        End with status 1. ``twistd`` always ends with 0 when the reactor stops, so
        the status is set behind it, when the interpreter ends.
        """
        atexit.register(_exit_failed)
        self._reactor.stop()


def _exit_failed() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


async def _stop_listening(port: IListeningPort) -> None:
    await maybeDeferred(port.stopListening)


def _reason(error: object) -> str | None:
    """What a person can act on; ``None`` if the code itself is wrong."""
    if isinstance(error, CannotListenError):
        where = f"{error.interface or 'all interfaces'}, port {error.port}"
        why = error.socketError.strerror or error.socketError
        return f"server.listen: {where}: {why}; is another server running there?"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, GlancetxError):
        return str(error)
    return None


def _where(scheme: str, address: IAddress) -> str:
    if isinstance(address, IPv4Address | IPv6Address):
        return url_of(scheme, address.host, address.port)
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'')}"
    return str(address)


def _store(store: StoreConfig) -> str:
    return f"{store.name} ({store.backend}{', default' if store.default else ''})"


def _origin(origin: OriginConfig) -> str:
    via = origin.via or origin.proxy
    return f"{origin.name} ({origin.url}{f' via {via}' if via else ''})"
