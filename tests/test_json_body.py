# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.json_body`.
"""

from __future__ import annotations

import json

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IBodyProducer
from zope.interface.verify import verifyObject

from glancetx.json_body import JsonBody


class JsonBodyTests(SynchronousTestCase):
    """``JsonBody``"""

    def test_written(self) -> None:
        """
        A document is written as a whole, in as many bytes as were announced.
        """
        document = {"url": "http://zone.invalid/ö", "seconds": 60}
        body = JsonBody(document)
        verifyObject(IBodyProducer, body)
        transport = StringTransport()
        self.successResultOf(body.startProducing(transport))
        self.assertEqual(len(transport.value()), body.length)
        self.assertEqual(json.loads(transport.value()), document)
