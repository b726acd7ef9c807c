# Copyright glancetx contributors. See LICENSE for details.

"""
Small answers that say yes, and what is said by those that say no.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IResponse

from glancetx.answers import read_body, read_json
from glancetx.errors import OriginUnavailable

from .problems import ServerRefused

__all__ = ["accepted", "accepted_json"]

ANSWER_BYTES = 16 * 1024 * 1024
"""Bytes of a small answer; a page of 1000 images with their properties fits."""

REFUSAL_BYTES = 64 * 1024
SENTENCE = 1000
"""Letters of a refusal that are shown."""


async def accepted(response: IResponse, url: str) -> IResponse:
    """
    Read an answer that says yes, and drop its body.

    :param url: the server's, for errors.
    :raises ServerRefused: if it says anything else.
    :raises OriginUnavailable: if it breaks off, or is too large.
    """
    await _check(response, url)
    await read_body(response, ANSWER_BYTES, url)
    return response


async def accepted_json(response: IResponse, url: str) -> dict[str, Any]:
    """
    What an answer that says yes says in JSON; raises as :func:`accepted` does.
    """
    await _check(response, url)
    return await read_json(response, ANSWER_BYTES, url)


async def _check(response: IResponse, url: str) -> None:
    if response.code // 100 != HTTPStatus.OK // 100:
        try:
            body = await read_body(response, REFUSAL_BYTES, url)
        except OriginUnavailable:  # its status says the most important
            body = b""
        raise ServerRefused(response.code, _sentence(response.code, body))


def _sentence(code: int, body: bytes) -> str:
    """What a server says of its refusal."""
    try:
        (problem,) = json.loads(body).values()
        return str(problem["message"])[:SENTENCE]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # of a HEAD, or not one of ours; its status must do
    if code == HTTPStatus.UNAUTHORIZED:
        return "the server does not know who asks"
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = "an unknown status"
    return f"the server answered {phrase!r} and gave no reason"
