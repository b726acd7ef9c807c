# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx restore``
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import click
from twisted.internet.interfaces import IConsumer

from glancetx.client import Manifest

from .download import OUTPUT, check_output
from .files import PieceFile
from .linking import link, make_links
from .running import Session
from .saving import save, to_stdout
from .settings import IMAGE, Settings, common, examples
from .words import plain, size_text, suffix

__all__ = ["restore"]


@click.command(
    epilog=examples(
        "glancetx restore ID FOLDER",
        "glancetx restore ID FOLDER --resume --force",
        "glancetx restore ID --stream -o chain.bin",
        "glancetx restore ID --stream -o - | sha256sum",
        "glancetx restore ID FOLDER --direct --trust http://global.example.com",
    )
)
@click.argument("image", type=IMAGE)
@click.argument("folder", type=click.Path(file_okay=False), required=False)
@click.option("--stream", is_flag=True, help="Leave the pieces in one, end to end.")
@click.option("-o", "--output", type=OUTPUT, help="Of --stream.  [default: ID.stream]")
@click.option(
    "--direct",
    is_flag=True,
    help="Get each piece from the server that its child names, not from the one.",
)
@click.option("--resume", is_flag=True, help="Go on with an earlier attempt.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@common
def restore(settings: Settings, image: str, **wanted: Any) -> None:
    """
    Get an IMAGE with all that it rests on, in one stream, ready to be used.

    The pieces become 0.qcow2, 1.qcow2 ... in FOLDER, the image's own first. Each gets
    its name when it is whole and its digest was found right; then each is linked
    to the next by qemu-img, if they are qcow2 upon qcow2 or raw.
    """
    if bool(wanted["folder"]) == wanted["stream"]:
        raise click.UsageError("give a FOLDER, or --stream; one of them")
    if wanted["output"] and not wanted["stream"]:
        raise click.UsageError("-o is where --stream goes; FOLDER is enough without")
    if wanted["stream"] and wanted["resume"]:
        raise click.UsageError("--resume needs a FOLDER")
    check_output(settings, wanted["output"], wanted["resume"])
    settings.run(partial(_restore, image=image, **wanted))


async def _restore(  # noqa: PLR0913
    session: Session,
    image: str,
    folder: str | None,
    stream: bool,
    output: str | None,
    direct: bool,
    resume: bool,
    force: bool,
) -> None:
    manifest = await session.client.chain(image)

    async def play(consumer: IConsumer, start: int) -> None:
        await session.client.get_image(image, consumer, not direct, start)

    if output == "-":
        await to_stdout(session, _what(manifest), manifest.size, play)
        return
    if folder is None:
        path = output or f"{manifest.pieces[0].id}.stream"
        files = [PieceFile(path, manifest.size)]
    else:
        os.makedirs(folder, exist_ok=True)
        files = _name_files(manifest, folder)
    await save(session, _what(manifest), files, play, resume, force)
    linked = folder is not None and await _link(session, manifest, files)
    _report(session, manifest, files, linked)


def _what(manifest: Manifest) -> str:
    first = manifest.pieces[0]
    return f"restoring {plain(first.name or first.id)}"


def _name_files(manifest: Manifest, folder: str) -> list[PieceFile]:
    return [
        PieceFile(
            os.path.join(folder, f"{number}.{suffix(piece.disk_format)}"),
            piece.size,
            piece.digest,
        )
        for number, piece in enumerate(manifest.pieces)
    ]


async def _link(session: Session, manifest: Manifest, files: list[PieceFile]) -> bool:
    """Make one disk of the pieces, if that can be done; say if it cannot."""
    links = make_links(manifest.pieces, files)
    if links is None:
        session.console.say(
            "their formats cannot be linked by qemu-img: 0 is what differs from 1, and "
            "so on; put them together with the program that made the difference"
        )
        return False
    return await link(session, links)


def _report(
    session: Session, manifest: Manifest, files: list[PieceFile], linked: bool
) -> None:
    pieces = [piece.id for piece in manifest.pieces]
    found = {
        "size": manifest.size,
        "pieces": pieces,
        "files": [file.path for file in files],
        "linked": linked,
    }
    lines = [f"{file.path}  {size_text(file.size)}" for file in files]
    if linked:
        session.console.say(f"{files[0].path} is the whole disk now")
    session.console.result(found, "\n".join(lines))
