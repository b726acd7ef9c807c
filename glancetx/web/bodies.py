# Copyright glancetx contributors. See LICENSE for details.

"""
Small JSON bodies, both ways.
"""

from __future__ import annotations

import json
from typing import Any

from glancetx import strict_json
from glancetx.errors import BadValue, TooMany

from .request import Request

__all__ = ["answer_json", "answer_nothing", "cache_rule", "read_json"]


def cache_rule(request: Request) -> bytes:
    """
    What caches are told of what is not for everyone: to ask each time, and where
    callers are asked who they are, that no cache of several people may keep it.
    """
    return b"private, no-cache" if request.challenge else b"no-cache"


def answer_json(request: Request, document: Any) -> bytes:
    """A document as a body that no cache keeps without asking."""
    body = json.dumps(document, ensure_ascii=False).encode("utf-8") + b"\n"
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", cache_rule(request))
    return body


def answer_nothing(request: Request) -> bytes:
    """204: it is done, and there is nothing to say."""
    request.setResponseCode(204)
    request.setHeader(b"Cache-Control", b"no-store")
    return b""


async def read_json(request: Request, most: int) -> Any:
    """
    The JSON that the body of a request is. Each key may stand once in an object.

    :param most: how many bytes it may have.
    :raises BadValue: if it is no JSON.
    :raises TooMany: if it is larger.
    :raises BodyLost: if the client leaves before its end.
    """
    if request.body.length is not None and request.body.length > most:
        raise TooMany("bytes of the body", most)
    body = b""
    while data := await request.body.read():
        body += data
        if len(body) > most:
            raise TooMany("bytes of the body", most)
    try:
        document = strict_json.loads(body.decode("utf-8"))
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise BadValue("body", "is nested too deeply") from None
    except UnicodeEncodeError:
        raise BadValue("body", "has half of a surrogate pair") from None
    except UnicodeDecodeError:
        raise BadValue("body", "must be UTF-8") from None
    except ValueError as problem:
        raise BadValue("body", f"must be JSON: {problem}") from None
    return document
