# Copyright glancetx contributors. See LICENSE for details.

"""
The configuration of a Swift on loopback, file by file.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping

from attrs import frozen

from .keystone import GLANCE, Keystone

__all__ = ["Settings"]

SWIFT = """\
[swift-hash]
swift_hash_path_prefix = {salt}
swift_hash_path_suffix = {salt}
[storage-policy:0]
name = three
default = yes
[storage-policy:1]
name = two
[swift-constraints]
max_file_size = {max_file_size}
"""

SERVER = """\
[DEFAULT]
swift_dir = {folder}/etc
devices = {folder}/srv/{name}
mount_check = false
fallocate_reserve = {reserve}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
recon_cache_path = {folder}/recon/{name}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-replicator]
recon_cache_path = {folder}/recon/{name}
{replicator}
[{kind}-updater]
recon_cache_path = {folder}/recon/{name}
"""

PROXY = """\
[DEFAULT]
swift_dir = {folder}/etc
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats \
bulk tempurl {auth} copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# Each proxy reads from its own region first.
sorting_method = affinity
read_affinity = r{near}=100, r{far}=200
# A proxy would shun a server that failed for some time, and tests would have to wait.
error_suppression_interval = 0
node_timeout = {node_seconds}
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:tempauth]
use = egg:swift#tempauth
token_life = {token_seconds}
user_test_tester = testing .admin
user_test_reader = reading
[filter:authtoken]
{authtoken}
[filter:keystoneauth]
use = egg:swift#keystoneauth
reseller_prefix = KEY
operator_roles = member, service
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
# Else segments below 1 MiB come one a second.
rate_limit_under_size = 0
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
[filter:symlink]
use = egg:swift#symlink
"""

AUTHTOKEN = """\
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {url}
auth_url = {url}
auth_type = password
username = {account.user}
password = {account.password}
project_name = {account.project}
user_domain_id = default
project_domain_id = default
interface = public
delay_auth_decision = true
cache = swift.cache
include_service_catalog = false
service_token_roles_required = true
"""

EXPIRER = """\
[DEFAULT]
swift_dir = {folder}/etc
user = {user}
[object-expirer]
interval = 1
delay_reaping = 0
recon_cache_path = {folder}/recon/expirer
[pipeline:main]
pipeline = catch_errors cache proxy-server
[app:proxy-server]
use = egg:swift#proxy
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:catch_errors]
use = egg:swift#catch_errors
"""


@frozen
class Settings:
    """
    What can be chosen of a Swift.

    :ivar ports: of its servers, by name.
    :ivar keystone: whose tokens it takes beside those of its own ``tempauth``.
    :ivar salt: what keeps other clusters' objects out of this one.
    :ivar max_file_size: bytes of one object, at most.
    :ivar token_seconds: how long a token of ``tempauth`` is good.
    :ivar node_seconds: how long a proxy waits for a silent server.
    """

    folder: str
    ports: Mapping[str, int]
    salt: str
    keystone: Keystone | None
    max_file_size: int
    token_seconds: int
    node_seconds: int

    def files(self) -> Iterator[tuple[str, str]]:
        """All files, with their names."""
        swift = SWIFT.format(salt=self.salt, max_file_size=self.max_file_size)
        yield "swift.conf", swift
        yield "expirer.conf", self._expirer()
        for name in self.ports:
            if name.startswith("proxy"):
                yield f"{name}.conf", self._proxy(name)
            elif name != "memcached":
                yield f"{name}.conf", self.server(name)

    def server(self, name: str, reserve: str = "0") -> str:
        """
        The file of a server that keeps something.

        :param reserve: how much of its disk stays free; ``100%`` makes it full.
        """
        kind = name.rstrip("0123456789")
        return SERVER.format(
            name=name,
            kind=kind,
            folder=self.folder,
            port=self.ports[name],
            reserve=reserve,
            user=self._user,
            replicator="sync_method = ssync" if kind == "object" else "",
        )

    def _proxy(self, name: str) -> str:
        number = int(name.removeprefix("proxy"))
        keystone = self.keystone
        return PROXY.format(
            folder=self.folder,
            port=self.ports[name],
            user=self._user,
            auth="tempauth" if keystone is None else "authtoken keystoneauth tempauth",
            near=number,
            far=3 - number,
            node_seconds=self.node_seconds,
            memcached=self.ports["memcached"],
            token_seconds=self.token_seconds,
            authtoken=""
            if keystone is None
            else AUTHTOKEN.format(url=keystone.url, account=GLANCE),
        )

    def _expirer(self) -> str:
        return EXPIRER.format(
            folder=self.folder, user=self._user, memcached=self.ports["memcached"]
        )

    @property
    def _user(self) -> str:
        return pwd.getpwuid(os.geteuid()).pw_name
