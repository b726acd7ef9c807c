# Copyright glancetx contributors. See LICENSE for details.

"""
A policy file: rules that an operator gives instead of the built-in ones.

A file that was written for Glance can be used. Whatever in it would silently refuse, or
do nothing without being meant to, is refused by name: oslo.policy takes a rule that it
cannot understand for one that nobody fulfils.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from attrs import fields
from oslo_policy.policy import AndCheck, Check, NotCheck, OrCheck, Rules
from oslo_policy.policy import parse_file_contents as parse_yaml
from twisted.logger import Logger

from glancetx.errors import ConfigError
from glancetx.keys import hint, shown

from .policy import RULES, Policy, Target

__all__ = ["OF_GLANCE", "read_policy"]

OF_GLANCE = frozenset(
    """
    default
    add_image_location add_task get_task get_tasks modify_task tasks_api_access
    cache_delete cache_image cache_list manage_image_cache
    copy_image delete_image_location fetch_image_location get_image_location
    set_image_location stores_info_detail
    add_metadef_namespace add_metadef_object add_metadef_property
    add_metadef_resource_type_association add_metadef_tag add_metadef_tags
    delete_metadef_namespace delete_metadef_object delete_metadef_tag
    delete_metadef_tags get_metadef_namespace get_metadef_namespaces
    get_metadef_object get_metadef_objects get_metadef_properties
    get_metadef_property get_metadef_resource_type get_metadef_tag get_metadef_tags
    list_metadef_resource_types metadef_admin metadef_default
    modify_metadef_namespace modify_metadef_object modify_metadef_property
    modify_metadef_tag remove_metadef_property
    remove_metadef_resource_type_association
    """.split()
)
"""Rules that Glance has beside those of ``RULES``; they are about nothing here."""

_CALLER = ("user_id", "project_id", "roles")
_TARGET = tuple(attribute.name for attribute in fields(Target))
_REMOTE = ("http", "https")
_VARIABLE = re.compile(r"%\(([^)]*)\)s")

_log = Logger()

# What it cannot understand, oslo.policy tells with a traceback; we do it in a sentence.
logging.getLogger("oslo_policy").addHandler(logging.NullHandler())


def read_policy(path: str | None) -> Policy:
    """
    The policy with the rules of a file.

    Rules of Glance that mean nothing here are named in the log.

    :param path: ``None`` for the built-in rules alone.
    :raises ConfigError: if the file, or a rule of it, cannot be used.
    """
    if path is None:
        return Policy()
    file = _File(path, _load(path))
    unused = sorted(file.given.keys() & OF_GLANCE - file.used)
    if unused:
        _log.warn(
            "{path}: {rules}: Glance has these rules, here they mean nothing",
            path=path,
            rules=", ".join(unused),
        )
    return Policy({name: file.given[name] for name in file.used}, path)


def _load(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return parse_yaml(file.read())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(path, "cannot be read", reason) from error
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(path, "is neither YAML nor JSON", problem) from error


class _File:
    """
    The rules of a file, checked.

    :ivar given: all of them, by their names.
    :ivar used: the names of those that matter here: of our rules, and of rules that
        they refer to.
    """

    def __init__(self, path: str, values: Any) -> None:
        self._path = path
        self.given = self._texts(values)
        self._checks = Rules.from_dict({**RULES, **self.given})
        self._find_unknown()
        self.used: set[str] = set()
        for name in RULES:
            self._follow(name, ())

    def _texts(self, values: Any) -> Mapping[str, str]:
        if not isinstance(values, dict):
            self._fail("rules", "must be given as NAME: RULE, one a line")
        for name, rule in values.items():
            if not isinstance(name, str):
                self._fail(shown(name), "a rule's name is a text")
            if not isinstance(rule, str):
                self._fail(name, f"must be a rule in quotes, not {shown(rule)}")
        return values

    def _find_unknown(self) -> None:
        """A name that nothing refers to is a slip of the pen."""
        referred = {
            leaf.match
            for name in self.given
            for leaf in _leaves(self._checks[name])
            if isinstance(leaf, Check) and leaf.kind == "rule"
        }
        for name in self.given:
            if name not in RULES.keys() | OF_GLANCE | referred:
                self._fail(name, f"there is no such rule; {hint(name, RULES)}")

    def _follow(self, name: str, path: tuple[str, ...]) -> None:
        """Check a rule, and those that it refers to."""
        if name in path:
            self._fail(name, f"refers to itself, by {' and '.join(path)}")
        if name in self.given:
            self.used.add(name)
            self._check_text(name)
        for leaf in _leaves(self._checks[name]):
            if isinstance(leaf, Check) and leaf.kind == "rule":
                if leaf.match not in self._checks:
                    self._fail(name, f"there is no rule {shown(leaf.match)}")
                self._follow(leaf.match, (*path, name))

    def _check_text(self, name: str) -> None:
        text = self.given[name]
        leaves = list(_leaves(self._checks[name]))
        refusals = [leaf for leaf in leaves if str(leaf) == "!"]
        if len(refusals) != text.replace("(", " ").replace(")", " ").split().count("!"):
            self._fail(name, f"{shown(text)} cannot be understood")
        for leaf in leaves:
            if isinstance(leaf, Check) and leaf.kind != "rule":
                self._check_leaf(name, leaf)

    def _check_leaf(self, name: str, leaf: Check) -> None:
        if leaf.kind in _REMOTE:
            self._fail(name, "rules that ask another server are not supported")
        for variable in _VARIABLE.findall(leaf.match):
            if variable not in _TARGET:
                self._fail(
                    name,
                    f"looks at %({variable})s; of an image there are only "
                    f"{', '.join(_TARGET)}",
                )
        if "%" in _VARIABLE.sub("", leaf.match):
            self._fail(name, f"{shown(leaf.match)} has a % that begins no %(NAME)s")
        if leaf.kind != "role" and leaf.kind not in _CALLER and not _literal(leaf.kind):
            self._fail(
                name,
                f"looks at the caller's {leaf.kind}; there are only role and "
                f"{', '.join(_CALLER)}",
            )

    def _fail(self, name: str, problem: str) -> NoReturn:
        raise ConfigError(self._path, name, problem)


def _leaves(check: object) -> Iterator[object]:
    """The parts of a rule that have no parts themselves."""
    if isinstance(check, AndCheck | OrCheck):
        for part in check.rules:
            yield from _leaves(part)
    elif isinstance(check, NotCheck):
        yield from _leaves(check.rule)
    else:
        yield check


def _literal(text: str) -> bool:
    """Whether the left side of a comparison is a value, as in ``'public':...``."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError):
        return False
    return True
