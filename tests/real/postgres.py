# Copyright glancetx contributors. See LICENSE for details.

"""
A real PostgreSQL on loopback, with files of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

from .programs import Program, quiet_port

__all__ = ["RealPostgres", "missing_postgres", "shared_postgres"]

SERVER = Path(__file__).with_name("postgres_server.py")
SECONDS = 60
USER = "glancetx"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    # What only matters when the machine loses its power:
    "fsync": "off",
    "full_page_writes": "off",
}


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is; Debian has them in no ``PATH``."""
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    newest = sorted(installed, key=_version, reverse=True)
    path = os.pathsep.join([*map(str, newest), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def missing_postgres() -> str | None:
    """Why tests that need it are skipped, or ``None``."""
    lacking = [name for name in ("initdb", "postgres", "psql") if not program(name)]
    if not lacking:
        return None
    return f"no {' and no '.join(lacking)}; see tests/real/install"


class RealPostgres:
    """
    One PostgreSQL, until it is removed.

    :ivar port: where it listens.
    :ivar url: of a database that stays empty; :meth:`fresh_database` makes others.
    """

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="glancetx-postgres-"))
        atexit.register(self.remove)
        self._password = secrets.token_hex(16)
        (self._folder / "password").write_text(self._password, encoding="ascii")
        self._names = (f"fresh{number}" for number in count(1))
        self.port = quiet_port()
        self.url = self._url("postgres")
        self.start()

    @property
    def output(self) -> str:
        """Its log, since it was last started."""
        return self._program.output

    def start(self) -> None:
        """Start it, or start it again where it was; does not wait for its clients."""
        said = {
            "folder": str(self._folder),
            "initdb": self._initdb(),
            "postgres": self._postgres(),
        }
        command = [sys.executable, "-P", str(SERVER), json.dumps(said)]
        self._program = Program(command, {"LC_ALL": "C"}, self._folder)
        self._program.says("ready to accept connections")

    def stop(self) -> None:
        """End it, and all its connections; it can be started again."""
        self._program.stop()

    def crash(self) -> None:
        """The same without order: what was not committed is lost."""
        self._program.signal("QUIT")
        self._program.stop()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def fresh_database(self) -> str:
        """Make an empty database; its URL."""
        name = next(self._names)
        self.run(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run SQL; the rows, a line each, fields with ``|`` between them."""
        psql = program("psql")
        assert psql is not None
        done = subprocess.run(
            [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port),
                "PGUSER": USER,
                "PGPASSWORD": self._password,
                "PGDATABASE": database,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def remove(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.remove)
        if hasattr(self, "_program"):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self, database: str) -> str:
        where = f"{USER}:{self._password}@127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg://{where}"

    def _initdb(self) -> list[str]:
        found = program("initdb")
        assert found is not None, missing_postgres()
        data = ["-D", str(self._folder / "data"), "--no-sync", "--no-instructions"]
        access = ["-U", USER, "--auth=scram-sha-256"]
        password = f"--pwfile={self._folder / 'password'}"
        return [found, *data, *access, password, "--encoding=UTF8", "--locale=C"]

    def _postgres(self) -> list[str]:
        found = program("postgres")
        assert found is not None, missing_postgres()
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        data = ["-D", str(self._folder / "data"), "-p", str(self.port)]
        return [found, *data, *settings]


@cache
def shared_postgres() -> RealPostgres:
    """That of all tests of a process; each takes a database of its own."""
    return RealPostgres()
