# Copyright glancetx contributors. See LICENSE for details.

"""
Answers that are given before a request has a route: to what is not lawful HTTP, or
more of it than this server takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from twisted.web.http import datetimeToString

__all__ = ["Refusal", "error_body", "reason_phrase"]

KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    408: "requestTimeout",
    409: "conflictingRequest",
    412: "preconditionFailed",
    413: "overLimit",
    414: "uriTooLong",
    415: "badMediaType",
    416: "rangeNotSatisfiable",
    417: "expectationFailed",
    431: "headersTooLarge",
    501: "notImplemented",
    503: "serviceUnavailable",
    507: "insufficientStorage",
}


@dataclass(eq=False)
class Refusal(Exception):
    """
    A request is refused from what was read of it.

    :ivar code: the status.
    :ivar message: one sentence for the person who made the client.
    """

    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def render(self, request_id: bytes, with_body: bool = True) -> bytes:
        """
        The whole answer, ready to be written.

        :param with_body: ``False`` after a HEAD: headers only, with the same length.
        """
        body = error_body(self.code, self.message)
        lines = [
            b"HTTP/1.1 %d %s" % (self.code, reason_phrase(self.code)),
            b"Server: glancetx",
            b"Date: " + datetimeToString(),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
            b"Cache-Control: no-store",
            b"Connection: close",
            b"X-Openstack-Request-Id: " + request_id,
            b"",
            body if with_body else b"",
        ]
        return b"\r\n".join(lines)


def error_body(code: int, message: str) -> bytes:
    """An error as nested JSON, as Glance's clients read it."""
    problem = {KEYS.get(code, "computeFault"): {"message": message, "code": code}}
    return json.dumps(problem, ensure_ascii=False).encode("utf-8") + b"\n"


def reason_phrase(code: int) -> bytes:
    """The phrase of a status line: fixed by the status, never made of other text."""
    try:
        return HTTPStatus(code).phrase.encode("ascii")
    except ValueError:
        return b"Unknown"
