# Copyright glancetx contributors. See LICENSE for details.

"""
What Keystone says of a token, read with care before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from glancetx.keystone_login import read_moment

from .accessrules import AccessRule

__all__ = ["Described", "read_token"]

_LONGEST_ID = 255


@frozen
class Described:
    """
    Whose token it is.

    :ivar project: its id, ``None`` if the token is for a domain, the system or nothing.
    :ivar roles: in lower case. Keystone lists those that others imply.
    :ivar rules: all that it may be used for, ``None`` if it may be for everything.
    """

    user: str
    project: str | None
    roles: frozenset[str]
    expires: datetime
    rules: tuple[AccessRule, ...] | None = None


def read_token(answer: Mapping[str, Any]) -> Described:
    """
    Read Keystone's description of a token (Identity API v3, "Validate and show
    information for token").

    :raises ValueError: if it is none.
    """
    token = _table(answer, "token")
    roles = token.get("roles", [])
    if not isinstance(roles, list):
        raise ValueError("roles is not a list")
    return Described(
        user=_text(_table(token, "user"), "id"),
        project=_text(_table(token, "project"), "id") if "project" in token else None,
        roles=frozenset(_text(role, "name").lower() for role in roles),
        expires=read_moment(token, "expires_at"),
        rules=_rules(token),
    )


def _rules(token: Mapping[str, Any]) -> tuple[AccessRule, ...] | None:
    if "application_credential" not in token:
        return None
    rules = _table(token, "application_credential").get("access_rules")
    if rules is None:
        return None
    if not isinstance(rules, list):
        raise ValueError("access_rules is not a list")
    return tuple(
        AccessRule(_text(rule, "service"), _text(rule, "method"), _text(rule, "path"))
        for rule in rules
    )


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def _text(values: Any, name: str) -> str:
    value = values.get(name) if isinstance(values, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        raise ValueError(f"{name} is not a text of 1 to {_LONGEST_ID} characters")
    return value
