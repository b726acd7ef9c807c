# Copyright glancetx contributors. See LICENSE for details.

"""
The leases that this server has of images elsewhere: what chains here rest on.

One is taken before a child is made, renewed when half of its life is over, and ended
when no child here needs it any more. The catalogue knows how it stands with each, so
that it goes on after a restart, and processes that share a catalogue see to each once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from glancetx.catalogue import Catalogue, Hold
from glancetx.errors import BadValue, OriginUnavailable, UnknownOrigin
from glancetx.image import Image, Pin
from glancetx.leasing import Leasing, Outcome, Standing
from glancetx.origins import Origins

__all__ = ["Guard", "Holding"]

#: How often it is looked for what is to be done.
PASS_SECONDS = 30
#: How long after it was noted last a lease is ended that nobody needs: a child that
#: needs it may be in the making.
RELEASE_SECONDS = 120
#: How long after it was refused a lease is asked for again; one that is held, but was
#: not renewed, not earlier than after the second.
REFUSED_SECONDS = 3600
RENEWAL_SECONDS = 300
#: How long an origin is left alone that did not answer: at first, and at most.
AWAY_SECONDS = 20
AWAY_LONGEST = 900
#: Requests that are under way at once.
AT_ONCE = 4

Key = tuple[str, str]
Job = Callable[[], Awaitable[None]]

_NO_GLANCETX = "it is a Glance, which knows no leases"
_NOT_YET = "it was not asked yet"


@frozen
class Guard:
    """
    Whether an ancestor on another server is safe from being deleted there.

    :ivar problem: a sentence about why it is not, or may not be for long.
    """

    pin: Pin
    standing: Standing
    problem: str | None


class _Patience:
    """Leaves origins alone that do not answer, each time for longer."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failures: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def may_ask(self, origin: str) -> bool:
        return self._until.get(origin, 0) <= self._clock.seconds()

    def failed(self, origin: str) -> None:
        if not self.may_ask(origin):
            return
        delay = min(AWAY_SECONDS * 2 ** self._failures[origin], AWAY_LONGEST)
        self._failures[origin] += 1
        self._until[origin] = self._clock.seconds() + delay * random.uniform(0.75, 1)

    def answered(self, origin: str) -> None:
        self._failures.pop(origin, None)
        self._until.pop(origin, None)


