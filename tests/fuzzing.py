# Copyright glancetx contributors. See LICENSE for details.

"""
Requests made up by schemathesis from an OpenAPI document, against a running server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import schemathesis
from attrs import frozen
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from glancetx.web.v2.patch import MEDIA_TYPES

__all__ = ["Found", "choose", "fuzz"]

SEED = 3
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
#: An unknown method is a 501 by RFC 9110 (9.1), so TRACE and QUERY are left out.
OTHER_METHODS = ["get", "put", "post", "delete", "options", "patch"]

for media_type in MEDIA_TYPES:
    schemathesis.serializer.alias(media_type, "application/json")


@frozen
class Found:
    """
    What came of it.

    :ivar codes: of the answers of each operation, as ``GET /v2/images``.
    :ivar failures: sentences, each with a request that shows it.
    """

    codes: Mapping[str, set[int]]
    failures: tuple[str, ...]


def fuzz(
    document: Mapping[str, Any],
    url: str,
    examples: int,
    token: str | None = None,
    systematic: bool = True,
) -> Found:
    """
    Ask every operation what its description allows, and what it does not. Blocks.

    :param examples: random requests for each operation.
    :param token: sent with every request.
    :param systematic: try every single value and fault of a parameter as well.
    """
    checks = {name: {"enabled": True} for name in CHECKS}
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": url,
            "headers": {"X-Auth-Token": token} if token else {},
            "continue-on-failure": True,
            "request-timeout": 30,
            "generation": {
                "deterministic": True,
                "max-examples": examples,
                "database": "none",
                "no-shrink": True,
                "with-security-parameters": False,
            },
            "phases": {
                "coverage": {
                    "enabled": systematic,
                    "unexpected-methods": OTHER_METHODS,
                },
                "stateful": {"enabled": False},
            },
            "checks": {"enabled": False, **checks},
        }
    )
    schema = schemathesis.openapi.from_dict(dict(document), config=config)
    codes: dict[str, set[int]] = defaultdict(set)
    failures: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            codes[str(event.label)] |= _codes(event.recorder)
            failures += _failures(event.recorder)
        elif isinstance(event, events.NonFatalError):
            failures.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return Found(codes, tuple(failures))


def choose(
    document: Mapping[str, Any], name: str, values: list[str], *operations: str
) -> None:
    """
    Let a parameter have only some values, by which something is met.

    :param operations: as ``PUT /images/{image_id}``; without one, all that have it.
    """
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters", "servers"}:
            operation = item[method]
            if operations and f"{method.upper()} {path}" not in operations:
                continue
            own = operation["parameters"]
            for one in (*own, *item.get("parameters", ())):
                if one["name"] == name:
                    operation["parameters"] = [
                        *(other for other in own if other["name"] != name),
                        {**one, "schema": {"enum": values}},
                    ]


def _codes(recorder: ScenarioRecorder) -> set[int]:
    return {
        one.response.status_code
        for one in recorder.interactions.values()
        if one.response is not None
    }


def _failures(recorder: ScenarioRecorder) -> list[str]:
    return [
        f"{recorder.label}: {check.name}: {check.failure_info.failure}\n"
        f"    {check.failure_info.code_sample}"
        for checks in recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
