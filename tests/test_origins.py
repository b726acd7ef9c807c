# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.origins`.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from glancetx import __version__
from glancetx.claims import Found
from glancetx.config import OriginConfig
from glancetx.errors import BadValue, PieceCorrupt, UnknownOrigin
from glancetx.image import Digest, Pin
from glancetx.limits import Limits
from glancetx.origins import Origin, Origins
from glancetx.outbound import Outbound
from glancetx.testing.consumers import RecordingConsumer

from .agents import make_digests
from .fake_reactor import FakeReactor
from .loopback import Asked, Loopback
from .players import Glance, Glancetx, Played, image_id

ID = image_id(1)
URL = "http://glance.example.com"
PIN = Pin(
    origin=URL,
    image_id=ID,
    path=f"/images/{ID}",
    name=None,
    disk_format="raw",
    size=100,
    virtual_size=None,
    checksum=None,
    digest=Digest("sha256", "a" * 64),
)
GLANCE_PIN = evolve(PIN, path=f"/v2/images/{ID}/file")


class AskTests(SynchronousTestCase):
    """What goes over the wire, told from a reactor that opens nothing."""

    def make(
        self, via: str | None = None, proxy: str | None = None, url: str = URL
    ) -> Origin:
        self.reactor = FakeReactor(["10.0.0.1"], ["10.0.0.1"])
        config = OriginConfig("global", url, via=via, proxy=proxy)
        outbound = Outbound(self.reactor, Limits())
        return Origin(config, outbound, make_digests(), self.reactor, Limits())

    def asked(self) -> Asked:
        head = self.reactor.accept().value()
        self.assertTrue(head.endswith(b"\r\n\r\n"))
        return Asked.parse(head[:-4])

    def target(self) -> tuple[str, int]:
        address, port = self.reactor.tcpClients[-1][:2]
        return address, port

    def piece(self, origin: Origin, pin: Pin, start: int, stop: int) -> Asked:
        origin.piece(pin).produce(RecordingConsumer(), start, stop)
        return self.asked()

    def look_up(self, origin: Origin) -> Deferred[Found]:
        return Deferred.fromCoroutine(origin.look_up(ID))

    def test_nothing_unasked(self) -> None:
        """
        To have an origin, or a piece of it, asks nothing.
        """
        self.make().piece(PIN)
        self.assertEqual(self.reactor.targets, [])

    def test_whole(self) -> None:
        """
        A whole piece is asked for without a range, and not to be compressed.
        """
        self.assertEqual(
            self.piece(self.make(), PIN, 0, 100),
            Asked(
                "GET",
                f"/images/{ID}",
                {
                    "host": "glance.example.com",
                    "user-agent": f"glancetx/{__version__}",
                    "accept-encoding": "identity",
                },
            ),
        )

    def test_range(self) -> None:
        """
        A part of a glancetx's piece is asked for only if the piece is the one that
        was pinned.
        """
        for start, stop in ((0, 99), (1, 100), (7, 8)):
            asked = self.piece(self.make(), PIN, start, stop)
            self.assertEqual(asked.headers["range"], f"bytes={start}-{stop - 1}")
            self.assertEqual(asked.headers["if-range"], f'"sha256-{"a" * 64}"')

    def test_range_of_a_glance(self) -> None:
        """
        A Glance gives no ETag that could be known before: its parts are asked for
        without a condition.
        """
        asked = self.piece(self.make(), GLANCE_PIN, 7, 8)
        self.assertEqual(asked.target, f"/v2/images/{ID}/file")
        self.assertEqual(asked.headers["range"], "bytes=7-7")
        self.assertNotIn("if-range", asked.headers)

    def test_via(self) -> None:
        """
        Bytes are asked of the cache, as bytes of the origin: the cache tells by the
        host whose they are.
        """
        asked = self.piece(self.make("http://cache.zone:6081"), PIN, 0, 100)
        self.assertEqual(self.target(), ("10.0.0.1", 6081))
        self.assertEqual(asked.target, f"/images/{ID}")
        self.assertEqual(asked.headers["host"], "glance.example.com")

    def test_look_up_past_via(self) -> None:
        """
        An image is looked up at the origin itself, not in a cache on the way either.
        """
        self.look_up(self.make("http://cache.zone:6081"))
        self.assertEqual(self.target(), ("10.0.0.1", 80))
        asked = self.asked()
        self.assertEqual((asked.method, asked.target), ("HEAD", f"/images/{ID}"))
        self.assertEqual(asked.headers["host"], "glance.example.com")
        self.assertEqual(asked.headers["cache-control"], "no-cache")

    def test_path(self) -> None:
        """
        The path of the origin's URL stands before every path, by the cache too.
        """
        for via in (None, "http://cache.zone:6081"):
            origin = self.make(via, url="http://glance.example.com:81/img")
            asked = self.piece(origin, PIN, 0, 100)
            self.assertEqual(asked.target, f"/img/images/{ID}")
            self.assertEqual(asked.headers["host"], "glance.example.com:81")
        self.look_up(origin)
        self.assertEqual(self.asked().target, f"/img/images/{ID}")

    def test_proxy(self) -> None:
        """
        By a proxy the whole URL is asked for, for look-ups and bytes alike.
        """
        origin = self.make(proxy="http://proxy.zone:3128")
        self.look_up(origin)
        self.assertEqual(self.target(), ("10.0.0.1", 3128))
        self.assertEqual(self.asked().target, f"{URL}/images/{ID}")
        origin = self.make(proxy="http://proxy.zone:3128")
        asked = self.piece(origin, PIN, 0, 100)
        self.assertEqual(asked.target, f"{URL}/images/{ID}")
        self.assertEqual(asked.headers["host"], "glance.example.com")

    def test_via_and_proxy(self) -> None:
        """
        With both, bytes go by the cache and not by the proxy, look-ups by the proxy.
        """
        origin = self.make("http://cache.zone:6081", "http://proxy.zone:3128")
        asked = self.piece(origin, PIN, 0, 100)
        self.assertEqual(self.target(), ("10.0.0.1", 6081))
        self.assertEqual(asked.target, f"/images/{ID}")
        origin = self.make("http://cache.zone:6081", "http://proxy.zone:3128")
        self.look_up(origin)
        self.assertEqual(self.target(), ("10.0.0.1", 3128))


