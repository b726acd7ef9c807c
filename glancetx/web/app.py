# Copyright glancetx contributors. See LICENSE for details.

"""
All routes of a server.
"""

from __future__ import annotations

from typing import cast

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from glancetx.library.images import Images
from glancetx.limits import Limits
from glancetx.metrics import Metrics
from glancetx.streaming.player import Player
from glancetx.uris import Names

from .chains import ChainRoutes
from .entity import Sender
from .images import ImageRoutes
from .problems import answer_failure
from .request import Request
from .status import StatusRoutes

__all__ = ["make_resource"]


def make_resource(
    images: Images, own: Names, player: Player, limits: Limits, metrics: Metrics
) -> KleinResource:
    """
    The root resource.

    :param own: under which names this server's images are known.
    """
    app = Klein()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    sender = Sender(player, limits)
    for prefix in ("", "/v1"):
        ImageRoutes(images, own, sender, limits).add_to(app, prefix)
        ChainRoutes(images, own, sender, metrics).add_to(app, prefix)
    StatusRoutes(metrics).add_to(app)

    @app.handle_errors(Exception)
    def failed(request: IRequest, failure: Failure) -> bytes | None:
        return answer_failure(cast(Request, request), failure)

    return app.resource()
