# Copyright glancetx contributors. See LICENSE for details.

"""
Backends of others: built as wheels, installed beside glancetx, served by ``twistd``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.http_headers import Headers
from twisted.web.server import Site
from twisted.web.static import File

from tests.servers import ServerCase, reactor
from tests.twistd import Twistd

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NAMES = ("glancetx-httpstore", "glancetx-throttle")
NEEDED = 77
"""The first setuptools that can build them."""

BUILD = "from setuptools.build_meta import build_wheel; build_wheel('../wheels')"
COMMAND = "from glancetx.cli import main; main()"
OLD = os.urandom(3_000_000)
NEW = os.urandom(1_000_000)

CONFIGURATION = """
[server]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "http://zone.example.com"

[catalogue]
url = "sqlite:///catalogue.sqlite"

[stores.main]
backend = "httpstore"
url = "{url}/pieces"

[stores.new]
backend = "throttle"
of = "filesystem"
path = "new"
bytes_per_second = 50_000_000
default = true
"""


def obstacle() -> str | None:
    """Why this cannot be tested here."""
    if not EXAMPLES.is_dir():
        return f"there is no {EXAMPLES}"
    try:
        found = version("setuptools")
    except PackageNotFoundError:
        found = "0"
    if int(found.partition(".")[0]) < NEEDED:
        return f"setuptools {found} is too old to build wheels; {NEEDED} is not"
    return None


class ThirdPartyTests(ServerCase):
    """``docs/examples``, installed"""

    skip = obstacle()
    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.place = Path(self.mktemp()).absolute()
        self.python = str(self.place / "venv" / "bin" / "python")

    async def run_python(self, *arguments: str, folder: Path | None = None) -> str:
        """Run a Python, which the first argument names, without this checkout."""
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        out, err, code = await getProcessOutputAndValue(
            arguments[0], arguments[1:], environ, str(folder or self.place), reactor
        )
        self.assertEqual(code, 0, err.decode())
        text: str = out.decode()
        return text

    async def build(self, name: str) -> None:
        """Make a wheel of a copy; what setuptools leaves beside it is in our way."""
        copy = self.place / name
        junk = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        shutil.copytree(EXAMPLES / name, copy, ignore=junk)
        await self.run_python(sys.executable, "-P", "-c", BUILD, folder=copy)

    async def install(self) -> None:
        """
        Make an environment with both examples, and with all that this one has.
        """
        wheels = self.place / "wheels"
        wheels.mkdir(parents=True)
        making = deferToThread(venv.create, self.place / "venv", symlinks=True)
        builds = [Deferred.fromCoroutine(self.build(name)) for name in NAMES]
        await gatherResults([making, *builds])
        await self.run_python(
            *(sys.executable, "-m", "pip", "--disable-pip-version-check"),
            *("--python", self.python, "install", "--quiet", "--no-index"),
            *("--no-deps", "--no-compile", *map(str, wheels.glob("*.whl"))),
        )
        ours = sysconfig.get_paths()["purelib"]
        (site,) = self.place.glob("venv/lib/python*/site-packages")
        line = f"import site; site.addsitedir({ours!r})\n"
        (site / "beside.pth").write_text(line)

    async def keep_old(self) -> tuple[str, str]:
        """An image in a store of files, which a web server serves from now on."""
        server = await self.serve()
        image = await server.add(OLD)
        await server.stop()
        port = reactor.listenTCP(0, Site(File(server.folder)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}"
        Path(server.folder, "zone.toml").write_text(CONFIGURATION.format(url=url))
        return server.folder, image

    async def start(self, folder: str) -> str:
        """Start the server in the new environment; where it listens."""
        twistd = Twistd(reactor, folder)
        self.addCleanup(lambda: Deferred.fromCoroutine(twistd.stop()))
        twistd.start_by(self.python, "--config", "zone.toml")
        return await twistd.url()

    async def read(self, url: str, span: str | None = None) -> tuple[int, bytes]:
        headers = Headers({"Range": [f"bytes={span}"]} if span else {})
        response: Any = await self.http.get(url, headers=headers, unbuffered=False)
        return response.code, await response.content()

    async def test_served(self) -> None:
        """
        Images of a store that became a web server's folder are read as before, new
        ones go to another store, and ``glancetx backends`` knows where both are from.
        """
        installing = Deferred.fromCoroutine(self.install())
        folder, image = await self.keep_old()
        await installing
        url = await self.start(folder)
        await self.check_old(f"{url}/images/{image}")
        await self.check_new(url, folder)
        await self.check_listed()

    async def check_old(self, url: str) -> None:
        code, body = await self.read(url)
        self.assertEqual((code, body == OLD), (200, True))
        code, body = await self.read(url, "1000000-2999999")
        self.assertEqual((code, body == OLD[1_000_000:]), (206, True))

    async def check_new(self, url: str, folder: str) -> None:
        headers = Headers({"X-Image-Meta-Disk-Format": ["raw"]})
        response: Any = await self.http.post(
            f"{url}/images", headers=headers, data=NEW, unbuffered=False
        )
        self.assertEqual(response.code, 201, await response.content())
        image = (await response.json())["image"]["id"]
        code, body = await self.read(f"{url}/images/{image}")
        self.assertEqual((code, body == NEW), (200, True))
        sizes = [path.stat().st_size for path in Path(folder).glob("new/??/*")]
        self.assertEqual(sizes, [len(NEW)])

    async def check_listed(self) -> None:
        text = await self.run_python(
            self.python, "-P", "-c", COMMAND, "backends", "--json"
        )
        found = {one["name"]: one["distribution"] for one in json.loads(text)}
        self.assertEqual(found["filesystem"], "glancetx")
        self.assertEqual(found["httpstore"], "glancetx-httpstore")
        self.assertEqual(found["throttle"], "glancetx-throttle")
