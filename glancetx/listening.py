# Copyright glancetx contributors. See LICENSE for details.

"""
What an endpoint string says, found out without listening on it.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from typing import Any, NoReturn

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

__all__ = [
    "KINDS",
    "Address",
    "anchor_endpoint",
    "make_endpoint",
    "parse_endpoint",
    "url_of",
]

KINDS = ("tcp", "tcp6", "ssl", "unix", "systemd")
"""
The kinds of endpoint strings that a server may be told to listen on.

``tls`` is not one: it reads its whole folder again for every name it does not know.
"""

_SSL_FILES = ("privateKey", "certKey", "extraCertChain", "dhParameters")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@frozen
class Address:
    """
    Where an endpoint listens.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: a host or address that leads to it; ``None`` if that cannot be told.
    :ivar port: ``None`` if there is none or the kernel chooses it.
    :ivar local: only this machine can reach it.
    """

    scheme: str
    host: str | None
    port: int | None
    local: bool

    @property
    def url(self) -> str | None:
        """The URL that leads here, if it can be told before listening."""
        if self.host is None or self.port is None:
            return None
        return url_of(self.scheme, self.host, self.port)


def url_of(scheme: str, host: str, port: int) -> str:
    """A URL without path; a default port is left out."""
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


class _Found(Exception):
    """Not an error: carries what the endpoint would have listened on."""

    def __init__(self, host: str | None, port: int | None) -> None:
        self.host = host
        self.port = port


class _Recorder:
    """Stands for the reactor; every attempt to listen ends as :class:`_Found`."""

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> NoReturn:
        raise _Found(interface, port)

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> NoReturn:
        raise _Found(interface, port)

    def listenUNIX(self, address: str, factory: Any, **options: Any) -> NoReturn:
        raise _Found(None, None)


def parse_endpoint(description: str) -> Address:
    """
    Read an endpoint string.

    Key and certificate files that it names are read, but nothing is opened to listen.
    Whether a socket handed over by systemd is local is not known, so it counts as not.

    :raises ValueError: if it cannot be used, with a sentence that says why.
    """
    kind = description.partition(":")[0]
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of the kinds {', '.join(KINDS)}")
    scheme = "https" if kind == "ssl" else "http"
    if kind == "systemd":
        return Address(scheme, None, None, "domain=UNIX" in description.split(":"))
    found = _listen_nowhere(description)
    if kind == "unix":
        return Address(scheme, None, None, True)
    if found.port is not None and not 0 <= found.port <= 65535:  # noqa: PLR2004
        raise ValueError(f"there is no port {found.port}")
    anywhere = found.host in ("", "0.0.0.0", "::")
    host = None if anywhere else found.host
    return Address(scheme, host, found.port or None, _local(found.host))


def anchor_endpoint(description: str, folder: str) -> str:
    """An endpoint string whose relative paths are relative to a folder instead."""
    kind, *arguments = re.split(r"(?<!\\):", description)
    if kind == "unix" and arguments:
        arguments[0] = _anchored(arguments[0], folder)
    if kind == "ssl":
        if not any(argument.startswith("privateKey=") for argument in arguments):
            arguments.append("privateKey=server.pem")
        for number, argument in enumerate(arguments):
            name, _, path = argument.partition("=")
            if name in _SSL_FILES:
                arguments[number] = f"{name}={_anchored(path, folder)}"
    return ":".join([kind, *arguments])


def _anchored(path: str, folder: str) -> str:
    """A path within an endpoint string, made absolute."""
    if os.path.isabs(path):
        return path
    return os.path.join(quoteStringArgument(folder), path)


def make_endpoint(
    reactor: Any, description: str, backlog: int
) -> IStreamServerEndpoint:
    """
    The endpoint of a string, with a backlog unless the string has one.

    :raises ValueError: if it cannot be made, with a sentence that says why.
    """
    kind = description.partition(":")[0]
    if kind != "systemd" and ":backlog=" not in description:
        description = f"{description}:backlog={backlog}"
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except LookupError as error:
        raise ValueError("systemd handed over no such socket") from error
    except Exception as error:
        raise ValueError(_sentence(error)) from error
    return endpoint


def _listen_nowhere(description: str) -> _Found:
    """
    What an endpoint would listen on.

    :raises ValueError: if it cannot be made, with a sentence that says why.
    """
    try:
        endpoint = serverFromString(_Recorder(), description)
    except Exception as error:
        raise ValueError(_sentence(error)) from error
    ended: list[Failure] = []
    listening: Deferred[Any] = endpoint.listen(Factory())
    listening.addErrback(ended.append)
    found = ended[0].value
    if not isinstance(found, _Found):
        raise ValueError(_sentence(found))
    return found


def _sentence(error: object) -> str:
    """An error in one line, for someone who knows nothing of the functions behind."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, TypeError):
        return "an argument is wrong: " + str(error).rpartition("() ")[2]
    return " ".join(str(error).split()) or type(error).__name__


def _local(host: str | None) -> bool:
    """Whether an interface to listen on is reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host or "0.0.0.0").is_loopback
    except ValueError:
        return False
