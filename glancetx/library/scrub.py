# Copyright glancetx contributors. See LICENSE for details.

"""
Removes what killed processes, failed uploads and deletions left in the stores.
"""

from __future__ import annotations

from attrs import Factory, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from glancetx.catalogue import Catalogue, Intent, Process
from glancetx.errors import CatalogueUnavailable
from glancetx.image import Location
from glancetx.stores import Stores

from .presence import Presence

__all__ = ["Failed", "Scrubbed", "scrub"]

log = Logger()


@frozen
class Failed:
    """Bytes that could not be removed now; the next scrub tries again."""

    location: Location
    reason: str


@frozen
class Scrubbed:
    """
    What a scrub did.

    :ivar removed: where nothing lies any more.
    :ivar kept: where a living process writes.
    :ivar doubted: where a process wrote whose heartbeat is old, and not yet watched.
    :ivar failed: where something may still lie, and why.
    """

    removed: list[Location] = Factory(list)
    kept: list[Location] = Factory(list)
    doubted: list[Location] = Factory(list)
    failed: list[Failed] = Factory(list)


async def scrub(
    catalogue: Catalogue, stores: Stores, presence: Presence, patient: bool = True
) -> Scrubbed:
    """
    Remove the bytes that no image has and no living process writes.

    First the upload is condemned, so that it cannot be committed; then the bytes go;
    then the intent. A scrub that is killed in between is repeated by the next, and
    scrubs that run at once do each other no harm.

    :param patient: watch the heartbeats of processes elsewhere that seem dead; else
        what they wrote is left for a scrub that does.
    :raises CatalogueUnavailable: if the catalogue cannot be read.
    """
    # In this order: whoever has an intent by now is known, or has left it to nobody.
    intents = await catalogue.leftovers()
    processes = await catalogue.processes()
    now = presence.now()
    dead = {process.id for process in processes if presence.is_dead(process, now)}
    writers = {intent.process_id for intent in intents}
    doubted = [
        process
        for process in processes
        if process.id in dead & writers and not presence.is_seen(process)
    ]
    if doubted and patient:
        dead -= {process.id for process in doubted}
        dead |= await presence.watch(doubted)
        doubted = []
    doubts = {process.id for process in doubted}
    living = {process.id for process in processes} - dead
    result = Scrubbed()
    for intent in intents:
        if intent.process_id in living:
            result.kept.append(intent.location)
        elif intent.process_id in doubts:
            result.doubted.append(intent.location)
        else:
            await _remove(catalogue, stores, intent, result)
    await _bury(catalogue, presence, processes, dead)
    return result


async def _remove(
    catalogue: Catalogue, stores: Stores, intent: Intent, result: Scrubbed
) -> None:
    location = intent.location
    try:
        if not await catalogue.condemn(intent):
            return
        await stores.get(location.store).remove(location.key)
        await catalogue.forget(location)
    except CancelledError:
        raise
    except Exception as error:
        log.failure(
            "store {store}: {key} could not be removed",
            store=location.store,
            key=location.key,
        )
        result.failed.append(Failed(location, str(error) or type(error).__name__))
    else:
        result.removed.append(location)


async def _bury(
    catalogue: Catalogue, presence: Presence, processes: list[Process], dead: set[str]
) -> None:
    """Forget the dead who have no intents left, and their lock files."""
    try:
        for process in processes:
            if process.id in dead:
                await catalogue.bury(process)
        presence.sweep(process.id for process in await catalogue.processes())
    except (CatalogueUnavailable, OSError):
        log.failure("dead processes could not be forgotten; the next scrub tries again")
