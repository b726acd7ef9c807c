# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.limits}.
"""

from __future__ import annotations

from typing import Any

from attrs import fields
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from glancetx.limits import Limits


class LimitsTests(SynchronousTestCase):
    """``Limits``"""

    def test_defaults(self) -> None:
        """
        Every limit has a default that it would itself accept.
        """
        limits = Limits()
        for attribute in fields(Limits):
            value = getattr(limits, attribute.name)
            self.assertGreaterEqual(value, attribute.metadata["least"])
            Limits(**{attribute.name: value})

    def test_explained(self) -> None:
        """
        Every limit says its unit and what it bounds.
        """
        for attribute in fields(Limits):
            self.assertTrue(attribute.metadata["unit"], attribute.name)
            self.assertTrue(attribute.metadata["help"], attribute.name)

    def test_too_small(self) -> None:
        """
        No limit takes a number below its least.
        """
        for attribute in fields(Limits):
            least = attribute.metadata["least"]
            with self.assertRaises(ValueError) as caught:
                Limits(**{attribute.name: least - 1})
            self.assertEqual(
                str(caught.exception), f"must be a whole number, {least} or more"
            )

    def test_too_large(self) -> None:
        """
        What the system could not take is refused before it is asked.
        """
        for one in fields(Limits):
            largest: dict[str, Any] = {one.name: 2**31 - 1}
            Limits(**largest)
            with self.assertRaises(ValueError) as caught:
                Limits(**{one.name: 2**31})
            self.assertIn("2147483647 or less", str(caught.exception))

    def test_not_whole(self) -> None:
        """
        No limit takes a float, a text or a truth value.
        """
        for name in Limits.names():
            for value in (1.5, "1", True, None):
                self.assertRaises(ValueError, Limits, **{name: value})

    def test_frozen(self) -> None:
        """
        A limit does not change while the server runs.
        """
        with self.assertRaises(FrozenInstanceError):
            Limits().ranges = 17  # type: ignore[misc]

    def test_zero(self) -> None:
        """
        Nought is allowed where it means something: no draining, threads by cores.
        """
        limits = Limits(drain_seconds=0, digest_threads=0)
        self.assertEqual((limits.drain_seconds, limits.digest_threads), (0, 0))
