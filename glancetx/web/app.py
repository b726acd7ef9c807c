# Copyright glancetx contributors. See LICENSE for details.

"""
All routes of a server.
"""

from __future__ import annotations

from typing import cast

from klein import Klein, KleinRenderable
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from glancetx.identity.signatures import Signatures
from glancetx.interfaces import IIdentity
from glancetx.library.images import Images
from glancetx.library.leases import Leases
from glancetx.library.sharing import Sharing
from glancetx.limits import Limits
from glancetx.metrics import Metrics
from glancetx.streaming.player import Player
from glancetx.uris import Names

from .chains import ChainRoutes
from .entity import Sender
from .images import ImageRoutes
from .leases import LeaseRoutes
from .problems import answer_failure
from .request import Request
from .routes import Routes
from .status import StatusRoutes
from .v2 import discovery
from .v2.absent import Absent
from .v2.files import FileRoutes
from .v2.images import RecordRoutes
from .v2.members import MemberRoutes
from .v2.openapi import OpenApi
from .v2.tags import TagRoutes

__all__ = ["make_routes"]

ALIASES = {
    b"images": ((b"v1", b"images"),),
    b"v2": tuple((version.encode("ascii"),) for version in discovery.VERSIONS),
}
"""What else the beginning of a path may be, in parts."""


class Entrance(KleinResource):
    """
    The routes, by all names that their paths begin with.

    A route of its own for each name would make each start 0.15 s longer.
    """

    _known = {alias: name for name, aliases in ALIASES.items() for alias in aliases}

    def render(self, request: IRequest) -> KleinRenderable:
        parts = request.postpath
        for count in (1, 2):
            name = self._known.get(tuple(parts[:count]))
            if name is not None:
                request.postpath = [name, *parts[count:]]
                break
        return super().render(request)


def make_routes(
    images: Images,
    sharing: Sharing,
    leases: Leases,
    own: Names,
    player: Player,
    identity: IIdentity,
    signatures: Signatures,
    limits: Limits,
    metrics: Metrics,
    open_door: bool,
) -> tuple[KleinResource, Routes]:
    """
    The root resource, and the routes that it serves.

    :param own: under which names this server's images are known.
    :param open_door: public images are for everyone, known or not.
    """
    app = Klein()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["other_version"] = discovery.OtherVersion
    routes = Routes(app, identity, signatures)
    sender = Sender(player, limits, open_door)
    for part in (
        ImageRoutes(images, own, sender, limits),
        ChainRoutes(images, own, sender, metrics),
        LeaseRoutes(leases, limits),
        discovery.Discovery(own),
        Absent(images),
        RecordRoutes(images, own, limits),
        FileRoutes(images, own, sender),
        MemberRoutes(sharing, limits),
        TagRoutes(images),
        StatusRoutes(metrics),
        OpenApi(routes, own),
    ):
        for route in part.routes():
            routes.add(route)

    @app.handle_errors(Exception)
    def failed(request: IRequest, failure: Failure) -> bytes | None:
        return answer_failure(cast(Request, request), failure)

    return Entrance(app), routes
