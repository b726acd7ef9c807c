# Copyright glancetx contributors. See LICENSE for details.

"""
Answers whose true status is in their body: what came of a manifest, or of its removal.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from glancetx.errors import StoreUnavailable

from .calls import Response

__all__ = ["LARGEST_REPORT", "Report", "read_report"]

LARGEST_REPORT = 8 * 1024 * 1024
"""Bytes of a report: one that names each of a thousand segments has far less."""


@frozen
class Report:
    """
    What Swift did.

    :ivar status: in words.
    :ivar errors: the objects that it could not work on, and why.
    """

    status: str
    errors: list[Any]

    @property
    def code(self) -> int:
        """The status as a number, 0 if there is none."""
        number = self.status.split(" ")[0]
        return int(number) if number.isdecimal() else 0


def read_report(answer: Response, store: str) -> Report:
    """
    What an answer says in its body, if it has one; else what its status says.

    :raises StoreUnavailable: if the body is no report, so that nothing is known.
    """
    if not answer.body:
        return Report(f"{answer.code}", [])
    try:
        body = answer.json()
        status, errors = body["Response Status"], body.get("Errors", [])
        return Report(str(status), list(errors))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"its report cannot be read ({type(error).__name__})"
        raise StoreUnavailable(store, reason) from error
