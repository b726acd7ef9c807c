# Copyright glancetx contributors. See LICENSE for details.

"""
A server that asks nobody who he is: ``[identity] kind = "none"``.
"""

from __future__ import annotations

from zope.interface import implementer

from glancetx.caller import ANYONE, Caller
from glancetx.interfaces import Credentials, IIdentity

__all__ = ["Nobody"]


@implementer(IIdentity)
class Nobody:
    """Lets everyone do everything, whatever he shows."""

    challenge = b""

    async def identify(self, credentials: Credentials) -> Caller:
        return ANYONE

    async def own_token(self) -> str | None:
        return None

    def reload(self) -> None:
        pass
