# Copyright glancetx contributors. See LICENSE for details.

"""
The configuration: one TOML file, every key of it checked before anything starts.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, fields, frozen

from .credentials import IDENTITY_KEYS, IdentityConfig, read_identity
from .errors import ConfigError
from .keys import Checker, Key, hint, shown
from .limits import Limits
from .listening import Address, anchor_endpoint, parse_endpoint
from .private import read_secret

__all__ = [
    "TABLES",
    "Config",
    "IdentityConfig",
    "OriginConfig",
    "ServerConfig",
    "StoreConfig",
    "load",
    "parse",
]


@frozen
class ServerConfig:
    """
    ``[server]``

    :ivar listen: Twisted endpoint strings, each checked.
    :ivar public_url: what this server's URIs begin with; no slash at its end.
    :ivar aliases: what else its URIs begin, or began, with.
    :ivar insecure: it may listen beyond loopback though nobody is asked who he is.
    :ivar md5: uploads get an MD5, the ``checksum`` of an image.
    :ivar os_hash_algo: the main digest, ``sha256`` or ``sha512``.
    :ivar access_log: an absolute path, or ``None`` for the log of the process.
    """

    listen: tuple[str, ...]
    public_url: str
    aliases: tuple[str, ...] = ()
    insecure: bool = False
    md5: bool = True
    os_hash_algo: str = "sha256"
    access_log: str | None = None


@frozen
class StoreConfig:
    """
    ``[stores.NAME]``

    :ivar options: the backend's own keys, as they stand in the file.
    """

    name: str
    backend: str
    options: Mapping[str, Any] = field(repr=False)  # there may be secrets in it
    default: bool = False


@frozen
class OriginConfig:
    """
    One ``[[origins]]``: an image server that this one may ask.

    :ivar url: what its URIs begin with; no slash at its end.
    :ivar aliases: what else its URIs begin, or began, with.
    :ivar via: a URL of the cache through which its bytes are read.
    :ivar proxy: a URL of an HTTP proxy through which it is asked.
    :ivar ca_file: an absolute path: who may sign its certificate.
    :ivar same_keystone: it knows the same callers by the same tokens, and may be
        shown them.
    :ivar credential_file: an absolute path: one line, the token that this server
        shows there to be given bytes.
    """

    name: str
    url: str
    aliases: tuple[str, ...] = ()
    via: str | None = None
    proxy: str | None = None
    ca_file: str | None = None
    same_keystone: bool = False
    credential_file: str | None = None


@frozen
class Config:
    """
    Everything that a server is told.

    :ivar source: the file as it was named, for messages.
    :ivar folder: the absolute folder that relative paths are relative to.
    :ivar catalogue_locks: the absolute folder for the lock files of processes;
        ``None`` for one beside the catalogue's file.
    """

    source: str
    folder: str
    server: ServerConfig
    catalogue_url: str = field(repr=False)  # it may have a password
    stores: tuple[StoreConfig, ...]
    origins: tuple[OriginConfig, ...] = ()
    identity: IdentityConfig = IdentityConfig()
    limits: Limits = Limits()
    catalogue_locks: str | None = None


_CATALOGUE = "sqlite:///glancetx-data/catalogue.sqlite"
TABLES: Mapping[str, tuple[Key, ...]] = {
    "server": (
        Key("listen", list, ["tcp:9292:interface=127.0.0.1"]),
        Key("public_url", str),
        Key("aliases", list, []),
        Key("insecure", bool, False),
        Key("md5", bool, True),
        Key("os_hash_algo", str, "sha256", choices=("sha256", "sha512")),
        Key("access_log", str),
    ),
    "catalogue": (
        Key("url", str, _CATALOGUE),
        Key("url_file", str),
        Key("locks", str),
    ),
    "stores": (Key("backend", str, required=True), Key("default", bool)),
    "identity": IDENTITY_KEYS,
    "origins": (
        Key("name", str, required=True),
        Key("url", str, required=True),
        Key("aliases", list, []),
        Key("via", str),
        Key("proxy", str),
        Key("ca_file", str),
        Key("same_keystone", bool, False),
        Key("credential_file", str),
    ),
    "limits": tuple(Key(limit.name, int, limit.default) for limit in fields(Limits)),
}
"""The keys of each table; a table of ``stores`` has those of its backend as well."""

_EMBEDDED = "the embedded defaults"
_DEFAULTS = {
    "stores": {"main": {"backend": "filesystem", "path": "glancetx-data/pieces"}}
}
_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgresql+psycopg://")
_LOCKS = "glancetx-data/processes"


def load(path: str | None) -> Config:
    """
    Read and check a configuration file.

    :param path: ``None`` for the embedded defaults: SQLite and a folder below
        ``./glancetx-data``, loopback, no origins.
    :raises ConfigError: if it cannot be used; it names file and key.
    """
    if path is None:
        return parse(_DEFAULTS, _EMBEDDED, os.getcwd())
    try:
        text = Path(path).read_bytes().decode("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(path, "cannot be read", reason) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, f"line {line}", "is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).removesuffix(")").rpartition(" (at ")
        raise ConfigError(path, place, f"is not TOML: {problem}") from error
    except (ValueError, RecursionError) as error:  # a number, or brackets, without end
        raise ConfigError(path, "cannot be read", str(error)) from error
    return parse(values, path, os.path.dirname(os.path.abspath(path)))


def parse(values: Mapping[str, Any], source: str, folder: str) -> Config:
    """
    Check what a configuration file holds.

    :param source: the file's name, for messages.
    :param folder: what relative paths are relative to.
    :raises ConfigError: if it cannot be used.
    """
    return _Reader(source, folder).config(values)


class _Reader(Checker):
    """Turns the tables of a file into their classes."""

    def __init__(self, source: str, folder: str) -> None:
        super().__init__(source)
        self.folder = folder

    def config(self, values: Mapping[str, Any]) -> Config:
        for name in values:
            if name not in TABLES:
                self.fail(name, f"unknown table; {hint(name, TABLES)}")
        single = {
            name: self.table(name, values.get(name, {}), TABLES[name])
            for name in ("server", "catalogue", "identity", "limits")
        }
        url = self.catalogue(single["catalogue"])
        identity = read_identity(self, single["identity"], self.folder)
        config = Config(
            source=self.source,
            folder=self.folder,
            server=self.server(single["server"], identity.kind),
            catalogue_url=url,
            stores=self.stores(values.get("stores", {})),
            origins=self.origins(values.get("origins", [])),
            identity=identity,
            limits=self.limits(single["limits"]),
            catalogue_locks=self.locks(single["catalogue"]["locks"], url),
        )
        self.distinct(config)
        self.keystones(config)
        return config

    def server(self, values: dict[str, Any], kind: str) -> ServerConfig:
        listen = [anchor_endpoint(text, self.folder) for text in values["listen"]]
        addresses = [self.endpoint(text) for text in listen]
        if not addresses:
            self.fail("server.listen", "needs one endpoint at least")
        local = all(address.local for address in addresses)
        if kind == "none" and not (local or values["insecure"]):
            self.fail(
                "server.listen",
                "would let everyone beyond this machine read and write, since "
                'identity.kind is "none"; add interface=127.0.0.1, or '
                "insecure = true if your network keeps others out",
            )
        public_url = values["public_url"] or (addresses[0].url if local else None)
        if public_url is None:
            self.fail(
                "server.public_url",
                "is needed: what others call this server cannot be told from "
                'server.listen; for example "http://glance.example.com"',
            )
        values["public_url"] = self.url("server.public_url", public_url)
        values["listen"] = tuple(listen)
        values["aliases"] = self.urls("server.aliases", values["aliases"])
        values["access_log"] = self.path(values["access_log"])
        return ServerConfig(**values)

    def endpoint(self, text: str) -> Address:
        try:
            return parse_endpoint(text)
        except ValueError as error:
            self.fail("server.listen", f"{shown(text)}: {error}")

    def catalogue(self, values: Mapping[str, Any]) -> str:
        url: str = values["url"]
        path = values["url_file"]
        if path is not None:
            if url != _CATALOGUE:
                self.fail("catalogue.url_file", "cannot be given beside url")
            url = self.secret("catalogue.url_file", path)
        if url.startswith(_POSTGRESQL):
            return url
        return self.sqlite(url)

    def sqlite(self, url: str) -> str:
        path = url.removeprefix(_SQLITE)
        if path == url or path in ("", ":memory:"):
            self.fail(
                "catalogue.url",
                "must be sqlite:/// and the path of a file, or "
                "postgresql://USER@HOST/DATABASE",
            )
        path = os.path.join(self.folder, path)
        if not {"?", "#"}.isdisjoint(path):
            self.fail("catalogue.url", f"{path}: ? and # cannot be in the path")
        return _SQLITE + path

    def locks(self, path: str | None, url: str) -> str | None:
        """Beside a file there is a place for them; else they are with the data."""
        if path is None and not url.startswith(_SQLITE):
            path = _LOCKS
        return self.path(path)

    def secret(self, key: str, path: str) -> str:
        path = os.path.join(self.folder, path)
        try:
            return read_secret(path)
        except ValueError as error:
            self.fail(key, f"{path}: {error}")

    def stores(self, values: Any) -> tuple[StoreConfig, ...]:
        if not isinstance(values, dict) or not values:
            self.fail(
                "stores",
                "needs one table at least, for example [stores.main] with "
                'backend = "filesystem" and path = "pieces"',
            )
        lone = len(values) == 1
        stores = tuple(self.store(name, values[name], lone) for name in values)
        defaults = [store.name for store in stores if store.default]
        if len(defaults) != 1:
            now = f"{' and '.join(defaults)} have" if defaults else "none has"
            self.fail("stores", f"one must have default = true; now {now}")
        return stores

    def store(self, name: str, values: Any, lone: bool) -> StoreConfig:
        key = f"stores.{name}"
        self.name(key, name)
        if not isinstance(values, dict):
            self.fail(key, f"must be a table, not {shown(values)}")
        options = dict(values)
        own = {
            k.name: options.pop(k.name) for k in TABLES["stores"] if k.name in values
        }
        table = self.table(key, own, TABLES["stores"])
        default = lone if table["default"] is None else table["default"]
        return StoreConfig(name, table["backend"], options, default)

    def origins(self, values: Any) -> tuple[OriginConfig, ...]:
        if not isinstance(values, list):
            self.fail("origins", "must be tables, each under [[origins]]")
        return tuple(self.origin(*item) for item in enumerate(values, 1))

    def origin(self, number: int, table: Any) -> OriginConfig:
        named = isinstance(table, dict) and isinstance(table.get("name"), str)
        key = f"origins.{table['name']}" if named else f"origins #{number}"
        values = self.table(key, table, TABLES["origins"])
        self.name(f"{key}.name", values["name"])
        values["aliases"] = self.urls(f"{key}.aliases", values["aliases"])
        for name in ("url", "via", "proxy"):
            if values[name] is not None:
                values[name] = self.url(f"{key}.{name}", values[name])
        for name in ("ca_file", "credential_file"):
            values[name] = self.path(values[name])
        origin = OriginConfig(**values)
        self.proxy(f"{key}.proxy", origin)
        self.ca_file(f"{key}.ca_file", origin)
        self.credential_file(f"{key}.credential_file", origin)
        return origin

    def proxy(self, key: str, origin: OriginConfig) -> None:
        if origin.proxy is None:
            return
        if origin.url.startswith("https:"):
            self.fail(key, "cannot be used, since the origin's url is https")
        if origin.proxy.startswith("https:") or origin.proxy.count("/") > 2:  # noqa: PLR2004
            self.fail(key, "must be http://, a host and perhaps a port")

    def ca_file(self, key: str, origin: OriginConfig) -> None:
        if origin.ca_file is None:
            return
        if not any(
            (url or "").startswith("https:") for url in (origin.url, origin.via)
        ):
            self.fail(key, "is for https, but neither url nor via is")
        try:
            with open(origin.ca_file, "rb"):
                pass
        except OSError as error:
            self.fail(key, f"{origin.ca_file}: {error.strerror}")

    def credential_file(self, key: str, origin: OriginConfig) -> None:
        if origin.credential_file is None:
            return
        try:
            read_secret(origin.credential_file)
        except ValueError as error:
            self.fail(key, f"{origin.credential_file}: {error}")

    def limits(self, values: dict[str, Any]) -> Limits:
        for name, value in values.items():
            try:
                Limits(**{name: value})
            except ValueError as error:
                self.fail(f"limits.{name}", str(error))
        limits = Limits(**values)
        if limits.list_default > limits.list_limit:
            self.fail(
                "limits.list_default",
                f"{limits.list_default} is more than list_limit, {limits.list_limit}",
            )
        return limits

    def distinct(self, config: Config) -> None:
        """Every name and every URL must lead to one server only."""
        owners = dict.fromkeys(
            (config.server.public_url, *config.server.aliases), "of this server"
        )
        names: set[str] = set()
        for origin in config.origins:
            if origin.name in names:
                self.fail(f"origins.{origin.name}.name", "two origins have this name")
            names.add(origin.name)
            for url in (origin.url, *origin.aliases):
                owner = owners.setdefault(url, f"of origin {origin.name}")
                if owner != f"of origin {origin.name}":
                    self.fail(f"origins.{origin.name}", f"{url} is also a URL {owner}")

    def keystones(self, config: Config) -> None:
        """Only who has a Keystone can share it."""
        for origin in config.origins:
            if origin.same_keystone and config.identity.kind != "keystone":
                self.fail(
                    f"origins.{origin.name}.same_keystone",
                    f'needs identity.kind = "keystone", not "{config.identity.kind}"',
                )

    def urls(self, key: str, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.url(key, value) for value in values)

    def path(self, path: str | None) -> str | None:
        return None if path is None else os.path.join(self.folder, path)
