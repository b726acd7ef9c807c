# Copyright glancetx contributors. See LICENSE for details.

"""
Errors as answers: the one table of statuses, and their JSON.
"""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from glancetx import errors

from .refusal import error_body
from .request import Request

__all__ = ["answer_failure", "answer_problem"]

log = Logger()

STATUS: dict[type[Exception], int] = {
    errors.BadValue: 400,
    errors.BodyLost: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NoSuchImage: 404,
    errors.NoSuchLease: 404,
    errors.NoSuchMember: 404,
    errors.NoSuchTag: 404,
    errors.ConditionFailed: 412,
    errors.Conflict: 409,
    errors.ImageExists: 409,
    errors.ImageInUse: 409,
    errors.MemberExists: 409,
    errors.WrongState: 409,
    errors.TooMany: 413,
    errors.WrongFormat: 415,
    errors.NoSuchPiece: 500,
    errors.PieceCorrupt: 500,
    errors.PieceTruncated: 500,
    errors.CatalogueUnavailable: 503,
    errors.IdentityUnavailable: 503,
    errors.OriginUnavailable: 503,
    errors.StoreUnavailable: 503,
    errors.UnknownOrigin: 503,
    errors.StoreFull: 507,
}

RETRY_SECONDS = 5
"""When a client may ask again that was told 503."""


def answer_failure(request: Request, failure: Failure) -> bytes | None:
    """Turn what a route raised into an answer, or cut the one that has begun."""
    error = failure.value
    if request.startedWriting:
        request.cut(failure)
        return None
    if isinstance(error, HTTPException):
        return _routing_problem(request, error)
    status = next((STATUS[one] for one in type(error).mro() if one in STATUS), None)
    if status in (None, 500) and not failure.check(errors.ReaderGone):
        request_id = request.request_id.decode("ascii")
        log.failure("request {request_id} failed", failure, request_id=request_id)
    message = "the server made a mistake; its log says more"
    if status is not None:
        message = "; ".join([str(error), *getattr(error, "__notes__", [])])
    return answer_problem(request, status or 500, message)


def answer_problem(request: Request, status: int, message: str) -> bytes:
    """
    Set an error's own headers, and no others.

    :returns: the body, nested JSON as Glance's clients read it.
    """
    request.clear_headers()
    body = error_body(status, message)
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    if status == 401 and request.challenge:
        request.setHeader(b"WWW-Authenticate", request.challenge)
    if status == 503:
        request.setHeader(b"Retry-After", b"%d" % RETRY_SECONDS)
    return body


def _routing_problem(request: Request, error: HTTPException) -> bytes:
    if isinstance(error, MethodNotAllowed):
        methods = ", ".join(sorted(error.valid_methods or ()))
        body = answer_problem(request, 405, f"this address takes {methods}")
        request.setHeader(b"Allow", methods.encode("ascii"))
        return body
    if isinstance(error, NotFound):
        return answer_problem(request, 404, "there is nothing at this address")
    return answer_problem(request, error.code or 500, error.description or "")
