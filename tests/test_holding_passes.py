# Copyright glancetx contributors. See LICENSE for details.

"""
When leases elsewhere are taken, renewed and ended: by a clock of the test's own, and an
origin that answers when it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from glancetx.catalogue import Catalogue, Hold
from glancetx.errors import BadValue, OriginUnavailable, UnknownOrigin
from glancetx.image import Image, Pin, Visibility
from glancetx.leasing import Outcome, Standing
from glancetx.library import holding
from glancetx.library.holding import Holding

from .catalogues import CatalogueTestCase, far_pin

ORIGIN = "http://global.invalid"
LIFE = 1000
GIVEN = Outcome(Standing.HELD, seconds=LIFE)
AWAY = OriginUnavailable("global", "it sleeps")
REFUSED = Outcome(Standing.IMPOSSIBLE, "it answered 401")
GONE = Outcome(Standing.LOST, "it has no such image", hidden=True)


@frozen
class FakeOrigin:
    """What is known of an origin here."""

    url: str
    name: str = "global"


class FakeOrigins:
    """The configuration: origins by all of their names."""

    def __init__(self) -> None:
        self.names = {ORIGIN: FakeOrigin(ORIGIN)}

    def get(self, url: str) -> FakeOrigin:
        if url not in self.names:
            raise UnknownOrigin(url)
        return self.names[url]


class FakeLeasing:
    """
    Notes what is asked of the origins.

    :ivar outcome: of what is asked; an exception is raised.
    :ivar held: while it is true, answers wait in ``waiting``.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.outcome: Any = GIVEN
        self.held = False
        self.waiting: list[Deferred[None]] = []
        self.cancelled = 0

    async def take(
        self, origin: FakeOrigin, image_id: str, holder: str, digest: object
    ) -> Outcome:
        await self.ask("take", origin, image_id)
        outcome: Outcome = self.outcome
        return outcome

    async def end(self, origin: FakeOrigin, image_id: str, holder: str) -> str | None:
        await self.ask("end", origin, image_id)
        reason: str | None = None if self.outcome is GIVEN else self.outcome.reason
        return reason

    async def ask(self, what: str, origin: FakeOrigin, image_id: str) -> None:
        self.asked.append((what, origin.url, image_id))
        if self.held:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            try:
                await waiting
            except CancelledError:
                self.cancelled += 1
                raise
        if isinstance(self.outcome, Exception):
            raise self.outcome


class PassCase(CatalogueTestCase):
    """
    A test of what keeps leases, upon a catalogue in a file.

    Its time is that of the catalogue; ``clock`` is for patience alone.
    """

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.origins, self.leasing = FakeOrigins(), FakeLeasing()
        self.clock = Clock()
        self.counts: Mapping[str, int] = {}
        self.holding = self.keep(self.catalogue)

    def keep(self, catalogue: Catalogue) -> Holding:
        return Holding(
            catalogue,
            cast(Any, self.origins),
            cast(Any, self.leasing),
            self.clock,
            lambda: self.now,
            lambda counts: setattr(self, "counts", counts),
        )

    async def child(self, *pins: Pin) -> Image:
        return await self.queued(parents=pins)

    async def made(self, pin: Pin) -> Image:
        """A child whose parent was leased as it is when images are made."""
        await self.holding.take([pin])
        self.leasing.asked.clear()
        return await self.child(pin)

    async def hold(self) -> Hold:
        [hold] = await self.catalogue.holds()
        return hold

    async def after(self, seconds: float, holding: Holding | None = None) -> list[str]:
        """What is asked in a pass that comes so much later."""
        self.leasing.asked.clear()
        self.pass_seconds(seconds)
        self.clock.advance(seconds)
        await (holding or self.holding)._do_due()
        return [what for what, _, _ in self.leasing.asked]


