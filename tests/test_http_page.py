# Copyright glancetx contributors. See LICENSE for details.

"""
That ``docs/http.md`` names everything that there is, and nothing else.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glancetx.errors import BadValue
from glancetx.identity.nobody import Nobody
from glancetx.image import Digest, Image, Status, Visibility
from glancetx.layouts import Manifest
from glancetx.limits import Limits
from glancetx.metrics import Metrics
from glancetx.uris import Names
from glancetx.web.app import make_routes
from glancetx.web.metadata import read_draft, to_brief, to_json
from glancetx.web.problems import STATUS
from glancetx.web.query import read_query
from glancetx.web.refusal import KEYS

from .pages import names_in, read_table

PAGE = Path(__file__).parent.parent / "docs" / "http.md"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
IMAGE = Image(
    id="6c5f3c1e-3c0e-4d2c-9d4c-1d6a1c1f0b0a",
    status=Status.ACTIVE,
    visibility=Visibility.PRIVATE,
    created_at=NOW,
    updated_at=NOW,
    size=1,
    digest=Digest("sha256", "0" * 64),
)
#: Paths that ``docs/image-api.md`` tells of.
IMAGE_API = re.compile("/$|/versions$|/openapi.json$|/v1$|/v2|/<other_version:version>")
#: What a client does not notice.
UNNOTICED = {
    "backlog",
    "catalogue_connections",
    "digest_threads",
    "drain_seconds",
    "file_threads",
}


class PageTests(SynchronousTestCase):
    """Tables of the page, against the code."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def named(self, path: str) -> str:
        """A path as the page has it."""
        return path.replace("<image_id>", "ID").replace("<holder>", "HOLDER")

    def column(self, header: str, number: int = 0) -> list[str]:
        """The names in one column of a table."""
        rows = read_table(PAGE, header)
        return [name for row in rows for name in names_in(row[number])]

    def known(self, problem: BadValue) -> set[str]:
        """The names that the refusal of an unknown one lists."""
        return set(problem.problem.partition("there are ")[2].split(", "))

    def test_addresses(self) -> None:
        """
        Every route but the Image API's is there, and all but those of the server itself
        below /v1 too.
        """
        nothing: Any = None
        names = Names("http://zone.example.com")
        resource, _ = make_routes(
            images=nothing,
            sharing=nothing,
            leases=nothing,
            own=names,
            player=nothing,
            identity=Nobody(),
            signatures=nothing,
            limits=Limits(),
            metrics=Metrics(),
            open_door=True,
        )
        routes = {
            (method, self.named(rule.rule))
            for rule in cast(Any, resource)._app.url_map.iter_rules()
            for method in rule.methods - {"HEAD"}
            if not IMAGE_API.match(rule.rule)
        }
        header = "| method | address | does | answers |"
        documented = set(
            zip(self.column(header, 0), self.column(header, 1), strict=True)
        )
        self.assertEqual(documented, routes)

    def test_metadata(self) -> None:
        """
        Every name of metadata that a request may have is there.
        """
        headers = Headers({b"x-image-meta-nonsense": [b""]})
        problem = self.assertRaises(BadValue, read_draft, headers)
        documented = self.column("| name | value | without it |")
        self.assertEqual(set(documented), self.known(problem))

    def test_facts(self) -> None:
        """
        Every key of an image's JSON is there, and those of the plain list.
        """
        documented = self.column("| key | |")
        self.assertEqual(documented, list(to_json(IMAGE, "uri", None)))
        text = PAGE.read_text(encoding="utf-8").replace("\n", " ")
        *some, last = (f"`{name}`" for name in to_brief(IMAGE))
        self.assertIn(f"shows {', '.join(some)} and {last}", text)

    def test_states(self) -> None:
        """
        Every status of an image is there.
        """
        self.assertEqual(self.column("| status | means |"), [str(s) for s in Status])

    def test_manifest(self) -> None:
        """
        Every key of the manifest is there.
        """
        document = Manifest(IMAGE, str).document
        documented = self.column("| key | of a piece |")
        self.assertEqual(documented, list(document.pop("chain")[0]))
        self.assertEqual(list(document), ["size", "tar_size"])

    def test_arguments(self) -> None:
        """
        Every argument of a list is there.
        """
        problem = self.assertRaises(BadValue, read_query, {b"x": [b""]}, Limits())
        documented = self.column("| argument | leaves images |")
        self.assertEqual(set(documented), self.known(problem))

    def test_errors(self) -> None:
        """
        Every status of an error is there, with its key.
        """
        rows = read_table(PAGE, "| status | key | when |")
        documented = {int(row[0]): names_in(row[1])[0] for row in rows}
        self.assertEqual(documented, {**KEYS, 500: "computeFault"})
        self.assertEqual(set(STATUS.values()) - set(documented), set())

    def test_limits(self) -> None:
        """
        Every limit that a client may notice is there, and every limit named exists.
        """
        documented = set(self.column("| limit | beyond it |"))
        self.assertEqual(documented, set(Limits.names()) - UNNOTICED)
        text = PAGE.read_text(encoding="utf-8")
        named = set(re.findall(r"`limits\.([a-z_]+)`", text))
        self.assertEqual(named - set(Limits.names()), set())