class OriginsTests(SynchronousTestCase):
    """:class:`Origins`"""

    def setUp(self) -> None:
        reactor = FakeReactor()
        self.origins = Origins(
            [
                OriginConfig("global", URL, ("http://old.example.com",)),
                OriginConfig("other", "https://other.example.com/img"),
            ],
            Outbound(reactor, Limits()),
            make_digests(),
            reactor,
            Limits(),
        )
        self.first, self.second = self.origins

    def test_locate(self) -> None:
        """
        A URI is located at the origin under whose URL or alias it stands.
        """
        for uri, origin in (
            (f"{URL}/images/{ID}", self.first),
            (f"http://old.example.com/v2/images/{ID}", self.first),
            (f"https://other.example.com/img/{ID}", self.second),
        ):
            self.assertEqual(self.origins.locate(uri), (origin, ID))

    def test_not_located(self) -> None:
        """
        Everything else is at no origin, an id by itself too.
        """
        for uri in (ID, f"http://third.example.com/{ID}", f"{URL}/x", ""):
            self.assertIsNone(self.origins.locate(uri))

    def test_get(self) -> None:
        """
        A pin's origin is found by the URL that it has, or had and keeps as an alias.
        """
        self.assertIs(self.origins.get(URL), self.first)
        self.assertIs(self.origins.get("http://old.example.com"), self.first)

    def test_unknown(self) -> None:
        """
        An origin that is no longer configured is named by the error.
        """
        error = self.assertRaises(
            UnknownOrigin, self.origins.get, "http://gone.example.com"
        )
        self.assertIn("http://gone.example.com", str(error))

    def test_unusable(self) -> None:
        """
        A URL that cannot be used is refused when the origin is made.
        """
        for config in (
            OriginConfig("x", "nonsense"),
            OriginConfig("x", URL, ("nonsense",)),
            OriginConfig("x", URL, via="nonsense"),
        ):
            with self.assertRaises(BadValue):
                Origins(
                    [config],
                    Outbound(FakeReactor(), Limits()),
                    make_digests(),
                    Clock(),
                    Limits(),
                )