class RenewalTests(PassCase):
    """Leases that are needed."""

    async def test_half_life(self) -> None:
        """
        A lease is renewed when half of its life is over, and not before.
        """
        await self.made(far_pin())
        for _ in range(3):
            self.assertEqual(await self.after(LIFE / 2 - 1), [])
            self.assertEqual(await self.after(1), ["take"])
            until = (await self.hold()).until
            self.assertEqual(until, self.now + timedelta(seconds=LIFE))

    async def test_missing(self) -> None:
        """
        What chains here need and nobody noted is leased at the first opportunity.
        """
        await self.child(far_pin())
        self.assertEqual(await self.after(0), ["take"])
        self.assertEqual((await self.hold()).state, "held")
        self.assertEqual(await self.after(30), [])

    async def test_away(self) -> None:
        """
        An origin that is away is left alone for longer and longer, up to a limit; as
        soon as it is back that is forgotten.
        """
        self.leasing.outcome = AWAY
        await self.made(far_pin())
        seconds = 0
        gaps: list[int] = []
        while len(gaps) < 12:
            seconds += 5
            if await self.after(5):
                gaps.append(seconds)
                seconds = 0
        self.assertEqual(gaps[:6], sorted(set(gaps[:6])))
        self.assertLessEqual(gaps[0], 50)
        for gap in gaps[-4:]:
            self.assertGreaterEqual(gap, 0.75 * holding.AWAY_LONGEST)
            self.assertLessEqual(gap, holding.AWAY_LONGEST + 10)
        self.leasing.outcome = GIVEN
        self.assertEqual(await self.after(holding.AWAY_LONGEST), ["take"])
        self.leasing.outcome = AWAY
        await self.made(far_pin())
        self.assertEqual(await self.after(holding.AWAY_SECONDS), ["take"])

    async def test_one_for_all(self) -> None:
        """
        Of many images of an origin that is away not each is asked for.
        """
        self.leasing.outcome = AWAY
        for _ in range(20):
            await self.child(far_pin())
        asked = await self.after(0)
        self.assertLessEqual(len(asked), holding.AT_ONCE)
        states = {hold.state for hold in await self.catalogue.holds()}
        self.assertEqual(states, {"wanted"})
        self.leasing.outcome = GIVEN
        self.assertEqual(len(await self.after(60)), 20)

    async def test_others(self) -> None:
        """
        That one origin is away delays no other's leases.
        """
        other = "http://other.invalid"
        self.origins.names[other] = FakeOrigin(other)
        self.holding._patience.failed(ORIGIN)
        await self.child(far_pin(), far_pin(other))
        self.assertEqual(await self.after(0), ["take"])
        self.assertEqual(self.leasing.asked[0][1], other)

    async def test_held_while_away(self) -> None:
        """
        A lease that cannot be renewed is held until its time is over, then expired.
        """
        child = await self.made(far_pin())
        self.leasing.outcome = AWAY
        with capturedLogs() as events:
            self.assertEqual(await self.after(LIFE / 2), ["take"])
        [said] = [one for one in events if one["log_level"] is LogLevel.warn]
        self.assertIn("it sleeps", said["problem"])
        [guard] = await self.holding.guards(child)
        self.assertEqual(guard.standing, Standing.HELD)
        self.assertIn("it sleeps", guard.problem or "")
        await self.after(LIFE / 2)
        [guard] = await self.holding.guards(child)
        self.assertEqual(guard.standing, Standing.EXPIRED)
        self.assertTrue(guard.standing.guards)
        await self.after(0)
        self.assertEqual(self.counts[Standing.EXPIRED], 1)
        self.leasing.outcome = GIVEN
        self.assertEqual(await self.after(LIFE), ["take"])
        [guard] = await self.holding.guards(child)
        self.assertEqual((guard.standing, guard.problem), (Standing.HELD, None))

    async def test_refused(self) -> None:
        """
        What is refused is asked for again every hour, and at each start.
        """
        self.leasing.outcome = REFUSED
        await self.made(far_pin())
        await self.after(0)
        self.assertEqual(await self.after(holding.REFUSED_SECONDS - 1), [])
        self.assertEqual(await self.after(1), ["take"])
        self.assertEqual(await self.after(30), [])
        again = self.keep(self.catalogue)
        self.assertEqual(await self.after(0, again), ["take"])

    async def test_refused_renewal(self) -> None:
        """
        A lease that was given is held though its renewal is refused.
        """
        child = await self.made(far_pin())
        self.leasing.outcome = REFUSED
        self.assertEqual(await self.after(LIFE / 2), ["take"])
        [guard] = await self.holding.guards(child)
        self.assertEqual(guard.standing, Standing.HELD)
        self.assertEqual(guard.problem, "it answered 401")
        self.assertEqual(await self.after(holding.RENEWAL_SECONDS - 1), [])
        self.assertEqual(await self.after(1), ["take"])

    async def test_lost(self) -> None:
        """
        A parent that was there and is gone is lost; one that never was to be seen is
        not guarded.
        """
        seen = await self.made(far_pin())
        self.leasing.outcome = GONE
        unseen = await self.child(far_pin())
        with capturedLogs() as events:
            await self.after(LIFE / 2)
        errors = [one for one in events if one["log_level"] is LogLevel.error]
        ids = [one["image_id"] for one in errors]
        self.assertEqual(ids, [seen.parents[0].image_id])
        for child, standing in [(seen, "lost"), (unseen, "impossible")]:
            [guard] = await self.holding.guards(child)
            self.assertEqual(guard.standing, standing)
            self.assertFalse(guard.standing.guards)
        self.leasing.outcome = GIVEN
        await self.after(holding.REFUSED_SECONDS)
        [guard] = await self.holding.guards(seen)
        self.assertEqual(guard.standing, Standing.HELD)

    async def test_not_configured(self) -> None:
        """
        A lease at a server that is no longer configured is neither renewed nor
        forgotten.
        """
        child = await self.made(far_pin())
        self.origins.names.clear()
        self.assertEqual(await self.after(LIFE), [])
        [guard] = await self.holding.guards(child)
        self.assertEqual(guard.standing, Standing.EXPIRED)
        self.assertIn(ORIGIN, guard.problem or "")

    async def test_several_processes(self) -> None:
        """
        Of the processes that share a catalogue one sees to each lease.
        """
        for _ in range(5):
            await self.made(far_pin())
        others = [self.keep(await self.open()) for _ in range(3)]
        self.pass_seconds(LIFE / 2)
        passes = [
            Deferred.fromCoroutine(keeper._do_due())
            for keeper in (*others, self.holding)
        ]
        for one in passes:
            await one
        asked = [image_id for _, _, image_id in self.leasing.asked]
        self.assertEqual(len(asked), 5)
        self.assertEqual(len(set(asked)), 5)


