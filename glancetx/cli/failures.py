# Copyright glancetx contributors. See LICENSE for details.

"""
What went wrong, for a person who wants to go on, and for a script.
"""

from __future__ import annotations

from glancetx.client import NotTrusted, ServerRefused
from glancetx.errors import (
    GlancetxError,
    NoSuchImage,
    OriginUnavailable,
    PieceCorrupt,
    PieceTruncated,
)

from .settings import DEFAULT_SERVER, Settings

__all__ = ["FAILED", "INTERRUPTED", "Failed", "explain", "exit_code"]

FAILED = 1
UNREACHABLE = 3
CORRUPT = 4
INTERRUPTED = 130

UNAUTHORIZED = 401


class Failed(GlancetxError):
    """A command could not do all that it was asked to; its text says why."""


def exit_code(error: BaseException) -> int:
    """The status that a command ends with."""
    if isinstance(error, OriginUnavailable | PieceTruncated):
        return UNREACHABLE
    if isinstance(error, PieceCorrupt):
        return CORRUPT
    return FAILED


def explain(error: BaseException, settings: Settings) -> str:
    """The error in a sentence or two, with what can be done about it."""
    text = str(error) or type(error).__name__
    if isinstance(error, NoSuchImage):
        return f"{text} on {settings.server}"
    if isinstance(error, NotTrusted):
        return f"{text}; if you do, add --trust with the beginning of that URI"
    if isinstance(error, ServerRefused) and error.status == UNAUTHORIZED:
        if settings.token is None:
            text += "; show a token with --token-file FILE, or in $GLANCETX_TOKEN"
        return text
    if isinstance(error, OriginUnavailable):
        text = f"{error.origin} cannot be asked: {error.reason}"
        if settings.server == error.origin == DEFAULT_SERVER:
            text += "; is it running? --server or GLANCETX_SERVER name another"
        return text
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, [_named(error.filename), error.strerror]))
    return text


def _named(file: object) -> str | None:
    return None if file is None else str(file)
