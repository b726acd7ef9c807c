# Copyright glancetx contributors. See LICENSE for details.

"""
What a request must say of the bytes that it brings, whichever door it comes by.
"""

from __future__ import annotations

from glancetx.errors import BadValue

from .request import Request

__all__ = ["require_body", "require_whole"]


def require_body(request: Request) -> None:
    """
    Make no empty image for ever of a body that was left out, or of one of HTTP/1.0
    that would have ended with the connection.

    :raises BadValue: if none was announced.
    """
    said = request.requestHeaders.hasHeader(b"Content-Length")
    if not (request.body.expected or said):
        raise BadValue(
            "Content-Length",
            "must be given unless the body is chunked; 0 makes an image without bytes",
        )


def require_whole(request: Request) -> None:
    """
    Take no part of a body, nor a coded one, for the image (RFC 9110, 9.3.4 and 8.4).

    :raises BadValue: if the client says that its body is one.
    """
    headers = request.requestHeaders
    if headers.hasHeader(b"Content-Range"):
        raise BadValue("Content-Range", "uploads cannot be resumed; send all bytes")
    codings = b",".join(headers.getRawHeaders(b"Content-Encoding", []))
    if codings.strip().lower() not in (b"", b"identity"):
        raise BadValue("Content-Encoding", "send the bytes as they are, not encoded")
