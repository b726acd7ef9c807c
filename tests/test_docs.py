# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for what the documentation says of keys, limits, metrics and samples.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.filesystem import filesystem
from glancetx.config import TABLES, load
from glancetx.limits import Limits
from glancetx.metrics import Metrics
from glancetx.service import SPARE_FILES, Options

DOCS = Path(__file__).parent.parent / "docs"
HEADINGS = {
    "server": "## `[server]`",
    "catalogue": "## `[catalogue]`",
    "stores": "## `[stores.NAME]`",
    "identity": "## `[identity]`",
    "origins": "## `[[origins]]`",
    "limits": "## `[limits]`",
}


class DocsCase(SynchronousTestCase):
    """Reads the documentation, which is not a part of an installed glancetx."""

    if not DOCS.is_dir():
        skip = f"the documentation is not at {DOCS}"

    def rows(self, page: str, heading: str = "") -> list[tuple[str, ...]]:
        """The rows of the tables below a heading, cells without their backticks."""
        text = (DOCS / page).read_text(encoding="utf-8")
        section = text.partition(f"\n{heading}\n")[2] if heading else text
        section = re.split("^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
        lines = [line for line in section.splitlines() if line.startswith("| `")]
        return [
            tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines
        ]


class ConfigurationTests(DocsCase):
    """``docs/configuration.md``"""

    def documented(self, table: str) -> list[tuple[str, str]]:
        rows = self.rows("configuration.md", HEADINGS[table])
        keys = [row for row in rows if re.fullmatch("`[a-z0-9_]+`", row[0])]
        return [(row[0].strip("`"), row[1].strip("`")) for row in keys]

    def test_keys(self) -> None:
        """
        Every key of every table is there with its default, and no other.
        """
        own = [(option.name, "required") for option in filesystem.options]
        for table, keys in TABLES.items():
            expected = [(key.name, _default(key)) for key in keys]
            if table == "stores":
                expected += own
            self.assertEqual(self.documented(table), expected, table)

    def test_limits(self) -> None:
        """
        Every limit is there with its default, its unit and what it bounds.
        """
        expected = [
            (
                f"`{limit.name}`",
                str(limit.default),
                limit.metadata["unit"],
                limit.metadata["help"],
            )
            for limit in fields(Limits)
        ]
        self.assertEqual(self.rows("configuration.md", HEADINGS["limits"]), expected)

    def test_choices(self) -> None:
        """
        Every value that a key may have is named.
        """
        text = (DOCS / "configuration.md").read_text(encoding="utf-8")
        for keys in TABLES.values():
            for choice in [choice for key in keys for choice in key.choices]:
                self.assertIn(f"`{choice}`", text)


class MetricsTests(DocsCase):
    """``docs/operations.md``: metrics"""

    def test_names(self) -> None:
        """
        Every number that glancetx counts is there, and no other.
        """
        rows = self.rows("operations.md", "## Metrics and health")
        documented = [row[0].strip("`") for row in rows]
        kinds = re.findall("# TYPE (glancetx_[a-z_]+)", Metrics().text().decode())
        counted = [name for name in kinds if not name.endswith("_created")]
        self.assertEqual(documented, counted)


class SampleTests(DocsCase):
    """``docs/samples``"""

    def sample(self, name: str) -> str:
        return str(DOCS / "samples" / name)

    def test_global(self) -> None:
        """
        The global server's sample is a configuration that asks no other server.
        """
        config = load(self.sample("global.toml"))
        self.assertEqual(config.origins, ())
        self.assertFalse(config.server.insecure)

    def test_zone(self) -> None:
        """
        The zone's sample asks the global server's, by every name that it has.
        """
        config = load(self.sample("zone.toml"))
        server = load(self.sample("global.toml")).server
        origin = config.origins[0]
        self.assertEqual(origin.url, server.public_url)
        self.assertEqual(origin.aliases, server.aliases)
        self.assertEqual([s.name for s in config.stores if s.default], ["main"])

    def test_paths(self) -> None:
        """
        The samples keep what they keep where the unit lets them write.
        """
        unit = self.unit()
        allowed = (
            f"/var/lib/{unit['StateDirectory']}/",
            f"/var/log/{unit['LogsDirectory']}/",
        )
        config = load(self.sample("global.toml"))
        paths = [config.catalogue_url.removeprefix("sqlite:///")]
        paths += [config.server.access_log or ""]
        paths += [store.options["path"] for store in config.stores]
        for path in paths:
            self.assertTrue(path.startswith(allowed), path)

    def unit(self) -> dict[str, str]:
        parser = ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(self.sample("glancetx.service"))
        return dict(parser["Service"])

    def test_unit_command(self) -> None:
        """
        The unit runs in the foreground, with options that exist.
        """
        program, *arguments = shlex.split(self.unit()["ExecStart"])
        self.assertEqual(os.path.basename(program), "twistd")
        split = arguments.index("glancetx")
        self.assertIn("--nodaemon", arguments[:split])
        options: Any = Options()
        options.parseOptions(arguments[split + 1 :])
        self.assertEqual(options["config"], "/etc/glancetx/glancetx.toml")

    def test_unit_limits(self) -> None:
        """
        The unit leaves room for a drain and for all connections.
        """
        unit = self.unit()
        limits = Limits()
        self.assertGreater(int(unit["TimeoutStopSec"]), limits.drain_seconds)
        needed = limits.connections + SPARE_FILES
        self.assertGreaterEqual(int(unit["LimitNOFILE"]), needed)


def _default(key: Any) -> str:
    if key.required:
        return "required"
    if key.default is None:
        return "none"
    return json.dumps(key.default)
