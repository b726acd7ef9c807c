# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx download``
"""

from __future__ import annotations

from functools import partial

import click
from twisted.internet.interfaces import IConsumer

from glancetx.errors import WrongState
from glancetx.image import Status

from .files import PieceFile
from .running import Session
from .saving import save, to_stdout
from .settings import IMAGE, Settings, common, examples
from .words import plain, size_text, suffix

__all__ = ["check_output", "download"]

OUTPUT = click.Path(dir_okay=False, allow_dash=True)


def check_output(settings: Settings, output: str | None, resume: bool) -> None:
    """:raises UsageError: if what is wanted cannot go to the standard output."""
    if output == "-" and settings.as_json:
        raise click.UsageError("--json and the bytes cannot both go to -o -")
    if output == "-" and resume:
        raise click.UsageError("--resume needs a file, not -o -")


@click.command(
    epilog=examples(
        "glancetx download ID",
        "glancetx download ID -o disk.qcow2 --force",
        "glancetx download ID -o disk.qcow2 --resume --force",
        "glancetx download ID -o - | sha256sum",
    )
)
@click.argument("image", type=IMAGE)
@click.option("-o", "--output", type=OUTPUT, help="[default: ID.FORMAT here]")
@click.option("--resume", is_flag=True, help="Go on with an earlier attempt.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common
def download(
    settings: Settings, image: str, output: str | None, resume: bool, force: bool
) -> None:
    """
    Get an IMAGE's own piece, and nothing of its parents; "-" is the pipe.

    The file gets its name when it is whole and its digest was found right.
    """
    check_output(settings, output, resume)
    settings.run(
        partial(_download, image=image, output=output, resume=resume, force=force)
    )


async def _download(
    session: Session, image: str, output: str | None, resume: bool, force: bool
) -> None:
    record = await session.client.head_image(image)
    if record.size is None or record.digest is None:
        raise WrongState(record.id, record.status, Status.ACTIVE)

    async def play(consumer: IConsumer, start: int) -> None:
        await session.client.get_piece(image, consumer, start)

    what = f"getting {plain(record.name)}"
    if output == "-":
        await to_stdout(session, what, record.size, play)
    else:
        path = output or f"{record.id}.{suffix(record.disk_format)}"
        file = PieceFile(path, record.size, record.digest)
        await save(session, what, [file], play, resume, force)
        text = f"{path}: {size_text(record.size)}"
        session.console.result({**record.as_json(), "file": path}, text)
    if record.parent is not None:
        session.console.say(
            "it is only what differs from its parent; "
            f"`glancetx restore {record.id} FOLDER` gets all of it"
        )
