# Copyright glancetx contributors. See LICENSE for details.

"""
The configured backends by name: found, checked and made at start.

A plug-in may answer with a value, a coroutine or a ``Deferred``; what leaves this
module always answers with a ``Deferred``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.plugin import getPlugins
from txaio.tx import as_future
from zope.interface import implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from . import backends
from .errors import ConfigError, StoreUnavailable
from .interfaces import (
    IBackend,
    IBackendFactory,
    IFilePiece,
    ILocatedPiece,
    IPiece,
    IPieceWriter,
    Option,
    Tools,
)
from .private import read_secret

__all__ = [
    "INTERFACE_VERSION",
    "Store",
    "StoreTable",
    "Stores",
    "find_factories",
    "make_backend",
    "make_stores",
]

INTERFACE_VERSION = 1


class StoreTable(Protocol):
    """
    What the configuration says of one store.

    :ivar options: all keys that are the backend's own, as they stand in the file.
    """

    @property
    def name(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def options(self) -> Mapping[str, Any]: ...

    @property
    def default(self) -> bool: ...


@implementer(IPiece)
class _Piece:
    """A plug-in's piece."""

    def __init__(self, piece: IPiece) -> None:
        self.size = piece.size
        self._piece = piece

    def produce(self, consumer: IConsumer, start: int, stop: int) -> Deferred[None]:
        return _later(self._piece.produce, consumer, start, stop)


@implementer(IFilePiece)
class _FilePiece(_Piece):
    """A plug-in's piece that is a file."""

    def __init__(self, piece: IFilePiece) -> None:
        super().__init__(piece)
        self._open = piece.open

    def open(self) -> Deferred[int]:
        return _later(self._open)


@implementer(ILocatedPiece)
class _LocatedPiece(_Piece):
    """A plug-in's piece that a reader may be sent to."""

    def __init__(self, piece: ILocatedPiece) -> None:
        super().__init__(piece)
        self._location = piece.location

    def location(self) -> Deferred[str | None]:
        return _later(self._location)


