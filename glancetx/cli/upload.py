# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx upload``
"""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import click
from twisted.internet.threads import deferToThreadPool

from glancetx.client.sources import Source
from glancetx.uris import is_image_id

from .qcow2 import read_header
from .running import Session
from .settings import Settings, common, examples, pairs
from .sinks import pipe_thread
from .words import plain, size_text

__all__ = ["upload"]

STDIN = 0
CHUNK = 256 * 1024

FORMATS = {
    ".qcow2": "qcow2",
    ".raw": "raw",
    ".img": "raw",
    ".iso": "iso",
    ".vdi": "vdi",
    ".vhd": "vhd",
    ".vhdx": "vhdx",
    ".vmdk": "vmdk",
}


def _id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_image_id(value):
        raise click.BadParameter("write it like 3f2b8c1e-0d4a-4b6e-9c7f-5a1d2e3f4b5c")
    return value


@click.command(
    epilog=examples(
        "glancetx upload golden.qcow2 --public",
        "glancetx upload snap.qcow2 --name monday --parent ID",
        "glancetx upload snap.qcow2 --parent http://global.example.com/images/ID",
        "cat disk.raw | glancetx upload - --name disk --disk-format raw",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--name", help="[default: the file's name]")
@click.option("--disk-format", help="[default: by FILE and its name]")
@click.option("--container-format", default="bare", show_default=True)
@click.option(
    "--parent",
    metavar="URI|ID",
    help="The image that FILE is a difference to, here or on a server known to it.",
)
@click.option("--id", "image_id", metavar="UUID", callback=_id, help="The image's id.")
@click.option("--public", is_flag=True, help="Anyone may read it.")
@click.option(
    "--property",
    "properties",
    metavar="KEY=VALUE",
    multiple=True,
    callback=pairs,
    help="Something more to note; give it again for more.",
)
@common
def upload(
    settings: Settings, file: str, parent: str | None, image_id: str | None, **more: Any
) -> None:
    """
    Make an image of FILE, or of what comes by the pipe if it is "-".

    With --parent, FILE is only what differs from that image. A qcow2 overlay must
    not name its backing file then; the server knows its parent.

    Writes the image's URI.
    """
    base, end = os.path.splitext(os.path.basename(file))
    header = None if file == "-" else read_header(file)
    found = FORMATS.get(end.lower()) if header is None else "qcow2"
    if not (more["disk_format"] or found):
        raise click.UsageError("say the --disk-format; the file does not tell")
    if header is not None and header.backing is not None:
        raise click.UsageError(_advice(file, header.backing))
    metadata = {
        "id": image_id,
        "name": more["name"] or (None if file == "-" else base),
        "disk_format": more["disk_format"] or found,
        "container_format": more["container_format"],
        "is_public": more["public"],
        "properties": more["properties"],
    }
    settings.run(partial(_upload, file=file, metadata=metadata, parent=parent))


async def _upload(
    session: Session, file: str, metadata: dict[str, Any], parent: str | None
) -> None:
    size = None
    source: Source = file
    if file == "-":
        source = _stdin(session)
    else:
        size = os.path.getsize(file)
    with session.console.bar(f"sending {plain(metadata['name'])}", size) as bar:
        record = await session.client.add_image(
            metadata, source, size, parent, progress=bar.update
        )
    digest = record.digest
    session.console.say(
        f"{plain(record.name)}: {size_text(record.size)} stored as {record.id}"
        + (f", {digest.algorithm} {digest.value}" if digest else "")
    )
    uri = record.uri or f"{session.settings.server}/images/{record.id}"
    session.console.result({**record.as_json(), "uri": uri}, uri)


def _advice(path: str, backing: str) -> str:
    command = f'qemu-img rebase -u -f qcow2 -b "" {shlex.quote(path)}'
    return (
        f"{path} names {plain(backing)} as its backing file, which means nothing to a "
        f"server; blank it first:\n  {command}"
    )


async def _stdin(session: Session) -> AsyncGenerator[bytes, None]:
    threads = pipe_thread()
    while True:
        chunk: bytes = await deferToThreadPool(
            session.reactor, threads, os.read, STDIN, CHUNK
        )
        if not chunk:
            return
        yield chunk
