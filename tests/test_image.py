# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.image` and :mod:`glancetx.chain`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from glancetx.chain import chain_of, pin_of
from glancetx.errors import WrongState
from glancetx.image import Digest, Image, Location, Pin, Status, Visibility

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
DIGEST = Digest("sha256", "1" * 64)
LOCATION = Location("main", "0" * 32)

QUEUED = Image(
    id="11111111-1111-4111-8111-111111111111",
    status=Status.QUEUED,
    visibility=Visibility.PRIVATE,
    created_at=NOON,
    updated_at=NOON,
    name="golden",
    disk_format="raw",
)
SAVING = QUEUED.saving(NOON)
ACTIVE = SAVING.stored(LATER, LOCATION, 10, DIGEST, "2" * 32, 20)
PARENT = Pin(
    origin="http://global.example.com",
    image_id="22222222-2222-4222-8222-222222222222",
    path="/images/22222222-2222-4222-8222-222222222222",
    name=None,
    disk_format="qcow2",
    size=7,
    virtual_size=100,
    checksum=None,
    digest=Digest("sha512", "3" * 128),
)


class StateTests(SynchronousTestCase):
    """``Image``: its states"""

    def test_saving(self) -> None:
        """
        A queued image is saving while its bytes arrive.
        """
        saving = QUEUED.saving(LATER)
        self.assertEqual(saving, evolve(QUEUED, status=Status.SAVING, updated_at=LATER))

    def test_abandoned(self) -> None:
        """
        If they do not, it is as it was.
        """
        self.assertEqual(SAVING.abandoned(NOON), QUEUED)

    def test_stored(self) -> None:
        """
        If they do, it is active, and everything is known of them.
        """
        self.assertEqual(
            ACTIVE,
            evolve(
                QUEUED,
                status=Status.ACTIVE,
                updated_at=LATER,
                stored_at=LATER,
                location=LOCATION,
                size=10,
                virtual_size=20,
                digest=DIGEST,
                checksum="2" * 32,
            ),
        )

    def test_virtual_size(self) -> None:
        """
        How large its disk is is known only if the bytes have told it: those of a raw
        disk in an archive do not.
        """
        saving = evolve(SAVING, container_format="ova")
        stored = saving.stored(LATER, LOCATION, 10, DIGEST, None)
        self.assertIsNone(stored.virtual_size)

    def test_unlawful(self) -> None:
        """
        Nothing leads out of active, and no step can be left out or done twice.
        """
        changes = {
            Status.QUEUED: lambda image: image.saving(NOON),
            Status.SAVING: lambda image: image.abandoned(NOON),
        }
        for image in (QUEUED, SAVING, ACTIVE):
            for needed, change in changes.items():
                if image.status is not needed:
                    with self.assertRaises(WrongState) as caught:
                        change(image)
                    self.assertEqual(
                        str(caught.exception),
                        f"image {image.id} is {image.status}, not {needed}",
                    )
            if image is not SAVING:
                with self.assertRaises(WrongState):
                    image.stored(NOON, LOCATION, 10, DIGEST, None)

    def test_frozen(self) -> None:
        """
        A record never changes in place.
        """
        with self.assertRaises(FrozenInstanceError):
            ACTIVE.size = 11  # type: ignore[misc]

    def test_public(self) -> None:
        """
        Anyone may have what is public.
        """
        self.assertTrue(Visibility.PUBLIC.is_public)
        self.assertFalse(Visibility.PRIVATE.is_public)


class ChainTests(SynchronousTestCase):
    """``pin_of`` and ``chain_of``"""

    def test_pin(self) -> None:
        """
        A child knows of its parent here what is needed to prove and to show it.
        """
        self.assertEqual(
            pin_of(ACTIVE),
            Pin(
                origin=None,
                image_id=ACTIVE.id,
                path="",
                name="golden",
                disk_format="raw",
                size=10,
                virtual_size=20,
                checksum="2" * 32,
                digest=DIGEST,
                visibility=ACTIVE.visibility,
                anonymous=False,
            ),
        )

    def test_chain(self) -> None:
        """
        A chain is the image itself, then its parents.
        """
        self.assertEqual(chain_of(ACTIVE), (pin_of(ACTIVE),))
        child = evolve(ACTIVE, parents=(PARENT,))
        self.assertEqual(chain_of(child), (pin_of(child), PARENT))

    def test_no_bytes(self) -> None:
        """
        An image without bytes has no chain.
        """
        for image in (QUEUED, SAVING):
            self.assertRaises(WrongState, pin_of, image)
            self.assertRaises(WrongState, chain_of, image)
