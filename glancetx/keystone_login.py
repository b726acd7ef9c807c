# Copyright glancetx contributors. See LICENSE for details.

"""
How one gets a token from Keystone: what is sent, and what is read of the answer
(Identity API v3, "Password authentication" and "Authenticating with an Application
Credential").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = ["by_application", "by_password", "is_token", "read_moment", "tokens_url"]

#: Far more than a Fernet or JWS token has; more is refused without asking anyone. Two
#: of them fit into the 4 KiB of headers that Keystone's usual servers take.
LONGEST_TOKEN = 1536
_LONGEST_TIME = 255

_TOKEN = re.compile(r"[\x21-\x7e]+")


def tokens_url(auth_url: str) -> str:
    """Where tokens are got. :param auth_url: with or without ``/v3`` and a slash."""
    root = auth_url.rstrip("/").removesuffix("/v3")
    return f"{root}/v3/auth/tokens"


def by_application(credential_id: str | None, secret: str | None) -> dict[str, Any]:
    """Who asks: an application credential, which knows its project."""
    method = "application_credential"
    credential = {"id": credential_id, "secret": secret}
    return {"identity": {"methods": [method], method: credential}}


def by_password(
    username: str | None,
    user_domain_name: str | None,
    password: str | None,
    project_name: str | None,
    project_domain_name: str | None,
) -> dict[str, Any]:
    """Who asks: a user, for a project."""
    user = {
        "name": username,
        "domain": {"name": user_domain_name},
        "password": password,
    }
    project = {"name": project_name, "domain": {"name": project_domain_name}}
    return {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project},
    }


def is_token(text: str) -> bool:
    """Whether a text can be a token at all: it can stand in a header."""
    return len(text) <= LONGEST_TOKEN and _TOKEN.fullmatch(text) is not None


def read_moment(token: Mapping[str, Any], name: str) -> datetime:
    """
    A time that the description of a token has, aware.

    :raises ValueError: if it has none.
    """
    text = token.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_TIME:
        raise ValueError(f"{name} is not a text of 1 to {_LONGEST_TIME} characters")
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return when
