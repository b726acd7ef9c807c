# Copyright glancetx contributors. See LICENSE for details.

"""
Origins that lie about chains, and parents that are none: refused, and nobody asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from glancetx.config import OriginConfig
from glancetx.errors import OriginUnavailable
from tests.loopback import Loopback
from tests.servers import reactor
from tests.wire import Answer, Client, get

from .origin import FaultyOrigin, Parent, image_id
from .reading import FaultCase

ID = image_id(1)

HOSTS = [
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "0.0.0.0",
    "127.0.0.1.",
    "127.0.0.2",
    "\uff11\uff12\uff17.0.0.1",
    "127\u3002" + "0\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "user@127.0.0.1",
    "user:secret@127.0.0.1",
    "127.0.0.1%2f",
    "127.0.0.1\\@x",
    "127.0.0.1%00x",
    "x#@127.0.0.1",
]
"""Other ways to write 127.0.0.1, and what may lead there."""

PATHS = [
    f"//images/{ID}",
    f"/x/../images/{ID}",
    f"/./images/{ID}",
    f"/images/{ID}/",
    f"/images/{ID}?x",
    f"/images/{ID}#x",
    f"/images%2f{ID}",
    f"/images/{ID.upper().replace('8', 'A')}",
    f"/images/{ID}/stream",
    "/images/",
    "",
]
"""What is no path of an image."""


class ForgedCase(FaultCase):
    """A zone's server that may ask two origins, and one that it may not."""

    async def start(self, *more: OriginConfig) -> None:
        self.origins = [FaultyOrigin() for _ in range(3)]
        self.one, self.two, self.stranger = self.origins
        self.loopbacks = [Loopback(reactor, origin) for origin in self.origins]
        for loopback in self.loopbacks:
            self.addCleanup(loopback.stop)
        self.urls = [loopback.url for loopback in self.loopbacks]
        configured = [OriginConfig(f"far{n}", self.urls[n]) for n in range(2)]
        self.zone = await self.serve([*configured, *more])

    def uri(self, server: int, number: int) -> str:
        return f"{self.urls[server]}/images/{image_id(number)}"

    async def create(self, parent: str) -> Answer:
        """By a client that has nothing to do with the reactor."""
        headers = [b"Content-Length: 5", b"X-Image-Meta-Disk_format: raw"]
        headers.append(b"X-Image-Meta-Parent_id: " + parent.encode("utf-8"))

        def work(client: Client) -> Answer:
            client.send(get(b"/images", b"POST", *headers) + b"child")
            return client.answer()

        return await self.raw(self.zone, work)

    async def refused(self, parent: str, code: int = 400) -> str:
        """Say why it is refused, and see that nothing was kept."""
        answer = await self.create(parent)
        self.assertEqual(answer.code, code, (parent, answer))
        self.assertEqual(self.zone.pieces(), [])
        return answer.body.decode("utf-8")

    async def no_images(self) -> None:
        reply = await self.zone.ask("GET", "/images")
        self.assertEqual(reply.json, {"images": []})


