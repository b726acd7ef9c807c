# Copyright glancetx contributors. See LICENSE for details.

"""
That ``docs/image-api.md`` says what there is, and that what it types works.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from glancetx.limits import Limits
from glancetx.web.v2.discovery import VERSIONS
from glancetx.web.v2.operations import FILTERS, OPERATIONS
from glancetx.web.v2.schemas import CUSTOM, PUBLISHED

from .pages import matches, names_in, read_examples, read_table, run_examples
from .servers import ServerCase

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "image-api.md"
ADDRESSES = "| method | address | does | answers |"
URL = "http://127.0.0.1:9292"


def addresses(page: Path) -> set[tuple[str, str]]:
    """What the table of a page has."""
    rows = read_table(page, ADDRESSES)
    return {(names_in(row[0])[0], names_in(row[1])[0]) for row in rows}


def named(path: str) -> str:
    """A route's path as the page has it."""
    for variable, name in [
        ("<other_version:version>", "v9"),
        ("<path:rest>", "REST"),
        ("<image_id>", "ID"),
        ("<task_id>", "TASK"),
    ]:
        path = path.replace(variable, name)
    return re.sub("<([a-z_]+)>", lambda match: match[1].upper(), path)


class PageTests(SynchronousTestCase):
    """Tables of the page, against the code."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def column(self, header: str, number: int = 0) -> list[str]:
        """The names in one column of a table."""
        rows = read_table(PAGE, header)
        return [name for row in rows for name in names_in(row[number])]

    def test_addresses(self) -> None:
        """
        Every address of a server is on this page, or on that of the one-call door.
        """
        here, there = addresses(PAGE), addresses(DOCS / "http.md")
        self.assertEqual(here & there, set())
        described = {(method, named(path)) for method, path in OPERATIONS}
        self.assertEqual(here | there, described)

    def test_versions(self) -> None:
        """
        Every version that is offered is there.
        """
        (offered, *_) = read_table(PAGE, "| offered | why |")
        self.assertEqual(tuple(names_in(offered[0])), VERSIONS)

    def test_fields(self) -> None:
        """
        Every field is there, with who says it, and every format.
        """
        header = "| field | who says it | |"
        fields: dict[str, Any] = PUBLISHED["image"]["properties"]
        hidden = {"direct_url", "locations", "stores"}
        known = fields.keys() - hidden - CUSTOM.keys() - {"os_glance_parent_id"}
        self.assertEqual(set(self.column(header)), known)
        for name, who, what in read_table(PAGE, header):
            field = fields[names_in(name)[0]]
            self.assertEqual(who == "the server", field.get("readOnly", False), name)
            if names_in(name)[0].endswith("_format"):
                self.assertEqual([None, *names_in(what)], field["enum"])

    def test_arguments(self) -> None:
        """
        Every argument of a list is there.
        """
        documented = self.column("| argument | leaves images |")
        self.assertEqual(sorted(documented), sorted(FILTERS))

    def test_limits(self) -> None:
        """
        Every limit that is named exists.
        """
        text = PAGE.read_text(encoding="utf-8")
        named = set(re.findall(r"`limits\.([a-z_]+)`", text))
        self.assertEqual(named - set(Limits.names()), set())


class ExampleTests(ServerCase):
    """What the page types."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"
    elif shutil.which("curl") is None or shutil.which("bash") is None:
        skip = "curl or bash is not installed"

    async def test_examples(self) -> None:
        """
        What ``docs/image-api.md`` types gives what it shows.
        """
        server = await self.serve()
        folder = Path(self.mktemp())
        folder.mkdir()
        examples = list(read_examples(PAGE))
        self.assertGreater(len(examples), 8)
        names = {URL: server.url}
        for one, output in await deferToThread(
            run_examples, examples, str(folder), names
        ):
            message = f"{one.command}gave\n{output}instead of\n{one.shown}"
            self.assertTrue(matches(one.shown, output), message)
