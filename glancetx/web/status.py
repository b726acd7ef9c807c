# Copyright glancetx contributors. See LICENSE for details.

"""
How the server is: for load balancers and for Prometheus.
"""

from __future__ import annotations

from klein import Klein

from glancetx.metrics import Metrics

from .request import Request

__all__ = ["StatusRoutes"]


class StatusRoutes:
    """``/healthcheck`` and ``/metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def add_to(self, app: Klein) -> None:
        """Add the routes."""
        app.route("/healthcheck", methods=["GET"])(self.healthcheck)
        app.route("/metrics", methods=["GET"])(self.metrics)

    def healthcheck(self, request: Request) -> bytes:
        """``GET /healthcheck``: 200 while the server takes requests."""
        return _answer(request, b"text/plain; charset=utf-8", b"OK\n")

    def metrics(self, request: Request) -> bytes:
        """``GET /metrics``: counters in Prometheus' text format."""
        return _answer(request, self._metrics.content_type, self._metrics.text())


def _answer(request: Request, media_type: bytes, body: bytes) -> bytes:
    request.setHeader(b"Content-Type", media_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    return body
