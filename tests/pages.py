# Copyright glancetx contributors. See LICENSE for details.

"""
Pages of the documentation: their tables, and the examples that they type at a prompt.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path

from attrs import frozen

__all__ = [
    "Example",
    "matches",
    "names_in",
    "read_blocks",
    "read_examples",
    "read_table",
    "run_examples",
]

SECONDS = 120
MARK = "@@ example"


@frozen
class Example:
    """
    One command of a page.

    :ivar command: of one line or more.
    :ivar shown: its output, where ``...`` in a line stands for any text, and a line
        ``...`` for any lines.
    """

    command: str
    shown: str


def read_blocks(page: Path, language: str) -> list[str]:
    """The blocks of one language in a page of Markdown."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def read_table(page: Path, header: str) -> list[list[str]]:
    """
    The rows of a table, as their cells.

    :param header: its first line.
    """
    text = page.read_text(encoding="utf-8")
    lines = text.partition(f"\n{header}\n")[2].splitlines()[1:]
    rows = list(takewhile(lambda line: line.startswith("|"), lines))
    assert rows, f"{page} has no table {header}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def names_in(cell: str) -> list[str]:
    """The names in a cell, which are between backticks."""
    return re.findall("`([^`]+)`", cell)


def read_examples(page: Path) -> Iterator[Example]:
    """The commands in a page's ``console`` blocks, behind their prompts."""
    for block in read_blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)
            assert command is not None
            yield Example(command[0], part[command.end() :])


def run_examples(
    examples: list[Example], folder: str, names: Mapping[str, str]
) -> list[tuple[Example, str]]:
    """
    Type commands into one shell, and wait until the last is done. Blocks.

    :param names: texts that are replaced in commands and in what is shown.
    :returns: each with its output, errors included.
    """
    examples = [
        Example(_replaced(one.command, names), _replaced(one.shown, names))
        for one in examples
    ]
    script = "".join(f"{one.command}echo '{MARK}'\n" for one in examples)
    done = subprocess.run(
        ["bash", "-s"],
        input=f"exec 2>&1\n{script}",
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8", "no_proxy": "*"},
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    outputs = done.stdout.replace("\r", "").split(f"{MARK}\n")
    return list(zip(examples, outputs[:-1], strict=True))


def matches(shown: str, output: str) -> bool:
    """Whether an output is what a page shows of it, empty lines at its end aside."""
    pattern = "".join(
        r"(?:.*\n)*?"
        if line == "...\n"
        else ".*".join(map(re.escape, line.split("...")))
        for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, re.sub(r"\n+\Z", "\n", output)) is not None


def _replaced(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text
