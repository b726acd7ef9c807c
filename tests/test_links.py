# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.links`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import NoSuchImage
from glancetx.web.links import checked_id

ID = "0b1f3c52-8c1e-4f4e-9a53-0c2f4de6a001"


class IdTests(SynchronousTestCase):
    """``checked_id``"""

    def test_id(self) -> None:
        """
        What can be the id of an image passes as it is.
        """
        self.assertEqual(checked_id(ID), ID)

    def test_none(self) -> None:
        """
        No image has any other id.
        """
        for text in ("", "x", ID.upper(), ID + " ", ID.replace("-", "")):
            self.assertRaises(NoSuchImage, checked_id, text)