class Holding:
    """
    Takes leases of images elsewhere, and keeps them.

    :param clock: for passes and patience.
    :param counted: told after each pass how many leases stand how.
    """

    log = Logger()

    def __init__(
        self,
        catalogue: Catalogue,
        origins: Origins,
        leasing: Leasing,
        clock: IReactorTime,
        now: Callable[[], datetime],
        counted: Callable[[Mapping[str, int]], None] = lambda counts: None,
    ) -> None:
        self._catalogue = catalogue
        self._origins = origins
        self._leasing = leasing
        self._now = now
        self._counted = counted
        self._patience = _Patience(clock)
        self._passes = LoopingCall(self._pass)
        self._passes.clock = clock
        self._looping: Deferred[LoopingCall] | None = None
        self._passing: Deferred[None] | None = None
        self._started = False

    def start(self) -> None:
        """Begin to take, renew and end leases; the catalogue must be open."""
        self._looping = self._passes.start(PASS_SECONDS, now=True)

    async def stop(self) -> None:
        """End; what is under way is given up, and done after the next start."""
        looping, self._looping = self._looping, None
        if looping is None:
            return
        self._passes.stop()
        if self._passing is not None:
            self._passing.cancel()
        await looping

    async def take(self, pins: Iterable[Pin]) -> None:
        """
        Lease what is elsewhere of a chain, before it is given to a new image.

        Where no lease can be had now, or ever, that is noted, and the image may be
        made: see :meth:`guards`.

        :raises BadValue: (of ``parent_id``) if an image is not there any more, or not
            the same.
        """
        remote = {(pin.origin, pin.image_id): pin for pin in pins if _leasable(pin)}
        if not remote:
            return
        noted = {_key(hold): hold for hold in await self._catalogue.holds()}
        holds = [_wanted(pin, noted) for pin in remote.values()]
        # Before it is asked for: nobody ends what was noted a moment ago.
        await self._catalogue.hold(*holds)
        refused: list[Pin] = []
        away: set[str] = set()

        async def ask(hold: Hold) -> None:
            pin = remote[_key(hold)]
            outcome = await self._ask(hold, away)
            if outcome.standing is Standing.LOST and not _may_be_hidden(pin, outcome):
                refused.append(pin)
            await self._note(hold, outcome)

        await _each(partial(ask, hold) for hold in holds)
        for pin in refused:
            name = self._origins.get(pin.origin or "").name
            raise BadValue(
                "parent_id",
                f"origin {name} has no image {pin.image_id} that may be read",
            )

    async def guards(self, image: Image) -> tuple[Guard, ...]:
        """How it stands with the leases of an image's ancestors elsewhere."""
        remote = [pin for pin in image.parents if pin.origin is not None]
        if not remote:
            return ()
        noted = {_key(hold): hold for hold in await self._catalogue.holds_of(image.id)}
        return tuple(self._guard(pin, noted) for pin in remote)

    def _guard(self, pin: Pin, noted: Mapping[Key, Hold]) -> Guard:
        if not _leasable(pin):
            return Guard(pin, Standing.IMPOSSIBLE, _NO_GLANCETX)
        hold = noted.get((pin.origin or "", pin.image_id))
        if hold is None:
            return Guard(pin, Standing.WANTED, _NOT_YET)
        return Guard(pin, self._standing(hold), hold.problem)

    def _standing(self, hold: Hold) -> Standing:
        standing = Standing(hold.state)
        if standing is Standing.HELD and _until(hold) <= self._now():
            return Standing.EXPIRED
        return standing

    async def _pass(self) -> None:
        """Do what is due. Whatever fails, the next pass must come."""
        self._passing = Deferred.fromCoroutine(self._do_due())
        try:
            await self._passing
        except CancelledError:
            self.log.debug("leases: given up for now")
        except Exception:
            self.log.failure("leases could not be seen to; they will be again soon")
        finally:
            self._passing = None

    async def _do_due(self) -> None:
        needed = {
            (origin, image_id): digest
            for origin, image_id, digest in await self._catalogue.needed_holds()
        }
        noted = {_key(hold): hold for hold in await self._catalogue.holds()}
        standings = Counter(self._standing(hold) for hold in noted.values())
        self._counted({one: standings[one] for one in Standing})
        missing = [
            Hold(*key, digest, Standing.WANTED, problem=_NOT_YET)
            for key, digest in needed.items()
            if key not in noted
        ]
        if missing:
            await self._catalogue.hold(*missing)
        jobs: list[Job] = [partial(self._renew, hold) for hold in missing]
        here = {self._place(key) for key in needed}
        for key, hold in noted.items():
            if key not in needed and self._age(hold) >= RELEASE_SECONDS:
                elsewhere = self._place(key) in here
                jobs.append(partial(self._release, hold, elsewhere))
            elif key in needed and self._is_due(hold):
                jobs.append(partial(self._renew, hold))
        self._started = True
        await _each(jobs)

    def _place(self, key: Key) -> Key:
        """An image, by the name that its server has now."""
        origin, image_id = key
        try:
            return self._origins.get(origin).url, image_id
        except UnknownOrigin:
            return key

    def _age(self, hold: Hold) -> float:
        """Seconds since it was noted."""
        if hold.checked_at is None:
            return float("inf")
        return (self._now() - hold.checked_at).total_seconds()

    def _is_due(self, hold: Hold) -> bool:
        """Whether it is time to ask for a lease, or to renew it."""
        standing = Standing(hold.state)
        if standing is Standing.HELD and hold.problem is None:
            return self._age(hold) >= _half_life(hold)
        if not self._started:
            return True
        if standing is Standing.HELD:
            wait = min(max(_half_life(hold), RENEWAL_SECONDS), REFUSED_SECONDS)
            return self._age(hold) >= wait
        if standing is Standing.WANTED:
            return self._age(hold) >= AWAY_SECONDS
        return self._age(hold) >= REFUSED_SECONDS

    async def _renew(self, hold: Hold) -> None:
        if not self._patience.may_ask(hold.origin):
            return
        claimed = await self._claimed(hold)
        if claimed is not None:
            await self._note(claimed, await self._ask(claimed, set()))

    async def _claimed(self, hold: Hold) -> Hold | None:
        """The hold, if this process is the one to see to it."""
        if hold.checked_at is None:  # it has only just been noted, by this process
            return hold
        return await self._catalogue.claim(hold)

    async def _release(self, hold: Hold, elsewhere: bool) -> None:
        """
        End a lease that is not needed.

        :param elsewhere: the image is, by another name of its server.
        """
        if not self._patience.may_ask(hold.origin):
            return
        claimed = await self._catalogue.claim(hold)
        if claimed is None:
            return
        if not elsewhere and (hold.until or hold.state == Standing.WANTED):
            problem = await self._end(claimed)
            if problem is not None:
                await self._catalogue.hold(evolve(claimed, problem=problem))
                return
        if not await self._catalogue.unhold(claimed):
            await self._note(claimed, await self._ask(claimed, set()))

    async def _end(self, hold: Hold) -> str | None:
        """:returns: why it was not ended."""
        try:
            origin = self._origins.get(hold.origin)
            holder = await self._catalogue.server_id()
            problem = await self._leasing.end(origin, hold.image_id, holder)
        except (OriginUnavailable, UnknownOrigin) as error:
            self._patience.failed(hold.origin)
            return str(error)
        self._patience.answered(hold.origin)
        if problem is None:
            self.log.info(
                "image {image_id} of origin {origin}: not needed here any more, so "
                "the lease was ended",
                image_id=hold.image_id,
                origin=origin.name,
            )
        return problem

    async def _ask(self, hold: Hold, away: set[str]) -> Outcome:
        """
        Ask for a lease.

        :param away: origins that do not answer, and are not asked again meanwhile.
        :returns: also ``WANTED`` if there is no answer.
        """
        problem = _NOT_YET
        if hold.origin not in away:
            try:
                origin = self._origins.get(hold.origin)
                holder = await self._catalogue.server_id()
                outcome = await self._leasing.take(
                    origin, hold.image_id, holder, hold.digest
                )
            except (OriginUnavailable, UnknownOrigin) as error:
                problem = str(error)
                away.add(hold.origin)
                self._patience.failed(hold.origin)
            else:
                self._patience.answered(hold.origin)
                return outcome
        return Outcome(Standing.WANTED, problem)

    async def _note(self, hold: Hold, outcome: Outcome) -> None:
        """Note what became of a wish, and say it if that is news."""
        noted = self._after(hold, outcome)
        await self._catalogue.hold(noted)
        if (noted.state, noted.problem) == (hold.state, hold.problem):
            return
        level, format = _NEWS[Standing(noted.state), noted.problem is None]
        self.log.emit(
            level,
            "image {image_id} of origin {origin}: " + format,
            image_id=hold.image_id,
            origin=hold.origin,
            until=noted.until,
            problem=noted.problem,
        )

    def _after(self, hold: Hold, outcome: Outcome) -> Hold:
        standing, problem = outcome.standing, outcome.reason
        if standing is Standing.HELD:
            until = self._now() + timedelta(seconds=outcome.seconds)
            return evolve(hold, state=standing, until=until, problem=None)
        if standing is Standing.LOST and outcome.hidden and hold.until is None:
            standing = Standing.IMPOSSIBLE  # it never was to be seen
        elif standing is not Standing.LOST and hold.state == Standing.HELD:
            standing = Standing.HELD  # what was given guards, whatever comes
        return evolve(hold, state=standing, problem=problem)


