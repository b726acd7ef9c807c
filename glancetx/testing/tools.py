# Copyright glancetx contributors. See LICENSE for details.

"""
The tools that a store's backend is handed, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgent

from glancetx.interfaces import Tools

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
    :param agent: by which the backend opens connections; the test closes them.
    """
    from twisted.internet import reactor  # noqa: PLC0415

    threads = ThreadPool(0, _THREADS, name=f"store {store}")
    threads.start()
    case.addCleanup(threads.stop)
    return Tools(
        store=store,
        agent=agent,
        threads=threads,
        clock=reactor,
        log=_LOG,
        threaded=partial(deferToThreadPool, reactor, threads),  # type: ignore[arg-type]
    )


def _execute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
    return execute(function, *args, **kwargs)


_LOG = Logger("glancetx.testing")
