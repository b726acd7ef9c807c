# Copyright glancetx contributors. See LICENSE for details.

"""
The keys of a store in Swift, checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import field, frozen

from glancetx.errors import BadValue, ConfigError
from glancetx.interfaces import Option
from glancetx.uris import parse_base

__all__ = ["OPTIONS", "Settings", "read_options"]

MIB = 1024 * 1024
LEAST_SEGMENT, LARGEST_SEGMENT = MIB, 5 * 1024 * MIB
TEMPURL_SECONDS = (300, 600)
LONGEST_GRACE = 366 * 24 * 3600

OPTIONS = (
    Option("auth", str, '"v1", the cluster\'s own tokens, or "v3", Keystone\'s'),
    Option("auth_url", (str, list), "the URL to get tokens at, or several"),
    Option("user", str, "v1: who this server is, ACCOUNT:USER", required=False),
    Option("key", str, "v1: the user's key", required=False, secret=True),
    Option("application_credential_id", str, "v3: who this server is", required=False),
    Option(
        "application_credential_secret",
        str,
        "v3: its secret",
        required=False,
        secret=True,
    ),
    Option(
        "username",
        str,
        "v3: who this server is, if it has no application credential",
        required=False,
    ),
    Option("password", str, "v3: that user's", required=False, secret=True),
    Option("project_name", str, "v3: the project of that user", required=False),
    Option("user_domain_name", str, "v3: the domain of that user", required=False),
    Option(
        "project_domain_name", str, "v3: the domain of that project", required=False
    ),
    Option("region", str, "v3: the region to write to and read from", required=False),
    Option(
        "read_region",
        str,
        "v3: the region to read from while the other does not answer",
        required=False,
    ),
    Option(
        "proxies",
        list,
        "the URLs of proxies, instead of the one that comes with a token",
        required=False,
    ),
    Option(
        "read_proxies",
        list,
        "the URLs of proxies to read by while the others do not answer",
        required=False,
    ),
    Option(
        "ca_file",
        str,
        "who may sign the certificates of all of them, in PEM",
        required=False,
        path=True,
    ),
    Option(
        "container",
        str,
        "how the names of the 256 containers begin",
        required=False,
        default="glancetx-",
    ),
    Option(
        "segment_size",
        int,
        "bytes of one segment; pieces up to this size are not segmented",
        required=False,
        default=256 * MIB,
    ),
    Option("policy", str, "the storage policy of new containers", required=False),
    Option(
        "grace_seconds",
        int,
        "how long readers may go on with a piece that was removed",
        required=False,
        default=3600,
    ),
    Option(
        "tempurl_redirect",
        bool,
        "send readers to signed URLs of the cluster",
        required=False,
        default=False,
    ),
    Option(
        "tempurl_key",
        str,
        "the account's key for signed URLs, X-Account-Meta-Temp-URL-Key",
        required=False,
        secret=True,
    ),
    Option(
        "tempurl_seconds",
        int,
        "how long a signed URL is good at least, 300 to 600",
        required=False,
        default=600,
    ),
)
"""The keys of ``[stores.NAME]``, in the order of the documentation."""


@frozen
class Settings:
    """
    The keys, as :data:`OPTIONS` explains them. URLs have no slash at their ends.

    :ivar store: the name of the store.
    """

    store: str
    auth: str
    auth_urls: tuple[str, ...]
    user: str | None = None
    key: str | None = field(default=None, repr=False)
    application_credential_id: str | None = None
    application_credential_secret: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    project_name: str | None = None
    user_domain_name: str | None = None
    project_domain_name: str | None = None
    region: str | None = None
    read_region: str | None = None
    proxies: tuple[str, ...] = ()
    read_proxies: tuple[str, ...] = ()
    ca_file: str | None = None
    container: str = "glancetx-"
    segment_size: int = 256 * MIB
    policy: str | None = None
    grace_seconds: int = 3600
    tempurl_redirect: bool = False
    tempurl_key: str | None = field(default=None, repr=False)
    tempurl_seconds: int = 600


_V1 = ("user", "key")
_APPLICATION = ("application_credential_id", "application_credential_secret")
_USER = (
    "username",
    "password",
    "project_name",
    "user_domain_name",
    "project_domain_name",
)
_V3 = (*_APPLICATION, *_USER, "region", "read_region")
_SECRETS = {option.name for option in OPTIONS if option.secret}
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def read_options(options: Mapping[str, Any], store: str) -> Settings:
    """
    What a store's table says; its values have the types that they should.

    :raises ConfigError: if a key is missing, one too many, or cannot be right.
    """
    return _Reader(options, store).settings()


class _Reader:
    def __init__(self, options: Mapping[str, Any], store: str) -> None:
        self._given = {
            name: value for name, value in options.items() if value is not None
        }
        self._store = store

    def settings(self) -> Settings:
        given = dict(self._given)
        for name, value in given.items():
            if value in ("", []):
                self._fail(name, "is empty")
        self._check_who()
        self._check_numbers()
        self._check_texts()
        self._check_tempurl()
        urls = given.pop("auth_url")
        urls = [urls] if isinstance(urls, str) else urls
        for name in ("proxies", "read_proxies"):
            given[name] = self._urls(name, given.get(name, []))
        settings = Settings(
            store=self._store, auth_urls=self._urls("auth_url", urls), **given
        )
        self._check_proxies(settings)
        self._check_ca_file(settings)
        return settings

    def _check_who(self) -> None:
        auth = self._given["auth"]
        if auth not in ("v1", "v3"):
            self._fail("auth", 'must be "v1" or "v3"')
        for name in _V3 if auth == "v1" else _V1:
            if name in self._given:
                other = "v3" if auth == "v1" else "v1"
                self._fail(name, f'is for auth = "{other}", not "{auth}"')
        if auth == "v1":
            self._need_all(_V1)
            return
        begun = [way for way in (_APPLICATION, _USER) if self._first(way)]
        if len(begun) != 1:
            self._fail(
                "auth",
                '"v3" needs either application_credential_id and its secret, or '
                "username, password, project_name and both domain names",
            )
        self._need_all(begun[0])

    def _need_all(self, names: tuple[str, ...]) -> None:
        first = self._first(names)
        for name in names:
            if name not in self._given:
                why = f"since {first} is given" if first else 'for auth = "v1"'
                also = f"; or give {name}_file" if name in _SECRETS else ""
                self._fail(name, f"is needed, {why}{also}")

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in self._given), None)

    def _check_numbers(self) -> None:
        size = self._given["segment_size"]
        if not LEAST_SEGMENT <= size <= LARGEST_SEGMENT:
            self._fail(
                "segment_size", f"must be from {LEAST_SEGMENT} to {LARGEST_SEGMENT}"
            )
        if not 0 <= self._given["grace_seconds"] <= LONGEST_GRACE:
            self._fail("grace_seconds", f"must be from 0 to {LONGEST_GRACE}")
        least, most = TEMPURL_SECONDS
        if not least <= self._given["tempurl_seconds"] <= most:
            self._fail("tempurl_seconds", f"must be from {least} to {most}")

    def _check_texts(self) -> None:
        if _CONTAINER.fullmatch(self._given["container"]) is None:
            self._fail(
                "container", "must have letters, digits, '.', '-' and '_', at most 200"
            )
        for name in ("user", "key", "policy"):
            if name in self._given and _HEADER.fullmatch(self._given[name]) is None:
                self._fail(name, "must be ASCII, without blanks at its ends")

    def _check_tempurl(self) -> None:
        if self._given["tempurl_redirect"] and "tempurl_key" not in self._given:
            self._fail("tempurl_key", "is needed for tempurl_redirect")

    def _check_proxies(self, settings: Settings) -> None:
        for url in (*settings.proxies, *settings.read_proxies):
            if parse_base(url).path:
                name = "proxies" if url in settings.proxies else "read_proxies"
                self._fail(name, f"{url}: a host and perhaps a port, without a path")
        both = set(settings.proxies) & set(settings.read_proxies)
        if both:
            self._fail("read_proxies", f"{both.pop()} is one of proxies, too")
        if settings.read_proxies and settings.read_region:
            self._fail("read_proxies", "cannot be given beside read_region")

    def _check_ca_file(self, settings: Settings) -> None:
        if settings.ca_file is None:
            return
        urls = (*settings.auth_urls, *settings.proxies, *settings.read_proxies)
        if not any(url.startswith("https:") for url in urls):
            self._fail("ca_file", "is for https, but none of the URLs is")

    def _urls(self, name: str, values: list[str]) -> tuple[str, ...]:
        urls = []
        for value in values:
            try:
                urls.append(parse_base(value).url)
            except BadValue as error:
                self._fail(name, error.problem)
        if len(set(urls)) < len(urls):
            self._fail(name, "has the same URL twice")
        return tuple(urls)

    def _fail(self, name: str, problem: str) -> NoReturn:
        raise ConfigError(self._store, name, problem)
