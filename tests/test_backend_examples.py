# Copyright glancetx contributors. See LICENSE for details.

"""
The tests of the distributions in ``docs/examples``, run as they stand there.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from twisted.web.static import File

from glancetx import stores
from glancetx.backends.filesystem import filesystem
from glancetx.config import StoreConfig
from glancetx.errors import StoreUnavailable
from glancetx.library.scrub import Scrubbed, scrub

from .servers import RunningServer, ServerCase, reactor

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
MODULES = {
    "glancetx-httpstore": [
        "glancetx_httpstore.test.test_backend",
        "glancetx_httpstore.test.test_body",
    ],
    "glancetx-throttle": ["glancetx_throttle.test.test_backend"],
}


def cases(distribution: str, module: str) -> dict[str, type]:
    """The test cases of an example, as classes of this module."""
    sys.path.insert(0, str(EXAMPLES / distribution))
    try:
        found = vars(import_module(module))
    finally:
        sys.path.pop(0)
    return {
        name: type(name, (case,), {"__module__": __name__, "__doc__": case.__doc__})
        for name, case in found.items()
        if name.endswith("Tests")
        and isinstance(case, type)
        and issubclass(case, SynchronousTestCase)
        and case.__module__ == module
    }


class ExamplesTests(SynchronousTestCase):
    """``docs/examples``"""

    if not EXAMPLES.is_dir():
        skip = f"there is no {EXAMPLES}"

    def test_complete(self) -> None:
        """
        Every module of tests is run here.
        """
        found = {path.stem for path in EXAMPLES.glob("*/*/test/test_*.py")}
        run = {name.rpartition(".")[2] for names in MODULES.values() for name in names}
        self.assertEqual(found, run)


class ReadOnlyTests(ServerCase):
    """A store that became the folder of a web server"""

    if not EXAMPLES.is_dir():
        skip = f"there is no {EXAMPLES}"

    async def move(self) -> tuple[RunningServer, str]:
        """A server with an image in such a store, and the image's id."""
        httpstore = sys.modules["glancetx_httpstore.backend"].__dict__["httpstore"]
        self.patch(stores, "find_factories", lambda: [filesystem, httpstore])
        before = await self.serve()
        image = await before.add(b"bytes")
        await before.stop()
        port = reactor.listenTCP(0, Site(File(before.folder)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/pieces"
        moved = StoreConfig("main", "httpstore", {"url": url})
        new = StoreConfig("new", "filesystem", {"path": "new"}, default=True)
        config = evolve(before.config, stores=(moved, new))
        after = RunningServer(config, self.http)
        self.addCleanup(lambda: Deferred.fromCoroutine(self._stop(after)))
        await after.start()
        return after, image

    async def test_deleted(self) -> None:
        """
        An image is deleted at once; that its bytes should go is known until they have.
        """
        server, image = await self.move()
        self.assertEqual((await server.ask("GET", f"/images/{image}")).body, b"bytes")
        reply = await server.ask("DELETE", f"/images/{image}")
        self.assertEqual(reply.code, 204)
        self.assertEqual((await server.ask("GET", f"/images/{image}")).code, 404)
        (failed,) = self.flushLoggedErrors(StoreUnavailable)
        (path,) = server.pieces()
        name = os.path.basename(path)
        self.assertIn(
            f"remove {name[:2]}/{name} from its web server", str(failed.value)
        )
        found = await self.scrub(server)
        self.assertEqual([one.location.key for one in found.failed], [name])
        self.flushLoggedErrors(StoreUnavailable)
        os.unlink(path)
        found = await self.scrub(server)
        self.assertEqual([one.key for one in found.removed], [name])

    async def test_upload(self) -> None:
        """
        If it has to take an upload, that fails with a sentence that says what to do.
        """
        server, _ = await self.move()
        server.parts.stores.default = server.parts.stores.get("main")
        headers = {"X-Image-Meta-Disk-Format": "raw"}
        reply = await server.ask("POST", "/images", headers, b"bytes")
        self.assertEqual(reply.code, 503)
        self.assertIn(b"read-only; make another one the default", reply.body)

    async def scrub(self, server: RunningServer) -> Scrubbed:
        parts = server.parts
        return await scrub(parts.catalogue, parts.stores, parts.presence)


if EXAMPLES.is_dir():
    for _distribution, _modules in MODULES.items():
        for _module in _modules:
            globals().update(cases(_distribution, _module))
