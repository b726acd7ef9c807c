# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx delete``
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from glancetx.errors import GlancetxError, OriginUnavailable

from .failures import Failed, explain
from .running import Session
from .settings import IMAGE, Settings, common, examples

__all__ = ["delete"]


@click.command(epilog=examples("glancetx delete ID", "glancetx delete ID ID --json"))
@click.argument("images", metavar="IMAGE...", type=IMAGE, nargs=-1, required=True)
@common
def delete(settings: Settings, images: Sequence[str]) -> None:
    """
    Delete images for good, in the order given.

    An IMAGE that others are differences to cannot be deleted before them.
    """
    settings.run(partial(_delete, images=images))


async def _delete(session: Session, images: Sequence[str]) -> None:
    deleted: list[str] = []
    failed: list[str] = []
    for image in images:
        try:
            await session.client.delete_image(image)
        except OriginUnavailable:
            raise
        except GlancetxError as error:
            failed.append(explain(error, session.settings))
        else:
            deleted.append(image)
    session.console.result({"deleted": deleted, "failed": failed}, "\n".join(deleted))
    if failed:
        raise Failed("\n".join(failed))