class ForgedChainTests(ForgedCase):
    """Chains that an origin offers, and nobody could follow."""

    async def test_cycles(self) -> None:
        """
        A chain that comes back to itself is refused: an image that is its own
        parent, two that are each other's, on one server and on two.
        """
        await self.start()
        self.one.add(Parent(1, parent=image_id(1)))
        self.one.add(Parent(2, parent=self.uri(0, 3)))
        self.one.add(Parent(3, parent=f"{self.urls[0]}/v2/images/{image_id(2)}/file"))
        self.one.add(Parent(4, parent=self.uri(1, 4)))
        self.two.add(Parent(4, parent=self.uri(0, 4)))
        for number in (1, 2, 4):
            said = await self.refused(self.uri(0, number))
            self.assertIn("parent_id: the chain comes back to image", said)
        await self.no_images()

    async def test_cycle_by_way_of_here(self) -> None:
        """
        So is one that leads through an image of this server.
        """
        await self.start()
        self.one.add(Parent(1))
        child = await self.zone.add(b"child", self.uri(0, 1))
        self.one.add(Parent(1, parent=self.zone.uri(child)))
        answer = await self.create(self.uri(0, 1))
        self.assertEqual(answer.code, 400)
        self.assertIn(b"comes back to image", answer.body)

    async def test_endless(self) -> None:
        """
        A chain without end is followed as far as a chain may be long, no further.
        """

        class Endless(dict[str, Parent]):
            def get(endless, image_id: str, default: Any = None) -> Parent:
                number = int(image_id[-12:])
                return Parent(number, parent=self.uri(number % 2, number + 1))

        await self.start()
        self.one.parents = self.two.parents = Endless()
        self.assertIn("more than 64 images", await self.refused(self.uri(0, 2)))
        self.assertEqual(len(self.one.asked) + len(self.two.asked), 64)
        await self.no_images()

    async def test_stranger(self) -> None:
        """
        An ancestor on a server that is not configured is named, and not asked.
        """
        await self.start()
        self.one.add(Parent(1, parent=self.uri(1, 2)))
        self.two.add(Parent(2, parent=self.uri(2, 3)))
        self.stranger.add(Parent(3))
        said = await self.refused(self.uri(0, 1))
        self.assertIn(self.uri(2, 3), said)
        self.assertIn("[[origins]]", said)
        self.assertEqual(self.loopbacks[2].accepted, 0)

    async def test_no_parent(self) -> None:
        """
        What has no bytes, or no digest to prove them by, is no parent; nor what is
        not there, be it the first of a chain or a later one.
        """
        await self.start()
        no_digest = {"os_hash_value": None, "os_hash_algo": None}
        self.two.add(Parent(1, more=no_digest))
        self.two.add(Parent(2, more={"os_hash_algo": "md5", "os_hash_value": "0" * 32}))
        self.two.add(Parent(3, more={"status": "queued", "size": None}))
        self.two.add(Parent(4, more={"status": "deactivated"}))
        for number in (1, 2, 3, 4, 5):
            self.one.add(Parent(number, parent=self.uri(1, number)))
            for server in (1, 0):
                said = await self.refused(self.uri(server, number))
                self.assertIn(f"image {image_id(number)}", said)
        await self.no_images()

    async def test_nonsense(self) -> None:
        """
        An origin that says what cannot be true is not available.
        """
        await self.start()
        nonsense: list[dict[str, Any]] = [
            {"id": image_id(2)},
            {"size": None},
            {"size": -1},
            {"size": 2**63},
            {"size": "1e3"},
            {"size": "\uff11"},
            {"virtual_size": "0x10"},
            {"status": "x" * 99},
            {"disk_format": "../../x"},
            {"disk_format": "raw\tvhd"},
            {"name": "x" * 256},
            {"name": "a\x85b"},
            {"checksum": "none"},
            {"os_hash_value": "0" * 63},
            {"os_hash_value": "G" * 64},
        ]
        for more in nonsense:
            self.one.add(Parent(1, more=more))
            said = await self.refused(self.uri(0, 1), 503)
            self.assertIn("origin far0 is not available", said)
        await self.no_images()


@implementer(IHostnameResolver)
class _Noting:
    """Notes what is asked of another resolver."""

    def __init__(self, resolver: IHostnameResolver, names: list[str]) -> None:
        self._resolver = resolver
        self._names = names

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self._names.append(hostName)
        return self._resolver.resolveHostName(
            resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
        )


