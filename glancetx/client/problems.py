# Copyright glancetx contributors. See LICENSE for details.

"""
What can go wrong for a client alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from glancetx.errors import GlancetxError

__all__ = ["NotTrusted", "ServerRefused"]


@dataclass(eq=False)
class ServerRefused(GlancetxError):
    """
    A server answered, and said no.

    :ivar status: the HTTP status.
    :ivar message: the server's own sentence.
    """

    status: int
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.status})"


@dataclass(eq=False)
class NotTrusted(GlancetxError):
    """An image is on a server that this client was not told to trust."""

    uri: str

    def __str__(self) -> str:
        return f"{self.uri} is on a server that this client was not told to trust"
