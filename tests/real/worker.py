# Copyright glancetx contributors. See LICENSE for details.

"""
Runs OpenStack's clients: a script for the Python of their own venv.

Each run is a process of its own, forked from one that has imported the clients, which
takes them longer than all that a test makes them do. A line of JSON on the standard
input is one run, a line on the standard output what came of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from base64 import b64encode
from importlib import import_module
from importlib.metadata import entry_points
from tempfile import TemporaryFile
from typing import Any, NoReturn

SECONDS = 60
IMPORTS = (
    "glanceclient.shell",
    "glanceclient.v2.client",
    "glanceclient.v2.shell",
    "keystoneauth1.identity",
    "keystoneauth1.loading",
    "openstack.identity.v3._proxy",
    "openstack.image.v2._proxy",
    "openstackclient.common.clientmanager",
    "openstackclient.identity.common",
    "openstackclient.image.v2.image",
    "openstackclient.shell",
)


def main() -> None:
    """Run what is asked for, one after another."""
    for name in IMPORTS:
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """One run, from its fork to its end."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            become(request, output.fileno(), errors.fileno())
        status = os.waitpid(child, 0)[1]
        texts = [b64encode(read(file)).decode("ascii") for file in (output, errors)]
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "output": texts[0], "errors": texts[1]}


def read(file: Any) -> bytes:
    """All of a file."""
    file.seek(0)
    return bytes(file.read())


def become(request: dict[str, Any], output: int, errors: int) -> NoReturn:
    """Be the process that was asked for, and end."""
    code = 1
    try:
        signal.alarm(SECONDS)
        terminal = os.openpty()[1]  # they would read data from anything else
        for number, descriptor in enumerate((terminal, output, errors)):
            os.dup2(descriptor, number)
        os.chdir(request["folder"])
        os.environ.update(request["environ"])
        if "source" in request:
            call(request)
            code = 0
        else:
            code = command(request["command"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(words: list[str]) -> int:
    """What the script of this name does."""
    (script,) = entry_points(group="console_scripts", name=words[0])
    sys.argv = words
    try:
        code = script.load()()
    except SystemExit as ended:
        code = ended.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    return int(code or 0)


def call(request: dict[str, Any]) -> None:
    """Call a function with a client, and print what it returns."""
    names: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + request["source"], names)
    client = {"openstacksdk": openstacksdk, "glanceclient": glanceclient}
    result = names[request["name"]](client[request["client"]](), *request["arguments"])
    print(json.dumps(result))


def openstacksdk() -> Any:
    """A connection, by the ``OS_`` variables."""
    return import_module("openstack").connect()


def glanceclient() -> Any:
    """A client, by the same."""
    names = ("username", "password", "project_name", "auth_url")
    given = {name: os.environ[f"OS_{name.upper()}"] for name in names}
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    auth = import_module("keystoneauth1.identity.v3").Password(**given, **domains)
    session = import_module("keystoneauth1.session").Session(auth)
    return import_module("glanceclient").Client("2", session=session)


main()