_UNSAFE = "it may be deleted there though images here need it: {problem}"
_NEWS = {
    (Standing.HELD, True): (LogLevel.info, "leased until {until}"),
    (Standing.HELD, False): (
        LogLevel.warn,
        "the lease until {until} cannot be renewed: {problem}",
    ),
    (Standing.WANTED, False): (
        LogLevel.warn,
        f"there is no lease yet; {_UNSAFE}",
    ),
    (Standing.IMPOSSIBLE, False): (LogLevel.warn, f"no lease is given; {_UNSAFE}"),
    (Standing.LOST, False): (
        LogLevel.error,
        "the lease is lost, and images here may be unreadable: {problem}",
    ),
}


async def _each(jobs: Iterable[Job]) -> None:
    """Do jobs, a few at a time. One that fails stops no other; its failure is told."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    workers = [Deferred.fromCoroutine(work()) for _ in range(AT_ONCE)]
    for _, result in await DeferredList(workers, consumeErrors=True):
        if isinstance(result, Failure):
            result.raiseException()


def _leasable(pin: Pin) -> bool:
    """Whether it is on another glancetx."""
    return pin.origin is not None and pin.path == f"/images/{pin.image_id}"


def _wanted(pin: Pin, noted: Mapping[Key, Hold]) -> Hold:
    """The hold of a new child's ancestor, before it is asked for again."""
    key = (pin.origin or "", pin.image_id)
    known = noted.get(key)
    if known is not None and known.state == Standing.HELD:
        return evolve(known, digest=pin.digest)
    until = None if known is None else known.until
    return Hold(*key, pin.digest, Standing.WANTED, until, _NOT_YET)


def _may_be_hidden(pin: Pin, outcome: Outcome) -> bool:
    """
    Whether the image is there for the caller, who saw it a moment ago, but not for
    this server.
    """
    return outcome.hidden and not (pin.anonymous or pin.visibility.is_public)


def _key(hold: Hold) -> Key:
    return hold.origin, hold.image_id


def _half_life(hold: Hold) -> float:
    """Seconds from when it was noted to the middle of what was left of it then."""
    checked = hold.checked_at or _until(hold)
    return (_until(hold) - checked).total_seconds() / 2


def _until(hold: Hold) -> datetime:
    assert hold.until is not None
    return hold.until
