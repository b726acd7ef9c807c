# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.library.chains`: parents that this server has, or nobody.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glancetx.caller import ANYONE
from glancetx.config import OriginConfig
from glancetx.errors import BadValue
from glancetx.image import Pin
from glancetx.limits import Limits
from glancetx.origins import Origins
from glancetx.outbound import Outbound

from .agents import make_digests
from .chain_records import OWN, Records, make_chains, pin
from .fake_reactor import FakeReactor
from .players import image_id

DEPTH = Limits().chain_depth


class LocalTests(SynchronousTestCase):
    """Parents that this server has, and texts that name none; no packet leaves."""

    def setUp(self) -> None:
        self.records = Records()
        self.reactor = FakeReactor()
        origins = Origins(
            [OriginConfig("global", "http://127.0.0.1:9292")],
            Outbound(self.reactor, Limits()),
            make_digests(),
            Clock(),
            Limits(),
        )
        self.chains = make_chains(origins, self.records)

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.targets, [])

    def resolve(self, parent_id: str) -> tuple[Pin, ...]:
        return self.successResultOf(
            Deferred.fromCoroutine(self.chains.resolve(ANYONE, parent_id))
        )

    def refused(self, parent_id: str) -> str:
        d = Deferred.fromCoroutine(self.chains.resolve(ANYONE, parent_id))
        error: BadValue = self.failureResultOf(d, BadValue).value
        self.assertEqual(error.field, "parent_id")
        return error.problem

    def test_golden(self) -> None:
        """
        The chain above a golden image of this server is that image.
        """
        self.assertEqual(self.resolve(self.records.add(1)), (pin(1),))

    def test_names(self) -> None:
        """
        It may be named by its id, or by any URI of this server.
        """
        found = self.records.add(1)
        for uri in (
            found,
            OWN.uri(found),
            f"{OWN.url}/{found}",
            f"{OWN.url}/v1/images/{found}",
            f"{OWN.url}/v2/images/{found}/file",
            f"https://zone.example.com:443/images/{found}",
        ):
            self.assertEqual(self.resolve(uri), (pin(1),), uri)

    def test_chain(self) -> None:
        """
        A parent's own chain is appended, as it was when the parent was made.
        """
        above = (pin(2), pin(3, "http://gone.example.com"), pin(4, "http://h"))
        self.assertEqual(self.resolve(self.records.add(1, *above)), (pin(1), *above))

    def test_missing(self) -> None:
        """
        An image that is not here cannot be a parent.
        """
        self.assertIn(f"no image {image_id(9)} here", self.refused(image_id(9)))

    def test_deleted_meanwhile(self) -> None:
        """
        Nor can one that is deleted while its child is made.
        """
        d = Deferred.fromCoroutine(self.chains.cap([pin(9)]))
        error: BadValue = self.failureResultOf(d, BadValue).value
        self.assertEqual(error.field, "parent_id")
        self.assertIn(f"no image {image_id(9)} here", error.problem)

    def test_queued(self) -> None:
        """
        Nor can one whose bytes are not here.
        """
        found = self.records.add(1, active=False)
        self.assertIn(f"image {found} is queued", self.refused(found))

    def test_depth(self) -> None:
        """
        A chain has at most 64 images, the new one included.
        """
        self.assertEqual(DEPTH, 64)
        above = [pin(number) for number in range(2, DEPTH + 1)]
        found = self.records.add(1, *above[: DEPTH - 2])
        self.assertEqual(len(self.resolve(found)), DEPTH - 1)
        found = self.records.add(1, *above)
        self.assertIn("more than 64 images", self.refused(found))

    def test_nothing_known(self) -> None:
        """
        A text that names no image of this server or an origin is refused; the error
        shows it, and what could be given.
        """
        one = image_id(1)
        for text in (
            "",
            "nonsense",
            one.upper().replace("0", "A"),
            "golden",
            f"http://other.example.com/images/{one}",
            f"http://169.254.169.254/images/{one}",
            f"http://localhost:9292/images/{one}",
            f"http://2130706433:9292/images/{one}",
            f"http://0x7f000001:9292/images/{one}",
            f"http://0x7f.1:9292/images/{one}",
            f"http://127.1:9292/images/{one}",
            f"http://0177.0.0.1:9292/images/{one}",
            f"http://\uff11\uff12\uff17.0.0.1:9292/images/{one}",
            f"http://\u2460\u2461\u2466.0.0.1:9292/images/{one}",
            f"http://[::ffff:127.0.0.1]:9292/images/{one}",
            f"http://[64:ff9b::7f00:1]:9292/images/{one}",
            f"http://[2002:7f00:1::]:9292/images/{one}",
            f"http://[::1]:9292/images/{one}",
            f"http://user@127.0.0.1:9292/images/{one}",
            f"http://127.0.0.1:9292@169.254.169.254/images/{one}",
            f"http://127.0.0.1:9292#@169.254.169.254/images/{one}",
            f"http://127.0.0.1:9292/../images/{one}",
            f"http://127.0.0.1:9292/images/{one}?x=y",
            f"http://127.0.0.1:9292/images%2f{one}",
            f"http://127.0.0.1:92920/images/{one}",
            f"https://127.0.0.1:9292/images/{one}",
            f"file:///images/{one}",
            f"gopher://127.0.0.1:9292/images/{one}",
            f"//127.0.0.1:9292/images/{one}",
            f"{one}\r\nX: y",
            "http://h/" + "x" * 5000,
        ):
            problem = self.refused(text)
            self.assertIn("names no image of this server or of an origin", problem)
            self.assertIn(ascii(text)[:100], problem)
            self.assertIn("http://zone.example.com:9292/images/ID", problem)
            self.assertLess(len(problem), 500)
            self.assertEqual(problem.splitlines(), [problem])
