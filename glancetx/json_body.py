# Copyright glancetx contributors. See LICENSE for details.

"""
A JSON document as the body of a request to another server.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["JsonBody"]


@implementer(IBodyProducer)
class JsonBody:
    """
    Written at once: for documents that are small.

    :ivar length: as ``IBodyProducer`` has it.
    """

    def __init__(self, document: Any) -> None:
        self._data = json.dumps(document).encode("ascii")
        self.length = len(self._data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass
