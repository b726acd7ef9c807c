# Copyright glancetx contributors. See LICENSE for details.

"""
What glancetx uses of Twisted beyond its documented interfaces, for contract tests.
"""

from __future__ import annotations

from twisted import __version__ as version

HOLDS_FOR = "26.10"
"""The release of Twisted that C{glancetx.web} was written and checked against."""


def missing(owner: object, *names: str) -> str:
    """A sentence that says what an object or a class no longer has; empty if none."""
    gone = ", ".join(name for name in names if not hasattr(owner, name))
    if not gone:
        return ""
    label = owner.__name__ if isinstance(owner, type) else type(owner).__name__
    return (
        f"glancetx.web holds for Twisted {HOLDS_FOR}; in {version}, {label} "
        f"has no {gone}: read its new code before you change ours"
    )


def changed(what: str) -> str:
    """A message for a behaviour that is not as it was."""
    return (
        f"glancetx.web holds for Twisted {HOLDS_FOR}; in {version} it is no "
        f"longer so that {what}: read its new code before you change ours"
    )
