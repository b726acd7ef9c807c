# Copyright glancetx contributors. See LICENSE for details.

"""
People who use OpenStack's own clients, unchanged, against a real server and Keystone.
"""

from __future__ import annotations

import atexit
import inspect
import json
import re
import shlex
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.servers import free_port
from tests.twistd import twistd_script

from .keystone import (
    ADMIN,
    ALICE,
    BOB,
    GLANCE,
    REGION,
    RITA,
    Account,
    Keystone,
    direct,
)
from .programs import Program, interpreter, missing

__all__ = ["ClientCase", "ImageServer", "Person", "Reply", "table"]

HERE = Path(__file__).parent
SECONDS = 60

CONFIGURATION = """
[server]
listen = ["tcp:{port}:interface=127.0.0.1"]
[stores.main]
backend = "filesystem"
path = "pieces"
[catalogue]
url = "sqlite:///catalogue.sqlite"
[identity]
kind = "keystone"
auth_url = "{auth_url}"
"""
BY_PASSWORD = f"""
username = "{GLANCE.user}"
password = "{GLANCE.password}"
project_name = "{GLANCE.project}"
user_domain_name = "Default"
project_domain_name = "Default"
"""


class ImageServer:
    """
    ``twistd glancetx`` with a Keystone.

    :ivar url: where it listens.
    :ivar folder: its files, and those of the clients.
    """

    def __init__(
        self, keystone: Keystone, more: str = "", login: str = BY_PASSWORD
    ) -> None:
        """
        :param more: what else its configuration says.
        :param login: how it proves to Keystone who it is.
        """
        self.folder = Path(mkdtemp(prefix="glancetx-real-"))
        atexit.register(self.stop)
        begin = CONFIGURATION.format(port=free_port(), auth_url=keystone.url)
        text = begin + login + more
        file = self.folder / "glancetx.toml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        command = [
            twistd_script(),
            "-n",
            "--pidfile=",
            "glancetx",
            "--config",
            str(file),
        ]
        environ = {"PYTHONPATH": str(HERE.parent.parent)}
        self._program = Program(command, environ, self.folder)
        self.url = self._program.says(r"listening at (\S+)")[1]
        keystone.publish("image", self.url)

    @property
    def output(self) -> str:
        """Its log."""
        return self._program.output

    def stop(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.stop)
        if hasattr(self, "_program"):
            self._program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Worker:
    """The process that the clients' runs are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [interpreter("clients"), "-P", "-W", "ignore", str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.wait)
        assert self._process.stdin is not None
        atexit.register(self._process.stdin.close)

    def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have one thing run, to its end."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        reply: dict[str, Any] = json.loads(stdout.readline())
        return reply


@cache
def shared_worker() -> Worker:
    """That of all tests."""
    return Worker()


@cache
def shared_keystone() -> Keystone:
    """That of all tests which leave it alone."""
    return Keystone()


@frozen
class Reply:
    """An answer of the server, read to its end."""

    code: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """What an error says."""
        (told,) = self.json.values()
        return str(told["message"])


@frozen
class Person:
    """
    Somebody at a prompt, with the clients and one account.

    :ivar case: the test that fails if a client does.
    :ivar credential: an application credential that is used instead of a password.
    """

    case: ClientCase
    account: Account
    credential: tuple[str, str] | None = None

    def types(self, command: str) -> str:
        """Run a command, which must succeed; what it writes."""
        return self.runs(command).decode("utf-8")

    def runs(self, command: str) -> bytes:
        """The same, for a command that writes bytes."""
        code, output, errors = self._run({"command": shlex.split(command)})
        self._expect(code == 0, command, output, errors)
        return output

    def sees(self, command: str) -> Any:
        """Run a command of ``openstack`` that must succeed; what it shows."""
        return json.loads(self.types(f"{command} -f json"))

    def is_refused(self, command: str) -> str:
        """Run a command, which must fail; what it says."""
        code, output, errors = self._run({"command": shlex.split(command)})
        self._expect(code != 0, command, output, errors)
        self._expect("Traceback" not in errors, command, output, errors)
        return output.decode("utf-8") + errors

    def calls(self, client: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """
        Call a function in the clients' Python; what it returns, by JSON.

        :param client: ``openstacksdk`` or ``glanceclient``: what it is called with
            before the arguments.
        :param function: its source alone gets there, no name around it.
        """
        code, output, errors = self._call(client, function, arguments)
        self._expect(code == 0, function.__name__, output, errors)
        return json.loads(output)

    def fails(self, client: str, function: Callable[..., Any], *arguments: Any) -> str:
        """The same for what must raise something: its last line, with the type."""
        code, output, errors = self._call(client, function, arguments)
        self._expect(code != 0, function.__name__, output, errors)
        return re.split(r"\n(?=\w+[\w.]*: )", errors.strip())[-1]

    def asks(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Reply:
        """
        One request without a client.

        :param token: ``None`` for a new one.
        """
        token = token or self.case.keystone.token(self.account)
        request = Request(
            self.case.server.url + path,
            body,
            {"X-Auth-Token": token, **(headers or {})},
            method=method,
        )
        try:
            with direct.open(request, timeout=SECONDS) as response:
                return Reply(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())

    @property
    def environ(self) -> dict[str, str]:
        """What the clients are told by the environment."""
        folder = str(self.case.server.folder)
        return {
            "HOME": folder,
            "XDG_CACHE_HOME": folder,
            "no_proxy": "*",
            "OS_AUTH_URL": self.case.keystone.url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": REGION,
            **(self._by_password if self.credential is None else self._by_credential),
        }

    @property
    def project_id(self) -> str:
        """Of the account."""
        return self.case.keystone.project_ids[self.account.project]

    @property
    def _by_password(self) -> dict[str, str]:
        return {
            "OS_PASSWORD": self.account.password,
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_PROJECT_NAME": self.account.project,
            "OS_USERNAME": self.account.user,
            "OS_USER_DOMAIN_ID": "default",
        }

    @property
    def _by_credential(self) -> dict[str, str]:
        assert self.credential is not None
        return {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_ID": self.credential[0],
            "OS_APPLICATION_CREDENTIAL_SECRET": self.credential[1],
        }

    def _call(
        self, client: str, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> tuple[int, bytes, str]:
        source = dedent(inspect.getsource(function))
        name = function.__name__
        request = {"source": source, "name": name, "client": client}
        return self._run({**request, "arguments": arguments})

    def _run(self, request: dict[str, Any]) -> tuple[int, bytes, str]:
        folder = str(self.case.server.folder)
        also = {"environ": self.environ, "folder": folder}
        reply = shared_worker().run({**request, **also})
        errors = b64decode(reply["errors"]).decode("utf-8")
        return reply["code"], b64decode(reply["output"]), errors

    def _expect(self, good: bool, what: str, output: bytes, errors: str) -> None:
        if not good:
            log = "".join(self.case.server.output.splitlines(keepends=True)[-20:])
            said = f"{output.decode('utf-8', 'replace')}\n{errors}"
            self.case.fail(f"{what}\n\nsaid\n{said}\n\nand the server\n{log}")


class ClientCase(SynchronousTestCase):
    """
    Tests with clients and one server, which the tests of a class share.

    So each test names its images itself, and none leaves any that others would list.
    """

    skip = missing("keystone", "clients")
    more = ""
    _running: tuple[type, ImageServer] | None = None

    def setUp(self) -> None:
        self.keystone = self.find_keystone()
        self.server = self._server()
        self.admin = Person(self, ADMIN)
        self.alice = Person(self, ALICE)
        self.rita = Person(self, RITA)
        self.bob = Person(self, BOB)

    def find_keystone(self) -> Keystone:
        """The Keystone of these tests."""
        return shared_keystone()

    def _server(self) -> ImageServer:
        if ClientCase._running is not None:
            owner, server = ClientCase._running
            if owner is type(self):
                return server
            ClientCase._running = None
            server.stop()
        server = ImageServer(self.keystone, self.more)
        ClientCase._running = (type(self), server)
        return server

    def file(self, name: str, data: bytes) -> str:
        """A file where the clients run."""
        (self.server.folder / name).write_bytes(data)
        return name

    def read(self, name: str) -> bytes:
        """What a client has written."""
        return (self.server.folder / name).read_bytes()


def table(text: str) -> list[dict[str, str]]:
    """The rows of a table as the clients draw it."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]
