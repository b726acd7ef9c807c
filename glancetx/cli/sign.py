# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx sign``: URLs for clients that have no token.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs

import click
from attrs import frozen
from twisted.internet.threads import deferToThread

from glancetx.caller import Grant
from glancetx.config import load
from glancetx.errors import WrongState
from glancetx.identity.keyfile import add_key
from glancetx.identity.signatures import Signatures
from glancetx.image import Status
from glancetx.uris import Names, is_image_id

from .duration import DURATION
from .failures import Failed
from .running import Session
from .settings import IMAGE, Settings, common, examples
from .token import RELOAD

__all__ = ["sign"]

LAYOUTS = {
    "own": "/images/{}",
    "stream": "/images/{}/stream",
    "chain": "/images/{}/chain",
    "chain.tar": "/images/{}/chain.tar",
    "file": "/v2/images/{}/file",
}


@frozen
class _Wish:
    """What is to be signed."""

    image: str
    method: str
    layout: str
    lifetime: timedelta
    digest: str | None
    size: int | None
    url: str | None


@frozen
class _Keys:
    """
    Where the keys are.

    :ivar url: what the server's URIs begin with, as far as that is known.
    """

    path: str
    url: str | None = None


@click.command(
    epilog=examples(
        "glancetx sign --new-key --keys-file keys.toml",
        "glancetx sign ID --keys-file keys.toml",
        "glancetx sign ID --layout stream --expires 10m --keys-file keys.toml --json",
        "glancetx sign ID --method PUT --size 4096 --keys-file keys.toml "
        f"--digest sha256:{'0' * 64}",
    )
)
@click.argument("image", type=IMAGE, required=False)
@click.option("--keys-file", type=click.Path(dir_okay=False), help="The keys.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    help="Or the server's configuration, which names them.",
)
@click.option(
    "--url",
    help="What the URL begins with.  [default: the configuration's public_url, "
    "or --server]",
)
@click.option("--method", type=click.Choice(["GET", "PUT"]), default="GET")
@click.option(
    "--layout",
    type=click.Choice(list(LAYOUTS)),
    default="own",
    show_default=True,
    help="What of the IMAGE; file is its own piece by the Image API v2.",
)
@click.option(
    "--expires",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long the URL is good, at most 24h.",
)
@click.option(
    "--digest",
    metavar="ALGORITHM:HEX",
    help="Of the image's bytes.  [default: asked at --server]",
)
@click.option("--size", type=click.IntRange(0), metavar="BYTES", help="To be put.")
@click.option("--new-key", is_flag=True, help="Make a key to sign with.")
@common
def sign(
    settings: Settings,
    image: str | None,
    keys_file: str | None,
    config: str | None,
    new_key: bool,
    method: str,
    layout: str,
    expires: timedelta,
    digest: str | None,
    size: int | None,
    url: str | None,
) -> None:
    """
    Sign a URL that lets its bearer read the bytes of one IMAGE for a while.

    With --method PUT it lets him bring the bytes to an IMAGE that waits for them:
    these bytes, by --digest and --size. With --new-key instead of an IMAGE a new key
    is put first into the file, which is made if it is not there; the key before it
    stays good, those before that do not.
    """
    find = _finder(keys_file, config)
    if new_key:
        if image is not None:
            raise click.UsageError("--new-key is for no IMAGE")
        settings.run(partial(_new_key, find=find))
        return
    if image is None:
        raise click.UsageError("Missing argument 'IMAGE'.")
    wish = _Wish(image, method, layout, expires, digest, size, url)
    settings.run(partial(_sign, find=find, wish=wish))


def _finder(keys_file: str | None, config: str | None) -> Callable[[], _Keys]:
    """
    Finds the keys; raises :class:`Failed` if the configuration names none.

    :raises UsageError: if not exactly one of the options is given.
    """
    if (keys_file is None) == (config is None):
        raise click.UsageError("give either --keys-file or --config")

    def find() -> _Keys:
        if keys_file is not None:
            return _Keys(keys_file)
        found = load(config)
        if found.identity.signing_keys_file is None:
            raise Failed(f"{config}: there is no identity.signing_keys_file")
        return _Keys(found.identity.signing_keys_file, found.server.public_url)

    return find


async def _new_key(session: Session, find: Callable[[], _Keys]) -> None:
    path = find().path
    made, *kept = await deferToThread(add_key, path)
    found = {"key": made.id, "kept": [key.id for key in kept], "file": path}
    session.console.result(found, made.id)
    session.console.say(f"{path} was changed; {RELOAD}")


async def _sign(session: Session, find: Callable[[], _Keys], wish: _Wish) -> None:
    keys = find()
    base = wish.url or keys.url or session.settings.server
    image_id = _image_id(wish.image, base)
    digest = wish.digest or await _ask_digest(session, image_id, wish)
    grant = Grant(wish.method, image_id, digest, wish.size)
    signatures = await deferToThread(Signatures, keys.path)
    path = LAYOUTS[wish.layout].format(image_id)
    query = signatures.sign(grant, path, wish.lifetime)
    url = f"{Names(base).bases[0].url}{path}?{query}"
    found = {
        "url": url,
        "method": wish.method,
        "image_id": image_id,
        "digest": digest,
        "size": wish.size,
        "expires": _expires(query).isoformat(),
    }
    session.console.result(found, url)


def _expires(query: str) -> datetime:
    (seconds,) = parse_qs(query)["gtx_expires"]
    return datetime.fromtimestamp(int(seconds), UTC)


def _image_id(image: str, base: str) -> str:
    found = image if is_image_id(image) else Names(base).image_id(image)
    if found is None:
        raise Failed(f"{image} is no image of {base}; name its server with --url")
    return found


async def _ask_digest(session: Session, image_id: str, wish: _Wish) -> str:
    if wish.method == "PUT":
        raise Failed("--method PUT needs --digest and --size of what is to be put")
    record = await session.client.head_image(image_id)
    if record.digest is None:
        raise WrongState(record.id, record.status, Status.ACTIVE)
    return f"{record.digest.algorithm}:{record.digest.value}"
