# Copyright glancetx contributors. See LICENSE for details.

"""
What is wrong with a document, in a person's words.

A schema's ``$comment`` is the sentence where the keyword alone says nothing to a person
(``pattern``, ``oneOf``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jsonschema.exceptions import ValidationError

__all__ = ["explain"]

SHOWN = 60
"""Characters of a client's text that an error repeats."""

KINDS = {
    "null": "null",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def explain(error: ValidationError) -> tuple[str, str]:
    """The field that an error is about, and what is wrong with it."""
    facts: Any = error
    path = list(facts.absolute_path)
    if facts.validator == "required":
        missing = [one for one in facts.validator_value if one not in facts.instance]
        return _field([*path, missing[0]]), "must be given"
    if facts.validator == "additionalProperties":
        known = facts.schema["properties"]
        unknown = min(one for one in facts.instance if one not in known)
        return _field([*path, unknown]), f"is not known; there are {', '.join(known)}"
    if "propertyNames" in facts.absolute_schema_path:
        return _field([facts.instance]), f"the name of a property {_problem(facts)}"
    return _field(path), _problem(facts)


def _problem(facts: Any) -> str:
    write = _PROBLEMS.get(facts.validator)
    if write is None:
        return str(facts.schema["$comment"])
    return write(facts.validator_value, facts.instance)


def _wrong_type(allowed: str | list[str], value: Any) -> str:
    names = [allowed] if isinstance(allowed, str) else [*allowed[1:], allowed[0]]
    return f"must be {' or '.join(KINDS[one] for one in names)}, not {_shown(value)}"


def _wrong_choice(allowed: list[str | None], value: Any) -> str:
    names = ", ".join("null" if one is None else one for one in allowed)
    return f"must be one of {names}, not {_shown(value)}"


def _too_long(most: int, value: str) -> str:
    return f"must have at most {most} characters, not {len(value)}"


def _too_short(least: int, value: str) -> str:
    return f"must have at least {least} characters" if value else "must not be empty"


def _too_small(least: int, value: int) -> str:
    return f"must be {least} or more, not {_shown(value)}"


def _too_large(most: int, value: int) -> str:
    return f"must be {most} or less, not {_shown(value)}"


_PROBLEMS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _wrong_type,
    "enum": _wrong_choice,
    "maxLength": _too_long,
    "minLength": _too_short,
    "minimum": _too_small,
    "maximum": _too_large,
}


def _field(path: Iterable[str | int]) -> str:
    """A place in a document, as ``tags[2]``; ``body`` for the whole of it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text = f"{text or 'body'}[{part}]"
        else:
            text += f".{_short(part)}" if text else _short(part)
    return text or "body"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return json.dumps(_short(value), ensure_ascii=False)
    return _short(json.dumps(value))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
