# Copyright glancetx contributors. See LICENSE for details.

"""
Runs all servers of a Swift: a script for the Python of its own venv.

A line of JSON on the standard input is one thing to do, a line on the standard output
says that it is done. Each server is a process of its own, forked from this one, which
has imported Swift: that takes longer than to start them all. When the standard input
ends, so do they, and their files are removed: no killed test run leaves them behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SECONDS, POLL_SECONDS = 30, 0.02
MODULES = {
    "proxy": "swift.proxy.server",
    "object": "swift.obj.server",
    "container": "swift.container.server",
    "account": "swift.account.server",
}
MIDDLEWARE = (
    ("bulk", "catch_errors", "copy", "dlo", "gatekeeper", "healthcheck")
    + ("listing_formats", "memcache", "proxy_logging", "slo", "symlink")
    + ("tempauth", "tempurl", "versioned_writes")
)
RINGS = {"account": 1, "container": 1, "object": 3, "object-1": 2}
"""How many replicas there are; the object rings are those of the storage policies."""
PART_POWER = 6
PR_SET_PDEATHSIG = 1


class Servers:
    """
    All processes.

    :ivar ports: of the servers, by name.
    """

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        self.ports = ports
        self._folder = folder
        self._pids: dict[str, int] = {}

    def start(self, *names: str) -> None:
        """Start some, and wait until they listen."""
        for name in names:
            self._pids[name] = self._fork(name)
        for name in names:
            self._wait(name)

    def send(self, number: str, *names: str) -> None:
        """Send a signal to some, e.g. ``STOP``; wait for the end of those it kills."""
        for name in names:
            os.kill(self._pids[name], signal.Signals[f"SIG{number}"])
        if number == "KILL":
            for name in names:
                os.waitpid(self._pids.pop(name), 0)

    def once(self, module: str, *confs: str) -> None:
        """Let a daemon do its work once for each of these configurations."""
        import_module(module)
        for conf in confs:
            child = os.fork()
            if child == 0:
                self._become(module, [conf, "once", "-v"], module)
            self._pids[conf] = child
        codes = [os.waitpid(self._pids[conf], 0)[1] for conf in confs]
        for conf in confs:
            del self._pids[conf]
        if any(codes):
            raise RuntimeError(f"{module} failed:\n{self._log(module)}")

    def end(self) -> None:
        """Kill all."""
        self.send("KILL", *self._pids)

    def _fork(self, name: str) -> int:
        child = os.fork()
        if child == 0:
            if name == "memcached":
                self._become_memcached()
            module = MODULES[name.rstrip("0123456789")]
            self._become(module, [f"{name}.conf", "-v"], name)
        return child

    def _wait(self, name: str) -> None:
        limit = time.monotonic() + SECONDS
        while not self._listens(name):
            if os.waitpid(self._pids[name], os.WNOHANG)[0]:
                del self._pids[name]
                raise RuntimeError(f"{name} ended:\n{self._log(name)}")
            if time.monotonic() > limit:
                raise RuntimeError(f"{name} does not listen:\n{self._log(name)}")
            time.sleep(POLL_SECONDS)

    def _listens(self, name: str) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports[name])) == 0

    def _become(self, module: str, arguments: list[str], log: str) -> NoReturn:
        """Be what ``main()`` of a module of Swift does, and end."""
        code = 1
        try:
            self._leave(log)
            sys.argv = [module, f"{self._folder}/etc/{arguments[0]}", *arguments[1:]]
            code = int(import_module(module).main() or 0)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else ended.code is not None
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _become_memcached(self) -> NoReturn:
        try:
            self._leave("memcached")
            where = ["-l", "127.0.0.1", "-p", str(self.ports["memcached"]), "-U", "0"]
            # Root must say that it is to run as root.
            os.execvp("memcached", ["memcached", *where, "-u", "root", "-m", "64"])
        finally:
            os._exit(1)

    def _leave(self, log: str) -> None:
        """Have nothing more of this process, but its death."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        where = f"{self._folder}/log/{log}"
        out = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), out)):
            os.dup2(descriptor, number)
        os.dup2(out, 2)

    def _log(self, name: str) -> str:
        return Path(self._folder, "log", name).read_text("utf-8", "replace")[-4000:]


def make_rings(folder: Path, ports: Mapping[str, int]) -> None:
    """Say where the replicas lie: four devices in two regions of two zones each."""
    builder = import_module("swift.common.ring").RingBuilder
    for name, replicas in RINGS.items():
        ring = builder(PART_POWER, replicas, 0)
        for number in range(1, 5):
            server = name if name in ports else f"object{number}"
            where = {"ip": "127.0.0.1", "port": ports[server], "device": f"d{number}"}
            region, zone = divmod(number - 1, 2)
            place = {"region": region + 1, "zone": zone + 1, "weight": 1}
            ring.add_dev({"id": number - 1, "meta": "", **where, **place})
        ring.rebalance(seed="1")
        ring.get_ring().save(f"{folder}/etc/{name}.ring.gz")


def load(folder: Path, durable: bool) -> None:
    """
    Import what the servers will need.

    The name of the folder comes first: what Swift imports next reads ``swift.conf``
    there, or else in ``/etc/swift``.
    """
    if not durable:  # it only matters when the machine loses its power
        os.fsync = os.fdatasync = lambda fd: None
    import_module("swift.common.utils").set_swift_dir(f"{folder}/etc")
    for name in MODULES.values():
        import_module(name)
    for name in MIDDLEWARE:
        import_module(f"swift.common.middleware.{name}")


def main() -> None:
    """Do what is said, until nobody is there to say anything."""
    os.setsid()  # what a terminal sends to the tests is not for this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    said: dict[str, Any] = json.loads(sys.argv[1])
    folder = Path(said["folder"])
    servers = Servers(folder, said["ports"])
    try:
        load(folder, said["durable"])
        make_rings(folder, servers.ports)
        print("loaded", flush=True)
        for line in sys.stdin:
            number, verb, *names = json.loads(line)
            try:
                getattr(servers, verb)(*names)
            except (OSError, RuntimeError, KeyError) as error:
                print(f"{error!r}\n{number} failed", flush=True)
            else:
                print(f"{number} done", flush=True)
    finally:
        servers.end()
        shutil.rmtree(folder, ignore_errors=True)


main()
