# Copyright glancetx contributors. See LICENSE for details.

"""
A real Keystone on loopback, with an SQLite file and accounts of its own.

The accounts are made once, in a folder beside Keystone's venv, and copied from there.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from attrs import frozen

from tests.servers import free_port

from .programs import ROOT, Program, interpreter

__all__ = [
    "ACCOUNTS",
    "ADMIN",
    "ALICE",
    "BOB",
    "GLANCE",
    "REGION",
    "RITA",
    "Account",
    "Keystone",
    "direct",
]

REGION = "RegionOne"
SERVER = Path(__file__).with_name("keystone_server.py")
MANAGE = Path(__file__).with_name("keystone_manage.py")
SECONDS = 60

CONFIGURATION = """
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.sqlite
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/receipts
[credential]
key_repository = {folder}/credential
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
[identity]
password_hash_rounds = 4
[cache]
# Without it, to check one token takes some 300 queries.
enabled = true
backend = dogpile.cache.memory
"""


@frozen
class Account:
    """
    Somebody who can have a token, for one project.

    :ivar roles: in the project; ``member`` implies ``reader``.
    """

    user: str
    project: str
    roles: tuple[str, ...]

    @property
    def password(self) -> str:
        return f"{self.user}-secret"

    @property
    def login(self) -> dict[str, Any]:
        """What a token is asked for with."""
        user = {"name": self.user, "password": self.password, "domain": _DEFAULT}
        return {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": self.project, "domain": _DEFAULT}},
        }


_DEFAULT = {"id": "default"}
ADMIN = Account("admin", "admin", ("admin",))
GLANCE = Account("glance", "service", ("service",))
"""The server under test. The role ``service`` lets it ask who a token is of."""
ALICE = Account("alice", "alpha", ("member",))
RITA = Account("rita", "alpha", ("reader",))
BOB = Account("bob", "beta", ("member",))
ACCOUNTS = (ADMIN, GLANCE, ALICE, RITA, BOB)


@frozen
class Answer:
    """What Keystone said."""

    headers: Any
    body: Any


class Keystone:
    """
    One Keystone, with a database of its own until it is removed.

    :ivar url: where it listens, with ``/v3``.
    :ivar project_ids: of all projects, by name.
    """

    def __init__(self, origin: Path | None = None) -> None:
        """:param origin: the folder to begin with; ``None`` for that with accounts."""
        origin = origin or prepared()
        self._folder = Path(mkdtemp(prefix="glancetx-keystone-"))
        atexit.register(self.remove)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v3"
        self._admin: str | None = None
        shutil.copytree(origin, self._folder, dirs_exist_ok=True)
        _configure(self._folder)
        self.start()
        self.project_ids = self._ids("projects")
        self.publish("identity", self.url)

    @property
    def output(self) -> str:
        """Its log."""
        return self._program.output

    def start(self) -> None:
        """Start it, or start it again where it was."""
        environ = {
            "OS_KEYSTONE_CONFIG_DIR": str(self._folder),
            "KEYSTONE_PORT": str(self._port),
        }
        command = [interpreter("keystone"), "-P", "-W", "ignore", str(SERVER)]
        self._program = Program(command, environ, self._folder)
        self._program.says("listening at")

    def signal(self, name: str) -> None:
        """Send it a signal, e.g. ``STOP``."""
        self._program.signal(name)

    def stop(self) -> None:
        """End its process; it can be started again."""
        self._program.stop()

    def remove(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.remove)
        if hasattr(self, "_program"):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> Answer:
        """
        One call of its API.

        :param token: whose; ``None`` for that of the administrator.
        :raises urllib.error.HTTPError: if it refuses.
        """
        if token is None:
            self._admin = self._admin or self.token(ADMIN)
            token = self._admin
        return self._ask(method, path, body, {"X-Auth-Token": token})

    def token(self, account: Account) -> str:
        """A new token."""
        answer = self._ask("POST", "/auth/tokens", {"auth": account.login}, {})
        return str(answer.headers["X-Subject-Token"])

    def revoke(self, token: str) -> None:
        """Make a token worthless."""
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        self._ask("DELETE", "/auth/tokens", None, headers)

    def application_credential(
        self, account: Account, name: str, rules: Sequence[dict[str, str]] = ()
    ) -> tuple[str, str]:
        """
        A credential by which a program acts for an account.

        :param rules: which calls it may make; all, if there is none.
        :returns: its id and its secret.
        """
        token = self.token(account)
        user = self._ids("users")[account.user]
        wanted = {"name": name, **({"access_rules": list(rules)} if rules else {})}
        path = f"/users/{user}/application_credentials"
        answer = self.ask("POST", path, {"application_credential": wanted}, token)
        made = answer.body["application_credential"]
        return made["id"], made["secret"]

    def publish(self, kind: str, url: str) -> None:
        """Say in the catalogue where the service of a kind is."""
        (service,) = self.ask("GET", f"/services?type={kind}").body["services"]
        found = self.ask("GET", f"/endpoints?service_id={service['id']}").body
        for endpoint in found["endpoints"]:
            path = f"/endpoints/{endpoint['id']}"
            self.ask("PATCH", path, {"endpoint": {"url": url}})

    def _ids(self, kind: str) -> dict[str, str]:
        found = self.ask("GET", f"/{kind}").body[kind]
        return {one["name"]: one["id"] for one in found}

    def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Answer:
        data = None if body is None else json.dumps(body).encode("ascii")
        headers = {**headers, "Content-Type": "application/json"}
        request = Request(self.url + path, data, headers, method=method)
        with direct.open(request, timeout=SECONDS) as response:
            text = response.read()
            return Answer(response.headers, json.loads(text) if text else None)


direct = build_opener(ProxyHandler({}))
"""Opens URLs without a proxy, whatever the environment says."""


def prepared() -> Path:
    """
    A folder with Keystone's files and the accounts, made if it is missing.

    Other processes with tests may want it at the same time.
    """
    folder = ROOT / "keystone-data"
    with open(ROOT / "keystone-data.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(folder, _fingerprint())
    return folder


def _make(folder: Path, made_by: str) -> None:
    mark = folder / "made-by"
    if mark.is_file() and mark.read_text(encoding="ascii") == made_by:
        return
    shutil.rmtree(folder, ignore_errors=True)
    fresh = Path(mkdtemp(prefix="keystone-data-", dir=ROOT))
    try:
        _prepare(fresh)
        (fresh / "made-by").write_text(made_by, encoding="ascii")
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _fingerprint() -> str:
    """What the folder depends on."""
    versions = Path(ROOT, "keystone", "installed").read_bytes()
    return sha256(versions + Path(__file__).read_bytes()).hexdigest()


def _configure(folder: Path) -> None:
    text = CONFIGURATION.format(folder=folder)
    (folder / "keystone.conf").write_text(text, encoding="utf-8")


def _prepare(folder: Path) -> None:
    for name in ("fernet", "receipts", "credential"):
        (folder / name).mkdir(mode=0o700)
    _configure(folder)
    me = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    _manage(
        folder,
        ["db_sync"],
        ["fernet_setup", *me],
        ["receipt_setup", *me],
        ["credential_setup", *me],
        ["bootstrap", "--bootstrap-password", ADMIN.password]
        + ["--bootstrap-region-id", REGION]
        + ["--bootstrap-public-url", "http://127.0.0.1/v3"],
    )
    keystone = Keystone(folder)
    try:
        _make_accounts(keystone)
    finally:
        keystone.stop()
        shutil.copy(keystone._folder / "keystone.sqlite", folder)
        keystone.remove()


def _manage(folder: Path, *commands: list[str]) -> None:
    """Run ``keystone-manage`` several times."""
    which = ["--config-file", str(folder / "keystone.conf")]
    done = subprocess.run(
        [interpreter("keystone"), "-P", "-W", "ignore", str(MANAGE)],
        input="".join(f"{json.dumps([*which, *command])}\n" for command in commands),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _make_accounts(keystone: Keystone) -> None:
    projects, roles = keystone._ids("projects"), keystone._ids("roles")
    for account in ACCOUNTS:
        if account is ADMIN:
            continue
        if account.project not in projects:
            wanted = {"name": account.project, "domain_id": "default"}
            made = keystone.ask("POST", "/projects", {"project": wanted})
            projects[account.project] = made.body["project"]["id"]
        wanted = {"name": account.user, "password": account.password}
        user = {"user": {**wanted, "domain_id": "default"}}
        user_id = keystone.ask("POST", "/users", user).body["user"]["id"]
        where = f"/projects/{projects[account.project]}/users/{user_id}"
        for role in account.roles:
            keystone.ask("PUT", f"{where}/roles/{roles[role]}")
    service = {"service": {"type": "image", "name": "glance"}}
    service_id = keystone.ask("POST", "/services", service).body["service"]["id"]
    endpoint = {"service_id": service_id, "interface": "public", "region_id": REGION}
    wanted = {**endpoint, "url": "http://127.0.0.1"}
    keystone.ask("POST", "/endpoints", {"endpoint": wanted})
