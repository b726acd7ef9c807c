# Copyright glancetx contributors. See LICENSE for details.

"""
The peer of small requests: a bare Klein route that returns a file's bytes from memory.

Run it as ``python -m bench.bare PORT FILE``. It logs no requests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet import reactor as _reactor
from twisted.web.iweb import IRequest
from twisted.web.server import Site

__all__ = ["main"]

reactor: Any = _reactor


class _SilentSite(Site):
    noisy = False

    def log(self, request: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve until killed."""
    port, name = sys.argv[1:]
    body = Path(name).read_bytes()
    app = Klein()

    @app.route("/v2/images")
    @app.route("/v2/images/<image_id>")
    def answer(request: IRequest, image_id: str = "") -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    reactor.listenTCP(int(port), _SilentSite(app.resource()), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
