# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx list``, ``show`` and ``chain``
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

import click

from glancetx.client import ImageRecord, Manifest, ManifestPiece

from .running import Session
from .settings import IMAGE, Settings, common, examples, pairs
from .words import plain, size_text, table

__all__ = ["chain", "list_images", "show"]

PAGE = 100


@click.command(
    "list",
    epilog=examples(
        "glancetx list",
        "glancetx list --name monday --status active",
        "glancetx list --disk-format qcow2 --size-min 1048576 --json",
        "glancetx list --property os=debian --limit 5",
    ),
)
@click.option("--name", help="Only images of this name.")
@click.option("--status", help="Only those that are queued, saving or active.")
@click.option("--disk-format", help="Only those of this format.")
@click.option("--container-format", help="Only those in this container.")
@click.option("--size-min", type=click.IntRange(0), metavar="BYTES")
@click.option("--size-max", type=click.IntRange(0), metavar="BYTES")
@click.option(
    "--property",
    "properties",
    metavar="KEY=VALUE",
    multiple=True,
    callback=pairs,
    help="Only those with this property; give it again for more.",
)
@click.option("--limit", type=click.IntRange(1), help="No more than so many.")
@common
def list_images(
    settings: Settings, limit: int | None, properties: dict[str, str], **filters: Any
) -> None:
    """List the server's images, the newest first."""
    asked = {key: value for key, value in filters.items() if value is not None}
    asked |= {f"property-{key}": value for key, value in properties.items()}
    settings.run(partial(_list, filters=asked, limit=limit))


async def _list(session: Session, filters: dict[str, Any], limit: int | None) -> None:
    found: list[ImageRecord] = []
    page = min(limit or PAGE, PAGE)
    async with aclosing(session.client.list_images(filters, page)) as records:
        async for record in records:
            found.append(record)
            if len(found) == limit:
                break
    rows = [
        (
            one.id,
            plain(one.status),
            plain(one.disk_format),
            size_text(one.size),
            "yes" if one.parent else "-",
            plain(one.name),
        )
        for one in found
    ]
    heads = ("ID", "STATUS", "FORMAT", "SIZE", "PARENT", "NAME")
    session.console.result([one.as_json() for one in found], table(heads, rows))


@click.command(epilog=examples("glancetx show ID", "glancetx show ID --json"))
@click.argument("image", type=IMAGE)
@common
def show(settings: Settings, image: str) -> None:
    """Show what the server knows of an IMAGE."""
    settings.run(partial(_show, image=image))


async def _show(session: Session, image: str) -> None:
    record = await session.client.head_image(image)
    found = record.as_json()
    lines = [
        (key, plain(str(value)))
        for key, value in found.items()
        if value is not None and key != "properties"
    ]
    lines += [
        (f"property {plain(key)}", plain(value))
        for key, value in sorted(record.properties.items())
    ]
    width = max(len(key) for key, _ in lines)
    session.console.result(
        found, "\n".join(f"{key.ljust(width)}  {value}" for key, value in lines)
    )


@click.command(epilog=examples("glancetx chain ID", "glancetx chain ID --json"))
@click.argument("image", type=IMAGE)
@common
def chain(settings: Settings, image: str) -> None:
    """
    Draw the chain of an IMAGE: what it rests on, and where that is.

    Each line has a piece's name, its format and bytes, and the server that has it. Of
    another server it says if the image is leased: what is not may be deleted there.
    """
    settings.run(partial(_chain, image=image))


async def _chain(session: Session, image: str) -> None:
    manifest = await session.client.chain(image)
    found = {
        "size": manifest.size,
        "chain": [
            {
                "id": piece.id,
                "uri": piece.uri,
                "name": piece.name,
                "disk_format": piece.disk_format,
                "size": piece.size,
                "virtual_size": piece.virtual_size,
                "checksum": piece.checksum,
                "os_hash_algo": piece.digest.algorithm,
                "os_hash_value": piece.digest.value,
                "offset": piece.offset,
                "tar_offset": piece.tar_offset,
                "lease": piece.lease,
            }
            for piece in manifest.pieces
        ],
    }
    session.console.result(found, _tree(manifest))


def _lease(piece: ManifestPiece) -> str:
    """Whether another server knows that its image is needed."""
    if piece.lease is None:
        return ""
    words = {"held": "leased", "expired": "lease expired"}
    return f"  {words.get(piece.lease) or f'not guarded: {plain(piece.lease)}'}"


def _tree(manifest: Manifest) -> str:
    lines = []
    for depth, piece in enumerate(manifest.pieces):
        branch = "   " * (depth - 1) + "└─ " if depth else ""
        server = plain(piece.uri.partition("/images/")[0].removesuffix("/v2"))
        lines.append(
            f"{branch}{plain(piece.name or piece.id)}  {plain(piece.disk_format)}  "
            f"{size_text(piece.size)}  {server}{_lease(piece)}"
        )
    lines.append(f"{size_text(manifest.size)} in one stream")
    return "\n".join(lines)
