# Copyright glancetx contributors. See LICENSE for details.

"""
Who asks: what identity has found out about the sender of one request.
"""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["ANYONE", "NOBODY", "Caller", "Grant"]


@frozen
class Grant:
    """
    What a signed URL lets its bearer do, and nothing else.

    :ivar method: ``GET`` (and ``HEAD``), or ``PUT``.
    :ivar image_id: of which image.
    :ivar digest: ``ALGORITHM:VALUE`` of the bytes that may be read, or must come.
    :ivar size: bytes that a ``PUT`` must bring.
    """

    method: str
    image_id: str
    digest: str
    size: int | None = None


@frozen
class Caller:
    """
    Who sent a request.

    :ivar user: an id, ``None`` if nobody said who he is.
    :ivar project: the id of the project he speaks for.
    :ivar roles: in lower case, with those that they imply.
    :ivar token: his own; for origins that share his Keystone, and for no one else.
    :ivar grant: what a signed URL lets him do besides.
    """

    user: str | None = None
    project: str | None = None
    roles: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False, eq=False)
    grant: Grant | None = None

    @property
    def is_known(self) -> bool:
        """He has shown who he is, or needs not to."""
        return bool(self.roles)


#: Who asks a server that asks nobody who he is: he may do everything.
ANYONE = Caller(roles=frozenset({"admin", "member", "reader"}))

#: Who has shown nothing to a server that wants to know.
NOBODY = Caller()
