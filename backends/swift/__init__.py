# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces as objects of OpenStack's Swift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent
from zope.interface import implementer

from glancetx.errors import ConfigError
from glancetx.interfaces import IBackendFactory, Tools

from .account import Account
from .backend import SwiftBackend
from .calls import Calls
from .options import OPTIONS, Settings, read_options

__all__ = ["SwiftFactory", "swift"]


@implementer(IBackendFactory)
class SwiftFactory:
    """Makes stores in Swift."""

    name = "swift"
    interface_version = 1
    options = OPTIONS

    def make(self, options: Mapping[str, Any], tools: Tools) -> SwiftBackend:
        """Connects to nothing; that happens as soon as the reactor runs."""
        settings = read_options(options, tools.store)
        agent = _agent(settings, tools)
        account = Account(settings, agent, tools)
        backend = SwiftBackend(Calls(account, agent, tools), settings, tools)
        tools.clock.callLater(0, lambda: Deferred.fromCoroutine(backend.start()))
        return backend


def _agent(settings: Settings, tools: Tools) -> IAgent:
    """:raises ConfigError: if there is none, or none to be trusted."""
    if tools.agent is None:
        raise ConfigError(tools.store, "backend", "no connections can be opened here")
    if settings.ca_file is None:
        return tools.agent
    if tools.trusting is None:
        raise ConfigError(tools.store, "ca_file", "cannot be used here")
    try:
        return tools.trusting(settings.ca_file)
    except ConfigError as error:
        raise ConfigError(tools.store, "ca_file", error.problem) from error


swift = SwiftFactory()
