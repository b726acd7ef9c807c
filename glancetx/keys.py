# Copyright glancetx contributors. See LICENSE for details.

"""
How one key of a configuration file is checked, and what is said if it is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NoReturn

from attrs import frozen

from .errors import BadValue, ConfigError
from .uris import parse_base

__all__ = ["Checker", "Key", "hint", "shown"]


@frozen
class Key:
    """
    A key of a table: the type of its value in TOML, and what it is if not given.

    A ``list`` is a list of texts. A default of ``None`` means that there is none.
    """

    name: str
    kind: type
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


_KINDS = {
    str: "a text in quotes",
    bool: "true or false",
    int: "a whole number",
    list: "a list of texts in quotes",
    datetime: "a time, for example 2030-01-31T12:00:00Z",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SHOWN = 80


class Checker:
    """
    Checks the keys of one file; what is wrong is a ``ConfigError`` that names it.

    :ivar source: the file as it was named, for messages.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, key: str, problem: str) -> NoReturn:
        """Say what is wrong with a key, in a sentence that the key begins."""
        raise ConfigError(self.source, key, problem)

    def table(self, name: str, values: Any, keys: Iterable[Key]) -> dict[str, Any]:
        """
        The values of a table by key, checked, with defaults filled in.

        :param name: how the table is called in messages.
        """
        if not isinstance(values, dict):
            self.fail(name, f"must be a table, not {shown(values)}")
        known = {key.name: key for key in keys}
        for given in values:
            if given not in known:
                self.fail(f"{name}.{given}", f"unknown key; {hint(given, known)}")
        return {
            key.name: self.value(f"{name}.{key.name}", key, values)
            for key in known.values()
        }

    def value(self, name: str, key: Key, values: Mapping[str, Any]) -> Any:
        """The value of a key, checked for its type, or the key's default."""
        if key.name not in values:
            if key.required:
                self.fail(name, f"is needed: {_KINDS[key.kind]}")
            return key.default
        value = values[key.name]
        right = type(value) is key.kind and value != ""
        if right and key.kind is list:
            right = all(isinstance(item, str) for item in value)
        if not right:
            self.fail(name, f"must be {_KINDS[key.kind]}, not {shown(value)}")
        if key.choices and value not in key.choices:
            allowed = " or ".join(f'"{choice}"' for choice in key.choices)
            self.fail(name, f"must be {allowed}, not {shown(value)}")
        return value

    def name(self, key: str, name: str) -> None:
        """Check a name that a person gave to something."""
        if _NAME.fullmatch(name) is None:
            self.fail(
                key, f"{shown(name)}: a name has letters, digits, - and _, at most 64"
            )

    def url(self, key: str, value: str) -> str:
        """A URL in its one form: lower-case host, no default port, no last slash."""
        try:
            return parse_base(value).url
        except BadValue as error:
            self.fail(key, error.problem)


def hint(name: str, known: Iterable[str]) -> str:
    """A guess at what was meant, or all that could be."""
    names = list(known)
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"


def shown(value: Any) -> str:
    """A value much as it stands in the file, not too long."""
    if type(value) is bool:
        return "true" if value else "false"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
