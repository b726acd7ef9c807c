# Copyright glancetx contributors. See LICENSE for details.

"""
How the server is: for load balancers and for Prometheus.
"""

from __future__ import annotations

from glancetx.metrics import Metrics

from .request import Request
from .routes import Route

__all__ = ["StatusRoutes"]


class StatusRoutes:
    """``/healthcheck`` and ``/metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """What is served here: nothing of any image, to anyone."""
        return [
            Route("GET", "/healthcheck", self.healthcheck, None, anonymous=True),
            Route("GET", "/metrics", self.metrics, None, anonymous=True),
        ]

    async def healthcheck(self, request: Request) -> bytes:
        """``GET /healthcheck``: 200 while the server takes requests."""
        return _answer(request, b"text/plain; charset=utf-8", b"OK\n")

    async def metrics(self, request: Request) -> bytes:
        """``GET /metrics``: counters in Prometheus' text format."""
        return _answer(request, self._metrics.content_type, self._metrics.text())


def _answer(request: Request, media_type: bytes, body: bytes) -> bytes:
    request.setHeader(b"Content-Type", media_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    return body