class ReleaseTests(PassCase):
    """Leases that are not needed any more."""

    async def test_not_at_once(self) -> None:
        """
        What nobody needs is ended, but not what was noted a moment ago: its child may
        be in the making.
        """
        await self.holding.take([far_pin()])
        self.assertEqual(await self.after(holding.RELEASE_SECONDS - 1), [])
        self.assertEqual(await self.after(1), ["end"])
        self.assertEqual(await self.catalogue.holds(), ())
        self.assertEqual(await self.after(holding.RELEASE_SECONDS), [])

    async def test_not_meanwhile(self) -> None:
        """
        Nor is it ended while it is asked for, however old it is.
        """
        pin = far_pin()
        await self.holding.take([pin])
        self.pass_seconds(holding.RELEASE_SECONDS)
        self.leasing.held = True
        taking = Deferred.fromCoroutine(self.holding.take([pin]))
        await self.until(lambda: self.leasing.waiting)
        self.assertEqual(await self.after(0), [])
        self.leasing.waiting.pop().callback(None)
        await taking

    async def test_away(self) -> None:
        """
        It is ended later if its server is away.
        """
        await self.holding.take([far_pin()])
        self.leasing.outcome = AWAY
        self.assertEqual(await self.after(holding.RELEASE_SECONDS), ["end"])
        self.assertEqual((await self.hold()).problem, str(AWAY))
        self.leasing.outcome = GIVEN
        self.assertEqual(await self.after(holding.RELEASE_SECONDS), ["end"])
        self.assertEqual(await self.catalogue.holds(), ())

    async def test_refused(self) -> None:
        """
        It is not forgotten if its server does not end it.
        """
        await self.holding.take([far_pin()])
        self.leasing.outcome = REFUSED
        self.assertEqual(await self.after(holding.RELEASE_SECONDS), ["end"])
        self.assertEqual((await self.hold()).problem, "it answered 401")

    async def test_never_given(self) -> None:
        """
        What was refused needs not to be ended; what was only not answered may have
        been given.
        """
        for outcome, asked in [(REFUSED, []), (AWAY, ["end"])]:
            self.leasing.outcome = outcome
            await self.holding.take([far_pin()])
            self.leasing.outcome = GIVEN
            self.assertEqual(await self.after(holding.RELEASE_SECONDS), asked)
            self.assertEqual(await self.catalogue.holds(), ())

    async def test_needed_again(self) -> None:
        """
        A lease that is ended while a new child takes it is taken once more.
        """
        pin = far_pin()
        await self.holding.take([pin])
        self.pass_seconds(holding.RELEASE_SECONDS)
        self.leasing.asked.clear()
        self.leasing.held = True
        ending = Deferred.fromCoroutine(self.holding._do_due())
        await self.until(lambda: self.leasing.waiting)
        self.leasing.held = False
        self.pass_seconds(1)
        await self.made(pin)
        self.leasing.waiting.pop().callback(None)
        await ending
        self.assertEqual([what for what, _, _ in self.leasing.asked], ["take"])
        self.assertEqual((await self.hold()).state, "held")

    async def test_by_another_name(self) -> None:
        """
        The lease of an image that is needed by another name of its server is not
        ended, though what was noted by its old name is forgotten.
        """
        pin = far_pin()
        child = await self.made(pin)
        new = "http://moved.invalid"
        self.origins.names[new] = self.origins.names[ORIGIN] = FakeOrigin(new)
        await self.made(evolve(pin, origin=new))
        await self.catalogue.delete(child.id)
        self.assertEqual(await self.after(holding.RELEASE_SECONDS), [])
        self.assertEqual((await self.hold()).origin, new)

    async def until(self, condition: Any) -> None:
        """Let threads work until a condition holds."""
        for _ in range(1000):
            if condition():
                return
            await self.catalogue.server_id()
        self.fail("it never came to that")