class ReadTests(TestCase):
    """Images of real servers, looked up and read."""

    def setUp(self) -> None:
        self.image = Played(1, b"golden bytes" * 10_000, parent="http://up/x")
        self.counted: list[tuple[str, int]] = []
        self.outbound = Outbound(reactor, Limits())
        self.addCleanup(self.outbound.stop)

    def serve(self, player: Glance | Glancetx) -> str:
        server = Loopback(reactor, Site(player))
        self.addCleanup(server.stop)
        return server.url

    def origin(self, url: str, via: str | None = None) -> Origin:
        return Origin(
            OriginConfig("global", url, via=via),
            self.outbound,
            make_digests(),
            Clock(),
            Limits(),
            lambda name, count: self.counted.append((name, count)),
        )

    async def check(self, player: Glance | Glancetx, path: str) -> None:
        url = self.serve(player)
        origin = self.origin(url)
        found = await origin.look_up(ID)
        self.assertEqual(
            found.pin,
            Pin(
                origin=url,
                image_id=ID,
                path=path,
                name="image 1",
                disk_format="qcow2",
                size=len(self.image.data),
                virtual_size=None,
                checksum=self.image.said["checksum"],
                digest=Digest("sha256", self.image.digest),
            ),
        )
        self.assertEqual(found.parent, "http://up/x")
        for start, stop in ((0, found.pin.size), (7, 1000)):
            consumer = RecordingConsumer()
            await origin.piece(found.pin).produce(consumer, start, stop)
            self.assertEqual(bytes(consumer.received), self.image.data[start:stop])
        self.assertEqual({name for name, _ in self.counted}, {"global"})
        self.assertEqual(
            sum(count for _, count in self.counted), found.pin.size + 1000 - 7
        )

    async def test_glancetx(self) -> None:
        """
        A glancetx's image is looked up by one request, and read, whole or in part.
        """
        player = Glancetx(self.image)
        await self.check(player, f"/images/{ID}")
        path = f"/images/{ID}"
        self.assertEqual(player.asked, [("HEAD", path), ("GET", path), ("GET", path)])

    async def test_glance(self) -> None:
        """
        A Glance's image is looked up by its own interface, and read, whole or in part.
        """
        player = Glance(self.image)
        await self.check(player, f"/v2/images/{ID}/file")
        self.assertEqual(player.asked[1], ("GET", f"/v2/images/{ID}"))

    async def test_via(self) -> None:
        """
        The cache is asked for the bytes alone, the origin for what they are.
        """
        player, cache = Glancetx(self.image), Glancetx(self.image)
        origin = self.origin(self.serve(player), self.serve(cache))
        found = await origin.look_up(ID)
        consumer = RecordingConsumer()
        await origin.piece(found.pin).produce(consumer, 0, found.pin.size)
        self.assertEqual(player.asked, [("HEAD", f"/images/{ID}")])
        self.assertEqual(cache.asked, [("GET", f"/images/{ID}")])

    async def test_changed(self) -> None:
        """
        Bytes that are not those which were pinned do not pass whole.
        """
        for player in (Glance(self.image), Glancetx(self.image)):
            self.image.data = b"golden bytes" * 10_000
            origin = self.origin(self.serve(player))
            found = await origin.look_up(ID)
            self.image.data = b"forged bytes" * 10_000
            consumer = RecordingConsumer()
            reading = origin.piece(found.pin).produce(consumer, 0, found.pin.size)
            await self.assertFailure(reading, PieceCorrupt)
            self.assertLess(len(consumer.received), found.pin.size)

    async def test_missing(self) -> None:
        """
        An image that neither interface has is not there.
        """
        for player in (Glance(), Glancetx()):
            origin = self.origin(self.serve(player))
            with self.assertRaises(BadValue) as raised:
                await origin.look_up(ID)
            self.assertEqual(
                str(raised.exception),
                f"parent_id: origin global has no image {ID} that may be read",
            )