@implementer(IPieceWriter)
class _Writer:
    """A plug-in's writer."""

    def __init__(self, writer: IPieceWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> Deferred[None]:
        return _later(self._writer.write, data)

    def finish(self) -> Deferred[None]:
        return _later(self._writer.finish)

    def abort(self) -> Deferred[None]:
        return _later(self._writer.abort)


@implementer(IBackend)
class Store:
    """One configured backend, or one that another wraps: all it returns is awaited."""

    def __init__(self, name: str, backend: IBackend) -> None:
        self.name = name
        self._backend = backend

    async def piece(self, key: str, size: int) -> IPiece:
        """
        The bytes under a key, to be read; an ``IFilePiece`` if they are a file here,
        an ``ILocatedPiece`` if a reader may be sent to them.

        :param size: how many there are, as recorded when they were written.
        :raises NoSuchPiece: now or when the piece is read.
        """
        piece = await _later(self._backend.piece, key, size)
        if IFilePiece.providedBy(piece):
            return _FilePiece(piece)
        if ILocatedPiece.providedBy(piece):
            return _LocatedPiece(piece)
        return _Piece(piece)

    async def create(self, key: str, size: int | None) -> IPieceWriter:
        """
        Begin to write a piece.

        :param size: how many bytes will come, if that is known.
        :raises StoreFull: if there is no room for them.
        """
        return _Writer(await _later(self._backend.create, key, size))

    async def remove(self, key: str) -> None:
        """
        Remove a piece, and what a killed writer left of one. Idempotent.
        """
        await _later(self._backend.remove, key)


class Stores:
    """
    All stores, in the order of the configuration.

    :ivar default: the store that takes new pieces.
    """

    def __init__(self, stores: Iterable[Store], default: str) -> None:
        self._stores = {store.name: store for store in stores}
        self.default = self._stores[default]

    def __iter__(self) -> Iterator[Store]:
        return iter(self._stores.values())

    def get(self, name: str) -> Store:
        """
        The store of this name.

        :raises StoreUnavailable: if it is no longer configured.
        """
        try:
            return self._stores[name]
        except KeyError:
            raise StoreUnavailable(name, "it is not in the configuration") from None


def _later(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """Call a plug-in's function, whichever way it answers."""
    result: Deferred[Any] = as_future(function, *args)
    return result


def find_factories() -> list[IBackendFactory]:
    """All backends that are installed, each once."""
    found: list[IBackendFactory] = []
    for factory in getPlugins(IBackendFactory, backends):
        if not any(factory is other for other in found):
            found.append(factory)
    return found


def make_stores(
    tables: Sequence[StoreTable],
    source: str,
    folder: str,
    tools: Callable[[str], Tools],
    factories: Iterable[IBackendFactory] | None = None,
) -> Stores:
    """
    Make every configured store.

    :param source: the configuration's name, for messages.
    :param folder: what relative paths are relative to.
    :param tools: makes the tools of the store with this name.
    :param factories: the backends to choose from; those installed, by default.
    :raises ConfigError: if a backend is missing, doubled or made for other
        interfaces, if an option is missing, unknown or of the wrong type, or if there
        is not exactly one default.
    """
    found = find_factories() if factories is None else list(factories)
    default = _default(tables, source)
    stores = [
        Store(table.name, make_backend(table, source, folder, tools(table.name), found))
        for table in tables
    ]
    return Stores(stores, default)


def make_backend(
    table: StoreTable,
    source: str,
    folder: str,
    tools: Tools,
    factories: Iterable[IBackendFactory] | None = None,
) -> IBackend:
    """
    Make the backend of one store, as its author made it.

    The parameters, and what is raised, are those of :func:`make_stores`.
    """
    known = _by_name(find_factories() if factories is None else factories, source)
    maker = _Maker(source, f"stores.{table.name}", folder, known, tools)
    return maker.make(table.backend, table.options)


class _Maker:
    """Makes one store's backend, and those that it wraps."""

    def __init__(
        self,
        source: str,
        key: str,
        folder: str,
        known: Mapping[str, IBackendFactory],
        tools: Tools,
    ) -> None:
        self._source = source
        self._key = key
        self._folder = folder
        self._known = known
        self._tools = tools

    def make(
        self,
        name: str,
        given: Mapping[str, Any],
        key: str = "backend",
        around: tuple[str, ...] = (),
    ) -> IBackend:
        """
        :param key: which names the backend.
        :param around: the keys that are those of backends which wrap it.
        """
        factory = self._choose(name, key)
        own = tuple(one for option in factory.options for one in option.names)
        for one in own:
            if one in around:
                problem = f"{name} cannot be wrapped here: both take the key {one}"
                raise self._error(key, problem)
        takes = (*around, *own)
        rest = {one: value for one, value in given.items() if one not in own}
        inner = self._inner(factory, given)
        if inner is None:
            for one in rest:
                names = ", ".join(takes) or "no keys"
                take = "and its wrapper take" if around else "takes"
                problem = f"unknown key; the backend {name} {take} {names}"
                raise self._error(one, problem)
        options = {one.name: self._value(one, given) for one in factory.options}
        if inner is not None:
            wrapped = self.make(options[inner], rest, inner, takes)
            options[inner] = Store(self._tools.store, wrapped)
        return self._call(factory, options)

    def _inner(self, factory: IBackendFactory, given: Mapping[str, Any]) -> str | None:
        """The option that names the backend which this one wraps, if any does."""
        found = [
            option.name
            for option in factory.options
            if option.backend and given.get(option.name, option.default) is not None
        ]
        if len(found) > 1:
            problem = f"{factory.name} wraps {' and '.join(found)}; it may wrap one"
            raise self._error(found[1], problem)
        return found[0] if found else None

    def _choose(self, name: str, key: str) -> IBackendFactory:
        known = self._known
        if name not in known:
            raise self._error(
                key,
                f"no backend {name!r} is installed, but {', '.join(sorted(known))}; "
                "one that cannot be imported is named in the log",
            )
        factory = known[name]
        self._verify(IBackendFactory, factory, key)
        if factory.interface_version != INTERFACE_VERSION:
            raise self._error(
                key,
                f"{name} is made for version {factory.interface_version} of the "
                f"interfaces, and this is version {INTERFACE_VERSION}",
            )
        return factory

    def _call(self, factory: IBackendFactory, options: Mapping[str, Any]) -> IBackend:
        try:
            backend = factory.make(options, self._tools)
        except ConfigError as error:
            raise self._error(error.key, error.problem) from error
        except Exception as error:
            problem = f"{factory.name} cannot be started: {error}"
            raise self._error("backend", problem) from error
        self._verify(IBackend, backend, "backend")
        return backend

    def _value(self, option: Option, given: Mapping[str, Any]) -> Any:
        names = [name for name in option.names if name in given]
        if len(names) > 1:
            raise self._error(names[1], f"cannot be given beside {option.name}")
        if not names:
            if option.required:
                others = "".join(f"; or give {name}" for name in option.names[1:])
                raise self._error(option.name, f"is missing: {option.help}{others}")
            value = option.default
        elif names[0] == option.name:
            value = given[option.name]
            if not _fits(value, option.kinds):
                kinds = " or ".join(_KINDS.get(one, str(one)) for one in option.kinds)
                raise self._error(option.name, f"must be {kinds}: {option.help}")
        else:
            return self._secret(names[0], given[names[0]])
        if option.path and value is not None:
            return os.path.join(self._folder, value)
        return value

    def _secret(self, name: str, path: Any) -> str:
        """What a file holds that is named instead of a secret."""
        if not isinstance(path, str):
            raise self._error(name, "must be of type str: the path of a file")
        path = os.path.join(self._folder, path)
        try:
            return read_secret(path)
        except ValueError as error:
            raise self._error(name, f"{path}: {error}") from error

    def _verify(self, interface: Any, candidate: object, key: str) -> None:
        try:
            verifyObject(interface, candidate)
        except Invalid as error:
            raise self._error(key, str(error).strip()) from error

    def _error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(self._source, f"{self._key}.{key}", problem)


_KINDS = {
    str: "of type str",
    int: "of type int",
    bool: "of type bool",
    list: "of type list, of texts",
}


def _fits(value: Any, kinds: Collection[type]) -> bool:
    """Whether a value has one of some types; a truth value is no number."""
    if type(value) is list and not all(isinstance(item, str) for item in value):
        return False
    return type(value) in kinds


def _by_name(
    factories: Iterable[IBackendFactory], source: str
) -> dict[str, IBackendFactory]:
    found = list(factories)
    for name, times in Counter(factory.name for factory in found).items():
        if times > 1:
            alike = sorted(_described(one) for one in found if one.name == name)
            problem = f"{times} backends call themselves {name!r}: {', '.join(alike)}"
            raise ConfigError(source, "stores", f"{problem}; uninstall all but one")
    return {factory.name: factory for factory in found}


def _described(factory: IBackendFactory) -> str:
    kind = factory if isinstance(factory, type) else type(factory)
    return f"{kind.__module__}.{kind.__qualname__}"


def _default(tables: Sequence[StoreTable], source: str) -> str:
    names = [table.name for table in tables]
    defaults = [table.name for table in tables if table.default]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(source, "stores", "at least one store is needed")
    if not defaults:
        problem = f"say default = true in one of {', '.join(names)}"
        raise ConfigError(source, "stores", problem)
    if len(defaults) > 1:
        problem = f"only one of {', '.join(defaults)} can be the default"
        raise ConfigError(source, f"stores.{defaults[1]}.default", problem)
    return defaults[0]
