# Copyright glancetx contributors. See LICENSE for details.

"""
The tools that a store's backend is handed, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgent

from glancetx.interfaces import Tools
from glancetx.limits import Limits
from glancetx.outbound import Outbound, Peer

__all__ = ["inline_tools", "threaded_tools"]

_THREADS = 4


def inline_tools(store: str = "testing") -> Tools:
    """
    Tools that call blocking functions on the spot, with a clock that stands still.

    :param store: the name of the store, as in the configuration.
    """
    return Tools(
        store=store,
        agent=None,
        threads=ThreadPool(0, 0),
        clock=Clock(),
        log=_LOG,
        threaded=_execute,
    )


def threaded_tools(
    case: SynchronousTestCase, store: str = "testing", agent: IAgent | None = None
) -> Tools:
    """
    Tools with the reactor and four threads, which end with the test.

    :param case: the test; it must wait for what it starts.
    :param store: the name of the store, as in the configuration.
    :param agent: by which the backend opens connections, if it is not to be one as
        servers have it, whose connections are closed at the end of the test.
    """
    from twisted.internet import reactor  # noqa: PLC0415

    outbound = Outbound(reactor, Limits())
    case.addCleanup(lambda: Deferred.fromCoroutine(_close(outbound)))

    threads = ThreadPool(0, _THREADS, name=f"store {store}")
    threads.start()
    case.addCleanup(threads.stop)
    return Tools(
        store=store,
        agent=agent or outbound.agent(Peer(store)),
        threads=threads,
        clock=reactor,
        log=_LOG,
        threaded=partial(deferToThreadPool, reactor, threads),  # type: ignore[arg-type]
        trusting=lambda ca_file: outbound.agent(Peer(store, ca_file=ca_file)),
    )


async def _close(outbound: Outbound) -> None:
    """Close connections, those too that become free in this turn of the reactor."""
    from twisted.internet import reactor  # noqa: PLC0415

    await deferLater(reactor, 0)
    await outbound.stop()


def _execute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
    return execute(function, *args, **kwargs)


_LOG = Logger("glancetx.testing")
