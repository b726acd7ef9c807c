# Copyright glancetx contributors. See LICENSE for details.

"""
``[identity]``: how a server knows who is asking, and who it is itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .keys import Checker, Key
from .private import read_secret

__all__ = ["IDENTITY_KEYS", "IdentityConfig", "read_identity"]


@frozen
class IdentityConfig:
    """
    ``[identity]``: what belongs to another kind is ``None``.

    All paths are absolute. Secrets stand here even if the file named another file
    that holds them.

    :ivar kind: ``none``, ``tokens`` or ``keystone``.
    :ivar policy_file: rules instead of the built-in ones.
    :ivar signing_keys_file: what signed URLs are signed with.
    :ivar auth_url: Keystone's; no slash at its end.
    :ivar secret_file: where the secret or the password was read from, if from a file.
    :ivar ca_file: who may sign Keystone's certificate.
    """

    kind: str = "none"
    policy_file: str | None = None
    signing_keys_file: str | None = None
    tokens_file: str | None = None
    auth_url: str | None = None
    application_credential_id: str | None = None
    application_credential_secret: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    project_name: str | None = None
    user_domain_name: str | None = None
    project_domain_name: str | None = None
    ca_file: str | None = None
    secret_file: str | None = None


_SECRETS = ("application_credential_secret", "password")
_APPLICATION = ("application_credential_id", "application_credential_secret")
_USER = (
    "username",
    "password",
    "project_name",
    "user_domain_name",
    "project_domain_name",
)
_PATHS = ("policy_file", "signing_keys_file", "tokens_file", "ca_file")

IDENTITY_KEYS = (
    Key("kind", str, "none", choices=("none", "tokens", "keystone")),
    Key("policy_file", str),
    Key("signing_keys_file", str),
    Key("tokens_file", str),
    Key("auth_url", str),
    Key("application_credential_id", str),
    Key("application_credential_secret", str),
    Key("application_credential_secret_file", str),
    Key("username", str),
    Key("password", str),
    Key("password_file", str),
    Key("project_name", str),
    Key("user_domain_name", str),
    Key("project_domain_name", str),
    Key("ca_file", str),
)
"""The keys of the table, in the order of the documentation."""

_OF_ALL = ("kind", "policy_file")
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "none": _OF_ALL,
    "tokens": (*_OF_ALL, "signing_keys_file", "tokens_file"),
    "keystone": tuple(key.name for key in IDENTITY_KEYS if key.name != "tokens_file"),
}


def read_identity(
    checker: Checker, values: dict[str, Any], folder: str
) -> IdentityConfig:
    """
    What the table says.

    :param values: by key, each checked for its type.
    :param folder: what relative paths are relative to.
    :raises ConfigError: if a key is missing, one too many, or of another kind.
    """
    return _Reader(checker, folder).identity(values)


class _Reader:
    def __init__(self, checker: Checker, folder: str) -> None:
        self._checker = checker
        self._folder = folder

    def identity(self, values: dict[str, Any]) -> IdentityConfig:
        kind = values["kind"]
        given = {name: value for name, value in values.items() if value is not None}
        for name in given:
            if name not in _OF_KIND[kind]:
                kinds = [f'"{one}"' for one, keys in _OF_KIND.items() if name in keys]
                self._fail(name, f'is for kind = {" or ".join(kinds)}, not "{kind}"')
        for name in _SECRETS:
            self._read_secret(given, name)
        for name in _PATHS:
            if name in given:
                given[name] = os.path.join(self._folder, given[name])
        if kind == "tokens":
            self._need(given, "tokens_file", "the path of the file that holds them")
        if kind == "keystone":
            self._check_keystone(given)
        return IdentityConfig(**given)

    def _check_keystone(self, given: dict[str, Any]) -> None:
        self._need(given, "auth_url", 'for example "https://keystone.example.com:5000"')
        given["auth_url"] = self._checker.url("identity.auth_url", given["auth_url"])
        ways = [_APPLICATION, _USER]
        begun = [way for way in ways if not given.keys().isdisjoint(way)]
        if len(begun) != 1:
            self._fail(
                "kind",
                '"keystone" needs either application_credential_id and its secret, '
                "or username, password, project_name and both domain names",
            )
        for name in begun[0]:
            alone = f"a text in quotes, since {_first(begun[0], given)} is given"
            also = f", or {name}_file" if name in _SECRETS else ""
            self._need(given, name, alone + also)
        if "ca_file" in given:
            self._check_ca_file(given["ca_file"], given["auth_url"])

    def _check_ca_file(self, path: str, url: str) -> None:
        if not url.startswith("https:"):
            self._fail("ca_file", "is for https, but auth_url is not")
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            self._fail("ca_file", f"{path}: {error.strerror}")

    def _read_secret(self, given: dict[str, Any], name: str) -> None:
        """Replace the path of a file that holds a secret by the secret."""
        path = given.pop(f"{name}_file", None)
        if path is None:
            return
        if name in given:
            self._fail(f"{name}_file", f"cannot be given beside {name}")
        path = os.path.join(self._folder, path)
        try:
            given[name] = read_secret(path)
        except ValueError as error:
            self._fail(f"{name}_file", f"{path}: {error}")
        given["secret_file"] = path

    def _need(self, given: Mapping[str, Any], name: str, what: str) -> None:
        if name not in given:
            self._fail(name, f"is needed: {what}")

    def _fail(self, name: str, problem: str) -> None:
        self._checker.fail(f"identity.{name}", problem)


def _first(names: tuple[str, ...], given: Mapping[str, Any]) -> str:
    return next(name for name in names if name in given)
