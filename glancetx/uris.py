# Copyright glancetx contributors. See LICENSE for details.

"""
Which image a URI names, told from its text alone.

Nothing here resolves a name or opens a connection. A URI names an image of a server
only if it begins, letter by letter, with what the configuration says of that server;
what would merely lead to the same machine does not (trust: allow-lists by exact
string first).
"""

from __future__ import annotations

import re

from attrs import evolve, field, frozen

from .errors import BadValue

__all__ = ["Base", "Names", "is_image_id", "parse_base"]

#: Longer texts name no image, and are not looked at.
LONGEST = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535

_IMAGE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# No percent escape, userinfo, query, fragment, blank or non-ASCII letter fits.
_URI = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]*)*)"
)

# Who writes a user writes a password, which is not to be shown.
_USER = re.compile(r"//.*@", re.DOTALL)

# What may stand before and behind an id; the parts between slashes.
_FORMS = {
    ((), ()),
    (("images",), ()),
    (("v1", "images"), ()),
    (("v2", "images"), ()),
    (("v2", "images"), ("file",)),
}
_LONGEST_FORM = 4


def is_image_id(text: str) -> bool:
    """Say whether a text is an image's id: a lower-case UUID with dashes."""
    return _IMAGE_ID.fullmatch(text) is not None


@frozen
class Base:
    """
    Where a server's URIs begin.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: in lower case; an IPv6 address in its brackets.
    :ivar port: always there, the scheme's own one included.
    :ivar path: the parts of its path, empty for a server at the root.
    """

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    @property
    def authority(self) -> str:
        """Host and port as they stand in a ``Host`` header."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.host
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The text that names it: default port left out, no slash at the end."""
        path = "".join(f"/{part}" for part in self.path)
        return f"{self.scheme}://{self.authority}{path}"

    def beyond(self, other: Base) -> tuple[str, ...]:
        """The parts of another's path behind this one's; none if it is elsewhere."""
        depth = len(self.path)
        if evolve(other, path=other.path[:depth]) != self:
            return ()
        return other.path[depth:]


def _split(uri: str) -> Base | None:
    match = _URI.fullmatch(uri) if len(uri) <= LONGEST else None
    if match is None:
        return None
    scheme, host, port, path = match.group("scheme", "host", "port", "path")
    number = int(port) if port else _DEFAULT_PORTS[scheme]
    parts = tuple(path.split("/")[1:])
    if number > _HIGHEST_PORT or not {"", ".", ".."}.isdisjoint(parts):
        return None
    return Base(scheme, host.lower(), number, parts)


def parse_base(url: str) -> Base:
    """
    Read what a configuration gives as the beginning of a server's URIs.

    One slash at the end is left out.

    :raises BadValue: (of the field ``url``) if it cannot begin the URI of an image.
    """
    base = _split(url.removesuffix("/"))
    if base is None:
        raise BadValue(
            "url",
            f"{_USER.sub('//...@', url)!r} is no usable address of a server; write "
            "http://HOST, http://HOST:PORT or https://HOST/PATH, in ASCII, without "
            "user, query, fragment or percent escapes",
        )
    return base


@frozen
class Names:
    """
    All the names under which one server's images are known.

    :ivar url: how its URIs begin when they are written.
    :ivar aliases: how they may begin, too, when they are read.
    :raises BadValue: if one of them is no usable address of a server.
    """

    url: str
    aliases: tuple[str, ...] = ()
    bases: tuple[Base, ...] = field(init=False, eq=False, repr=False)

    @bases.default
    def _parse(self) -> tuple[Base, ...]:
        return tuple(parse_base(url) for url in (self.url, *self.aliases))

    def image_id(self, uri: str) -> str | None:
        """
        The id of the image that a URI names, if it is one of this server's.

        The forms are ``/ID``, ``/images/ID``, ``/v1/images/ID``, ``/v2/images/ID``
        and ``/v2/images/ID/file``. The host's case and a default port that is
        written out do not matter; any other difference does.

        :returns: ``None`` for every other text.
        """
        named = _split(uri)
        if named is None:
            return None
        for base in self.bases:
            image_id = _image_id(base.beyond(named))
            if image_id is not None:
                return image_id
        return None

    def covers(self, url: str) -> bool:
        """Say whether a server's address is one of these names."""
        base = _split(url.removesuffix("/"))
        return base is not None and base in self.bases

    def uri(self, image_id: str) -> str:
        """The URI of an image of this server."""
        return f"{self.bases[0].url}/images/{image_id}"


def _image_id(parts: tuple[str, ...]) -> str | None:
    if len(parts) > _LONGEST_FORM:
        return None
    for index, part in enumerate(parts):
        if is_image_id(part) and (parts[:index], parts[index + 1 :]) in _FORMS:
            return part
    return None