class TakeTests(PassCase):
    """Leases for a child in the making."""

    async def test_nothing(self) -> None:
        """
        Parents here, and those on a Glance, are not asked for.
        """
        here = evolve(far_pin(), origin=None, path="")
        await self.holding.take([here, far_pin(path="/v2/images/1/file")])
        self.assertEqual((self.leasing.asked, await self.catalogue.holds()), ([], ()))

    async def test_a_few_at_once(self) -> None:
        """
        Of a long chain a few are asked for at once.
        """
        self.leasing.held = True
        taking = Deferred.fromCoroutine(
            self.holding.take([far_pin() for _ in range(10)])
        )
        most = 0
        while not taking.called:
            await self.catalogue.server_id()
            most = max(most, len(self.leasing.waiting))
            if self.leasing.waiting:
                self.leasing.waiting.pop().callback(None)
        self.assertLessEqual(most, holding.AT_ONCE)
        self.assertEqual(len(self.leasing.asked), 10)
        states = [hold.state for hold in await self.catalogue.holds()]
        self.assertEqual(states, ["held"] * 10)

    async def test_gone(self) -> None:
        """
        An image that is gone is refused, if anyone could see it a moment ago; one that
        was shown to the caller alone may be hidden from this server.
        """
        self.leasing.outcome = GONE
        private = far_pin(anonymous=False, visibility=Visibility.PRIVATE)
        for pin in (far_pin(), far_pin(anonymous=False)):
            d = Deferred.fromCoroutine(self.holding.take([pin]))
            error: Any = await self.assertFailure(d, BadValue)
            self.assertIn(f"no image {pin.image_id} that may be read", str(error))
        child = await self.made(private)
        [guard] = await self.holding.guards(child)
        self.assertEqual(guard.standing, Standing.IMPOSSIBLE)

    async def test_other_bytes(self) -> None:
        """
        One that has other bytes is refused, whoever could see it.
        """
        self.leasing.outcome = evolve(GONE, hidden=False)
        pin = far_pin(anonymous=False, visibility=Visibility.PRIVATE)
        d = Deferred.fromCoroutine(self.holding.take([pin]))
        await self.assertFailure(d, BadValue)

    async def test_asked_again(self) -> None:
        """
        For each child it is asked again: what was noted may have been ended.
        """
        pin = far_pin()
        await self.made(pin)
        await self.holding.take([pin])
        self.assertEqual([what for what, _, _ in self.leasing.asked], ["take"])


class LifeTests(PassCase):
    """``start`` and ``stop``"""

    async def test_passes(self) -> None:
        """
        It begins at once, and goes on whatever fails.
        """
        passes = []

        async def failing() -> tuple[()]:
            passes.append(self.clock.seconds())
            raise ZeroDivisionError

        self.patch(self.catalogue, "needed_holds", failing)
        self.holding.start()
        for _ in range(2):
            self.clock.advance(holding.PASS_SECONDS)
        await self.holding.stop()
        self.assertEqual(passes, [0, holding.PASS_SECONDS, 2 * holding.PASS_SECONDS])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_stopped_meanwhile(self) -> None:
        """
        What is under way at the end is given up, and nobody waits for it.
        """
        for _ in range(6):
            await self.child(far_pin())
        self.leasing.held = True
        self.holding.start()
        while len(self.leasing.waiting) < holding.AT_ONCE:
            await self.catalogue.server_id()
        await self.holding.stop()
        self.assertEqual(self.leasing.cancelled, holding.AT_ONCE)
        self.assertEqual(len(self.leasing.asked), holding.AT_ONCE)
        states = {hold.state for hold in await self.catalogue.holds()}
        self.assertEqual(states, {"wanted"})
        self.leasing.held = False
        again = self.keep(self.catalogue)
        self.assertEqual(len(await self.after(0, again)), 6)

    async def test_idempotent(self) -> None:
        """
        It may be ended twice, or without a start.
        """
        await self.holding.stop()
        self.holding.start()
        await self.holding.stop()
        await self.holding.stop()
