# Copyright glancetx contributors. See LICENSE for details.

"""
The query of a request, as texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from glancetx.errors import BadValue

__all__ = ["Arguments", "Texts", "read_force", "read_texts"]

Arguments = Mapping[bytes, Sequence[bytes]]
Texts = Mapping[str, Sequence[str]]


def read_texts(arguments: Arguments, repeated: Collection[str] = ()) -> Texts:
    """
    The values of each argument: one, unless it may be repeated.

    :param repeated: the names of those that may be.
    :raises BadValue: that names the argument.
    """
    found = {}
    for raw, values in arguments.items():
        try:
            name, texts = raw.decode("utf-8"), [v.decode("utf-8") for v in values]
        except UnicodeDecodeError:
            name = raw.decode("utf-8", "backslashreplace")
            raise BadValue(name, "must be UTF-8") from None
        if len(texts) > 1 and name not in repeated:
            raise BadValue(name, "is given more than once")
        if any("\0" in text for text in (name, *texts)):
            raise BadValue(name, "must not have the character NUL")
        found[name] = texts
    return found


def read_force(arguments: Arguments) -> bool:
    """
    Whether a deletion is to be forced.

    :raises BadValue: if that is said otherwise than by true or false.
    """
    values = arguments.get(b"force", [b"false"])
    if len(values) != 1 or values[0] not in (b"true", b"false"):
        raise BadValue("force", "must be true or false")
    return values[0] == b"true"