class AddressTests(ForgedCase):
    """Texts that look like the address of something."""

    def spy(self) -> None:
        """From here on note every connection that is opened, and every question."""
        self.contacted: list[tuple[str, int]] = []
        self.resolved: list[str] = []
        connect = reactor.connectTCP

        def connect_tcp(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
            self.contacted.append((host, port))
            return connect(host, port, *args, **kwargs)

        self.patch(reactor, "connectTCP", connect_tcp)
        noting = _Noting(reactor.nameResolver, self.resolved)
        usual = reactor.installNameResolver(noting)
        self.addCleanup(reactor.installNameResolver, usual)

    def forms(self, port: int) -> Iterable[str]:
        """Everything but the one way to name a server of 127.0.0.1."""
        for host in HOSTS:
            yield f"http://{host}:{port}/images/{ID}"
        right = f"127.0.0.1:{port}"
        yield f"http://{right}@169.254.169.254/images/{ID}"
        yield f"http://169.254.169.254/images/{ID}#{right}"
        for scheme in ("https", "HTTP", "ftp", "gopher", "dict", "file", "ldap"):
            yield f"{scheme}://{right}/images/{ID}"
        yield f"http:{right}/images/{ID}"
        yield f"//{right}/images/{ID}"
        yield f"http:///{right}/images/{ID}"
        yield f"http://127.0.0.1:0{port}/images/{ID}"
        yield f"http://127.0.0.1:{port + 65536}/images/{ID}"
        yield f"http://127.0.0.1:/images/{ID}"
        for path in PATHS:
            yield f"http://{right}{path}"
        yield "http://169.254.169.254/latest/meta-data/iam"
        yield f"http://169.254.169.254/images/{ID}"
        yield "file:///etc/passwd"
        yield f"file:///images/{ID}"
        yield f"gopher://{right}/_GET%20/images/{ID}"
        yield "unix:/var/run/docker.sock"
        yield f"data:,{ID}"
        yield "x" * 3000

    async def test_parent(self) -> None:
        """
        Only the very text by which an origin is configured names it: for any other
        way to write an address the answer is a 400, no name is resolved, and no
        packet leaves.
        """
        await self.start()
        self.spy()
        for loopback in (self.loopbacks[0], self.loopbacks[2]):
            for form in self.forms(loopback.port):
                await self.refused(form)
        self.assertEqual([one.accepted for one in self.loopbacks], [0, 0, 0])
        self.assertEqual((self.contacted, self.resolved), ([], []))

    async def test_ancestor(self) -> None:
        """
        The same holds for what an origin says that a parent is.
        """
        await self.start()
        self.spy()
        port = self.loopbacks[2].port
        forms = [form for form in self.forms(port) if len(form) < 2000]
        for form in forms:
            self.one.add(Parent(1, parent=form))
            await self.refused(self.uri(0, 1))
        self.assertEqual(len(self.one.asked), len(forms))
        self.assertEqual([one.accepted for one in self.loopbacks][1:], [0, 0])
        self.assertEqual(set(self.contacted), {("127.0.0.1", self.loopbacks[0].port)})
        self.assertEqual(set(self.resolved), {"127.0.0.1"})

    async def test_redirects(self) -> None:
        """
        An origin that leads elsewhere is not followed: not at creation, and not when
        a child is read.
        """
        await self.start()
        self.one.add(Parent(1))
        child = await self.zone.add(b"child", self.uri(0, 1))
        pieces = self.zone.pieces()
        for code in (301, 302, 303, 307, 308):
            self.one.add(Parent(1, code=code))
            self.one.elsewhere = self.uri(2, 1)
            self.one.add(Parent(2, code=code))
            answer = await self.create(self.uri(0, 2))
            self.assertEqual(answer.code, 503)
            self.assertIn(b"redirects are not followed", answer.body)
            path = f"/images/{child}/stream"
            self.assertFalse((await self.read(self.zone, path)).whole)
            reply = await self.zone.ask("GET", path, {"Range": "bytes=5-"})
            self.assertEqual(reply.code, 503)
        self.assertEqual(self.zone.pieces(), pieces)
        self.assertEqual(self.loopbacks[2].accepted, 0)
        self.assertEqual(len(self.flushLoggedErrors(OriginUnavailable)), 5)

    async def test_configured(self) -> None:
        """
        An origin of the configuration that is at an address which no connection may
        be opened to is not available, and none is opened.
        """
        bad = [
            "http://169.254.169.254",
            "http://2852039166",
            "http://[::ffff:169.254.169.254]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://0.0.0.0:9292",
        ]
        names = [OriginConfig(f"bad{n}", url) for n, url in enumerate(bad)]
        await self.start(*names)
        self.spy()
        for number, url in enumerate(bad):
            said = await self.refused(f"{url}/images/{ID}", 503)
            self.assertIn(f"origin bad{number} is not available: its address", said)
        self.assertEqual(self.contacted, [])
