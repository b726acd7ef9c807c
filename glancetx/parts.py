# Copyright glancetx contributors. See LICENSE for details.

"""
The parts of a server, put together in one place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from .catalogue import Catalogue
from .config import Config
from .identity.keystone import Keystone
from .identity.nobody import Nobody
from .identity.policyfile import read_policy
from .identity.signatures import Signatures
from .identity.tokens import Tokens
from .interfaces import IIdentity, Tools
from .leasing import Leasing
from .library.access import Access
from .library.chains import Chains
from .library.changes import Changes
from .library.holding import Holding
from .library.images import Images
from .library.leases import Leases
from .library.presence import Presence, lock_folder
from .library.sharing import Sharing
from .library.uploads import Uploads
from .metrics import Metrics
from .origins import Origins
from .outbound import Outbound, Peer
from .stores import Stores, make_stores
from .streaming.digest import Digests
from .streaming.player import Player
from .times import utcnow
from .uris import Names
from .web.app import make_routes
from .web.routes import Routes
from .web.site import Site

__all__ = [
    "Parts",
    "compose",
    "compose_catalogue",
    "compose_stores",
    "digest_threads",
    "store_tools",
]

_LEAST_DIGEST_THREADS = 2


@frozen
class Parts:
    """
    What a server is made of. None of it was started.

    :ivar pools: threads to be started before, and stopped after, everything else.
    """

    pools: tuple[ThreadPool, ...]
    catalogue: Catalogue
    presence: Presence
    stores: Stores
    outbound: Outbound
    origins: Origins
    images: Images
    holding: Holding
    identity: IIdentity
    signatures: Signatures
    routes: Routes
    metrics: Metrics
    site: Site


def compose(config: Config, reactor: Any) -> Parts:
    """
    Make the parts of a server. Connects to nothing and starts no thread.

    :raises ConfigError: if a store or an origin cannot work as it is configured.
    """
    limits = config.limits
    files = ThreadPool(0, limits.file_threads, "files")
    hashing = ThreadPool(0, digest_threads(limits.digest_threads), "digests")
    metrics = Metrics()
    own = Names(config.server.public_url, config.server.aliases)
    digests = Digests(reactor, hashing)
    outbound = Outbound(reactor, limits)
    identity = make_identity(config, outbound, reactor)
    origins = Origins(
        config.origins,
        outbound,
        digests,
        reactor,
        limits,
        metrics.parent,
        identity.own_token,
    )
    catalogue, presence = compose_catalogue(config, reactor)
    stores = compose_stores(config, reactor, files, outbound)
    uploads = Uploads(
        digests, config.server.os_hash_algo, config.server.md5, limits.inspect_bytes
    )
    access = Access(read_policy(config.identity.policy_file), catalogue)
    chains = Chains(own, origins, catalogue, access, limits)
    changes = Changes(access, limits, utcnow)
    holding = Holding(
        catalogue,
        origins,
        Leasing(own.bases[0].url, reactor, limits),
        reactor,
        utcnow,
        metrics.leases,
    )
    images = Images(
        catalogue,
        stores,
        origins,
        chains,
        uploads,
        presence,
        access,
        changes,
        holding,
        utcnow,
    )
    sharing = Sharing(access, catalogue, limits, utcnow)
    leases = Leases(access, catalogue, limits, utcnow)
    player = Player(reactor, files)
    signatures = Signatures(config.identity.signing_keys_file, utcnow)
    resource, routes = make_routes(
        images,
        sharing,
        leases,
        own,
        player,
        identity,
        signatures,
        limits,
        metrics,
        access.open_door,
    )
    site = Site(
        resource,
        limits,
        reactor,
        files,
        config.server.access_log,
        metrics,
    )
    site.noisy = False
    metrics.watch_transfers(lambda: len(site.transfers))
    return Parts(
        pools=(files, hashing),
        catalogue=catalogue,
        presence=presence,
        stores=stores,
        outbound=outbound,
        origins=origins,
        images=images,
        holding=holding,
        identity=identity,
        signatures=signatures,
        routes=routes,
        metrics=metrics,
        site=site,
    )


def compose_catalogue(config: Config, reactor: Any) -> tuple[Catalogue, Presence]:
    """
    The catalogue, and this process as one of those that use it.

    :raises ConfigError: if its URL cannot be used.
    """
    limits = config.limits
    catalogue = Catalogue(
        config.catalogue_url,
        reactor,
        busy_seconds=limits.catalogue_seconds,
        connections=limits.catalogue_connections,
    )
    folder = config.catalogue_locks or lock_folder(config.catalogue_url)
    return catalogue, Presence(catalogue, folder, reactor)


def make_identity(config: Config, outbound: Outbound, reactor: Any) -> IIdentity:
    """
    Whoever knows the callers.

    :raises ConfigError: if it cannot work as it is configured.
    """
    settings = config.identity
    if settings.kind == "tokens":
        assert settings.tokens_file is not None
        return Tokens(settings.tokens_file)
    if settings.kind == "keystone":
        agent = outbound.agent(Peer("keystone", ca_file=settings.ca_file))
        return Keystone(settings, agent, reactor, utcnow, config.limits)
    return Nobody()


def compose_stores(
    config: Config, reactor: Any, files: ThreadPool, outbound: Outbound
) -> Stores:
    """
    The configured stores, working in the given threads.

    :param outbound: where backends on other machines are asked.
    :raises ConfigError: if one cannot work as it is configured.
    """
    tools = store_tools(reactor, files, outbound)
    return make_stores(config.stores, config.source, config.folder, tools)


def store_tools(
    reactor: Any, files: ThreadPool, outbound: Outbound
) -> Callable[[str], Tools]:
    """What makes the tools of the store with a name."""

    def tools(store: str) -> Tools:
        return Tools(
            store=store,
            agent=outbound.agent(Peer(store)),
            threads=files,
            clock=reactor,
            log=Logger(f"glancetx.stores.{store}"),
            threaded=partial(deferToThreadPool, reactor, files),
            trusting=lambda ca_file: outbound.agent(Peer(store, ca_file=ca_file)),
        )

    return tools


def digest_threads(limit: int) -> int:
    """How many threads make digests: as limited, or one a core, but two at least."""
    return limit or max(_LEAST_DIGEST_THREADS, os.cpu_count() or 0)
