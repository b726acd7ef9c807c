# Copyright glancetx contributors. See LICENSE for details.

"""
Who may do what: one table of rules, with Glance's own names where it has any.

A rule is a text in the language of oslo.policy. An operator's policy file replaces
single rules; a file that was written for Glance can be used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import asdict, frozen
from oslo_config.cfg import ConfigOpts
from oslo_policy.policy import Enforcer, Rules

from glancetx.caller import Caller
from glancetx.errors import ConfigError

__all__ = ["RULES", "Policy", "Target"]

_OWNER = "project_id:%(project_id)s"
_SEEN = (
    f"({_OWNER} or project_id:%(member_id)s or 'community':%(visibility)s "
    "or 'public':%(visibility)s or 'shared':%(visibility)s)"
)
_READ = f"rule:context_is_admin or (role:reader and {_SEEN})"
_LOAD = f"rule:context_is_admin or (role:member and {_SEEN})"
_CHANGE = f"rule:context_is_admin or (role:member and {_OWNER})"
_AUDIT = f"rule:context_is_admin or (role:reader and {_OWNER})"

RULES: Mapping[str, str] = {
    "context_is_admin": "role:admin",
    "get_images": "rule:context_is_admin or role:reader",
    "get_image": _READ,
    "download_image": _LOAD,
    "add_image": _CHANGE,
    "modify_image": _CHANGE,
    "upload_image": _CHANGE,
    "delete_image": _CHANGE,
    "deactivate": _CHANGE,
    "reactivate": _CHANGE,
    "communitize_image": _CHANGE,
    "publicize_image": "rule:context_is_admin",
    "get_members": _READ,
    "get_member": _READ,
    "add_member": _CHANGE,
    "delete_member": _CHANGE,
    "modify_member": (
        "rule:context_is_admin or (role:member and project_id:%(member_id)s)"
    ),
    # Glance has none of these.
    "read_public_image": "'public':%(visibility)s",
    "carry_image": "role:service",
    "get_leases": _AUDIT,
    "lease_image": f"{_READ} or role:service",
    "drop_lease": "rule:context_is_admin",
    "force_delete": "rule:context_is_admin",
}
"""
What is allowed unless a policy file says otherwise.

``read_public_image`` lets those without a token read public images by ``/images``, as
zone servers and caches do; ``carry_image`` lets the servers of zones fetch bytes that
they have promised to those who may read them.
"""

_ADMIN = "rule:context_is_admin"
_BOUNDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("get_image", "download_image", "get_members", "get_member"),
        f"{_ADMIN} or {_SEEN}",
    ),
    **dict.fromkeys(
        (
            "add_image",
            "modify_image",
            "upload_image",
            "delete_image",
            "deactivate",
            "reactivate",
            "add_member",
            "delete_member",
            "get_leases",
        ),
        f"{_ADMIN} or {_OWNER}",
    ),
    "read_public_image": "'public':%(visibility)s",
}
"""
What no other rule instead of the table's can go beyond.

Glance's database hides images and keeps them from being changed, whatever its rules
say. So ``""`` in a file for Glance means whoever sees the image, or owns it.
"""

_REMOTE = re.compile(r"(?:^|[\s(])https?:")

_REMEMBERED = 4096
"""Answers kept: to judge a rule takes longer than to look an image up."""


@frozen
class Target:
    """
    What of an image a rule may look at.

    :ivar project_id: its owner, or who would own it.
    :ivar member_id: the caller's project, if the image is shared with it.
    :ivar visibility: ``private`` also for what is shared, but not with the caller.
    """

    project_id: str | None = None
    member_id: str | None = None
    visibility: str = "private"


class Policy:
    """
    Says whether a rule allows something.

    :ivar names: of all rules.
    """

    def __init__(
        self, overrides: Mapping[str, str] | None = None, source: str = "policy"
    ) -> None:
        """
        :param overrides: rules instead of those of the table, or beside them.
        :param source: where they stand, for messages.
        :raises ConfigError: if one cannot be used.
        """
        rules = {**RULES, **(overrides or {})}
        for name, rule in rules.items():
            if not isinstance(rule, str):
                raise ConfigError(source, name, "must be a rule in quotes")
            if _REMOTE.search(rule):
                raise ConfigError(
                    source, name, "rules that ask another server are not supported"
                )
        self._bounds = {
            name: f"{name}, at most" for name in overrides or {} if name in _BOUNDS
        }
        bounds = {at_most: _BOUNDS[name] for name, at_most in self._bounds.items()}
        self._enforcer = Enforcer(
            ConfigOpts(), rules=Rules.from_dict(rules | bounds), use_conf=False
        )
        self._judge = lru_cache(_REMEMBERED)(self._enforce)
        self.names = frozenset(rules)

    def allows(self, rule: str, caller: Caller, target: Target) -> bool:
        """
        Whether a caller may do what a rule is about.

        Who has shown nothing may read public images at most, whatever a rule says.
        """
        if not caller.is_known and rule != "read_public_image":
            return False
        return self._judge(rule, caller.user, caller.project, caller.roles, target)

    def _enforce(
        self,
        rule: str,
        user: str | None,
        project: str | None,
        roles: frozenset[str],
        target: Target,
    ) -> bool:
        credentials = {"user_id": user, "project_id": project, "roles": list(roles)}
        return all(
            self._enforcer.enforce(name, _known(asdict(target)), _known(credentials))
            for name in {rule, self._bounds.get(rule, rule)}
        )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    What has a value.

    oslo.policy compares texts: who has no project would be in the project of what has
    no owner, and a member of what is shared with nobody.
    """
    return {name: value for name, value in values.items() if value is not None}
