# Copyright glancetx contributors. See LICENSE for details.

"""
Restored pieces become one disk again: each is told which file is below it.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence

from attrs import frozen
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from glancetx.client import ManifestPiece

from .failures import Failed
from .files import PieceFile
from .qcow2 import read_header
from .running import Session
from .words import plain

__all__ = ["Link", "link", "make_links"]

BELOW = ("qcow2", "raw")


@frozen
class Link:
    """A file and the one below it, in the same folder."""

    path: str
    below: str
    below_format: str

    @property
    def command(self) -> list[str]:
        """What links them: only the header of the upper one changes."""
        options = ["-u", "-f", "qcow2", "-F", self.below_format]
        below = os.path.basename(self.below)
        return ["qemu-img", "rebase", *options, "-b", below, self.path]


def make_links(
    pieces: Sequence[ManifestPiece], files: Sequence[PieceFile]
) -> list[Link] | None:
    """What is to be linked; ``None`` if these formats cannot be."""
    links = []
    for number in range(len(pieces) - 1):
        child, parent = pieces[number], pieces[number + 1]
        if child.disk_format != "qcow2" or parent.disk_format not in BELOW:
            return None
        links.append(
            Link(files[number].path, files[number + 1].path, parent.disk_format)
        )
    return links


async def link(session: Session, links: Sequence[Link]) -> bool:
    """
    Link them, or say how.

    :returns: whether they are linked now.
    :raises Failed: if a file must not be, or cannot be linked.
    """
    qemu = shutil.which("qemu-img")
    if qemu is None:
        session.console.say("there is no qemu-img here; where there is, link them by")
        for one in links:
            session.console.say("  " + shlex.join(one.command))
        return False
    for one in links:
        await _link(session, qemu, one)
    return True


async def _link(session: Session, qemu: str, one: Link) -> None:
    header = await deferToThread(read_header, one.path)
    if header is None:
        raise Failed(f"{one.path} was stored as qcow2, but is none")
    if header.external:
        raise Failed(f"{one.path} keeps its data in another file; it was not linked")
    _, *options, path = one.command
    out, err, code = await getProcessOutputAndValue(
        qemu, [*options, os.path.abspath(path)], os.environ, None, session.reactor
    )
    if code != 0:
        text = plain((err or out).decode("utf-8", "replace").strip())
        raise Failed(f"{shlex.join(one.command)} failed: {text}")
    session.console.say(f"linked: {shlex.join(one.command)}")
