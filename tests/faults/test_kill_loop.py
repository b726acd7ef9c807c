# Copyright glancetx contributors. See LICENSE for details.

"""
Servers that are killed: nothing wrong, nothing lost, nothing left.
"""

from __future__ import annotations

import random

from .killing import KillCase

KILLS = 20
BUGGY_KILLS = 8
SEED = 20260


class KillLoopTests(KillCase):
    """``SIGKILL`` amid uploads, with a neighbour on the same catalogue and store."""

    async def test_kills(self) -> None:
        """
        After each of 20 kills at random moments, and the scrub of the next start,
        every active image has the bytes that were sent, whatever was acknowledged is
        active, no file is there that no image has, and the neighbour, who was in the
        middle of an upload, brings it to its end.
        """
        await self.start_both()
        dice = random.Random(SEED)
        for number in range(KILLS):
            self.assertEqual(await self.kill_once(dice), [], f"after kill {number}")
        self.assertGreater(len(self.journal.acknowledged), 2 * KILLS)
        self.assertGreater(self.scrubbed, KILLS // 4)

    async def check_found(self, bug: str, kind: str) -> None:
        """The same loop finds this kind of damage with a planted bug."""
        await self.start_both(bug)
        dice = random.Random(SEED)
        for _ in range(BUGGY_KILLS):
            damage = await self.kill_once(dice)
            if any(line.startswith(kind) for line in damage):
                return
        self.fail(f"not found: {kind}")

    async def test_active_too_early(self) -> None:
        """
        The loop sees an image that becomes active before its bytes are durable.
        """
        await self.check_found("active_too_early", "without bytes")

    async def test_acknowledged_too_early(self) -> None:
        """
        It sees an acknowledgement that comes before the image is active.
        """
        await self.check_found("acknowledged_too_early", "lost")

    async def test_leftovers_forgotten(self) -> None:
        """
        It sees bytes that nobody removes.
        """
        await self.check_found("leftovers_forgotten", "orphan")

    async def test_neighbours_taken_for_dead(self) -> None:
        """
        It sees a neighbour whose upload is removed.
        """
        await self.check_found("neighbours_taken_for_dead", "harmed")
