# Copyright glancetx contributors. See LICENSE for details.

"""
``glancetx backends``: the kinds of storage that are installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from importlib.metadata import Distribution, distribution, packages_distributions
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from glancetx.interfaces import IBackendFactory, Option
from glancetx.stores import INTERFACE_VERSION, find_factories

from .running import Session
from .settings import Settings, examples, local
from .words import table

__all__ = ["backends"]


@click.command(epilog=examples("glancetx backends", "glancetx backends --json"))
@local
def backends(settings: Settings) -> None:
    """
    List the storage backends that are installed, where each comes from, and the keys
    that a store of it takes.
    """
    settings.run(_backends)


async def _backends(session: Session) -> None:
    factories = sorted(find_factories(), key=lambda one: str(one.name))
    times = Counter(one.name for one in factories)
    found = [_describe(one, times[one.name]) for one in factories]
    session.console.result(found, "\n".join(map(_as_text, found)))


def _describe(factory: IBackendFactory, times: int) -> dict[str, Any]:
    kind = factory if isinstance(factory, type) else type(factory)
    source = _distribution(kind.__module__)
    return {
        "name": factory.name,
        "distribution": None if source is None else source.name,
        "version": None if source is None else source.version,
        "factory": f"{kind.__module__}.{kind.__qualname__}",
        "problem": _problem(factory, times),
        "options": [_option(one) for one in getattr(factory, "options", ())],
    }


def _problem(factory: IBackendFactory, times: int) -> str | None:
    """Why no store can have this backend, if none can."""
    try:
        verifyObject(IBackendFactory, factory)
    except Invalid as error:
        return " ".join(str(error).split())
    if factory.interface_version != INTERFACE_VERSION:
        return (
            f"is made for version {factory.interface_version} of the interfaces, and "
            f"this is version {INTERFACE_VERSION}"
        )
    return f"{times} backends have this name; uninstall one" if times > 1 else None


def _option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "file": f"{option.name}_file" if option.secret else None,
        "kinds": [kind.__name__ for kind in option.kinds],
        "required": option.required,
        "default": None if option.secret else option.default,
        "backend": option.backend,
        "help": option.help,
    }


def _as_text(found: dict[str, Any]) -> str:
    source = "no distribution"
    if found["distribution"] is not None:
        source = f"{found['distribution']} {found['version']}"
    lines = [f"{found['name']}: {source}, {found['factory']}"]
    if found["problem"] is not None:
        lines.append(f"  cannot be used: {found['problem']}")
    rows = [
        (one["name"] + ("[_file]" if one["file"] else ""), _value(one), one["help"])
        for one in found["options"]
    ]
    if rows:
        lines += [f"  {line}" for line in table(("", "", ""), rows).splitlines()[1:]]
    return "\n".join(lines)


def _value(option: dict[str, Any]) -> str:
    kinds = "backend" if option["backend"] else " or ".join(option["kinds"])
    if option["required"]:
        return kinds
    if option["default"] is None:
        return f"[{kinds}]"
    return f"[{kinds}: {json.dumps(option['default'])}]"


def _distribution(module: str) -> Distribution | None:
    """
    Which distribution a module comes from.

    Several may have modules in ``glancetx``: then it is the one that has the file, or
    that was installed editable from the nearest folder above it.
    """
    names = packages_distributions().get(module.partition(".")[0], [])
    path = os.path.realpath(getattr(sys.modules.get(module), "__file__", None) or "")
    found = [distribution(name) for name in dict.fromkeys(names)]
    return max(found, key=lambda one: _nearness(one, path), default=None)


def _nearness(source: Distribution, path: str) -> int:
    if any(
        os.path.realpath(str(one.locate())) == path
        for one in source.files or ()
        if one.name == os.path.basename(path)
    ):
        return len(path)
    text = source.read_text("direct_url.json")
    url = json.loads(text)["url"] if text else ""
    folder = os.path.realpath(unquote(urlsplit(url).path)) if url else ""
    return len(folder) if folder and path.startswith(folder + os.sep) else 0
