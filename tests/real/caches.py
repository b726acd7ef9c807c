# Copyright glancetx contributors. See LICENSE for details.

"""
Real HTTP caches on loopback, by the samples of the documentation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.servers import free_port, reactor

__all__ = ["NGINX", "SAMPLES", "SQUID", "VARNISH", "Cache", "Kind"]

SAMPLES = Path(__file__).parent.parent.parent / "docs" / "samples"
SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
START_SECONDS, POLL_SECONDS = 30, 0.05


@frozen
class Kind:
    """
    One kind of cache.

    :ivar program: what it is run by.
    :ivar configure: writes the files that it needs into a folder, for a port and
        that of the server behind it; returns the arguments of the program.
    """

    program: str
    configure: Callable[[Path, int, int], list[str]]

    @property
    def path(self) -> str | None:
        """Where the program is, if it is installed."""
        return shutil.which(self.program, path=SYSTEM)

    def require(self) -> None:
        """:raises SkipTest: if it cannot be run, or with no sample of ours."""
        if self.path is None:
            raise SkipTest(f"{self.program} is not installed")
        if not SAMPLES.is_dir():
            raise SkipTest("these tests run without the checkout that has the samples")


class Cache(ProcessProtocol):
    """
    A cache in a process of its own.

    :ivar port: where it listens.
    :ivar output: all that it wrote so far.
    """

    def __init__(self, kind: Kind, behind: int) -> None:
        """:param behind: the port of the server whose answers it keeps."""
        assert kind.path is not None
        self.port = free_port()
        self.output = ""
        self._ended: Deferred[None] = Deferred()
        self._folder = Path(mkdtemp(prefix="glancetx-cache-"))
        arguments = kind.configure(self._folder, self.port, behind)
        command = [kind.path, *arguments]
        reactor.spawnProcess(self, command[0], command, env={"PATH": SYSTEM})

    async def listens(self) -> None:
        """Wait until it listens: none of them says so in a way that lasts."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            assert not self._ended.called, self.output
            try:
                protocol = await endpoint.connect(Factory.forProtocol(Protocol))
            except ConnectError:
                await deferLater(reactor, POLL_SECONDS)
            else:
                protocol.transport.abortConnection()  # type: ignore[attr-defined]
                return
        raise AssertionError(f"it does not listen:\n{self.output}")

    async def stop(self) -> None:
        """End it, and remove its files."""
        try:
            self.transport.signalProcess("TERM")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass
        await self._ended
        shutil.rmtree(self._folder)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data.decode("utf-8", "replace")

    def processEnded(self, reason: Failure) -> None:
        self._ended.callback(None)


def adapt(sample: str, changes: dict[str, str]) -> str:
    """A sample with other names and numbers, each of which it must have."""
    text = (SAMPLES / sample).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{sample} has no {old}"
        text = text.replace(old, new)
    return text


def _varnish(folder: Path, port: int, behind: int) -> list[str]:
    changes = {
        '"glance.example.com"': '"127.0.0.1"',
        'port = "80"': f'port = "{behind}"',
    }
    vcl = folder / "zone.vcl"
    vcl.write_text(adapt("varnish.vcl", changes), encoding="utf-8")
    where = ["-F", "-n", f"{folder}/work", "-a", f"127.0.0.1:{port}", "-f", str(vcl)]
    # Without jail: it would run as a user who may not look into our folder.
    return [*where, "-j", "none", "-p", "default_ttl=0", "-s", "malloc,256m"]


def _nginx(folder: Path, port: int, behind: int) -> list[str]:
    changes = {
        "glance.example.com:80": f"127.0.0.1:{behind}",
        "127.0.0.1:6081": f"127.0.0.1:{port}",
        "/var/cache/nginx/images": f"{folder}/images",
    }
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"user root;\ndaemon off;\npid {folder}/pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}"
        f"{adapt('nginx-cache.conf', changes)}}}\n",
        encoding="utf-8",
    )
    return ["-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _squid(folder: Path, port: int, behind: int) -> list[str]:
    changes = {
        "127.0.0.1:6081": f"127.0.0.1:{port}",
        "defaultsite=glance.example.com": f"defaultsite=127.0.0.1:{behind}",
        "glance.example.com parent 80": f"127.0.0.1 parent {behind}",
        "/var/spool/squid 400000 16 256": f"{folder}/images 1000 1 1",
    }
    more = (
        f"pid_filename {folder}/pid\ncache_log {folder}/log\naccess_log none\n"
        "visible_hostname zone\npinger_enable off\n"
        "shutdown_lifetime 0 seconds\n"
    )
    conf = folder / "squid.conf"
    conf.write_text(adapt("squid.conf", changes) + more, encoding="utf-8")
    if os.geteuid() == 0:  # it then runs as another user, as Debian builds it
        folder.chmod(0o755)
        (folder / "images").mkdir()
        for path in (folder, folder / "images"):
            shutil.chown(path, "proxy", "proxy")
    assert SQUID.path is not None
    # The name is that of its shared memory, which other Squids here have, too.
    arguments = ["-f", str(conf), "-N", "-n", f"glancetx{port}"]
    subprocess.run([SQUID.path, *arguments, "-z"], check=True, capture_output=True)
    return arguments


VARNISH = Kind("varnishd", _varnish)
NGINX = Kind("nginx", _nginx)
SQUID = Kind("squid", _squid)
