# Copyright glancetx contributors. See LICENSE for details.

"""
Runs the work of one command on the reactor, and turns its end into an exit status.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

from glancetx.client import ImageClient
from glancetx.errors import GlancetxError

from .console import Console
from .failures import FAILED, INTERRUPTED, exit_code, explain
from .settings import Settings, Work

__all__ = ["Session", "attempt", "run"]

RESUMES = "glancetx.streaming"
"""Where the client says that a stream broke and is asked for again."""


@frozen
class Session:
    """What a command works with."""

    reactor: Any
    settings: Settings
    console: Console
    client: ImageClient


async def attempt(reactor: Any, settings: Settings, work: Work) -> int:
    """
    Do a command's work.

    :returns: its exit status; what went wrong was said.
    """
    console = Console(settings)
    try:
        async with ImageClient(reactor, settings.home, settings.trusted) as client:
            await work(Session(reactor, settings, console, client))
    except BrokenPipeError:
        return FAILED  # whoever read our output has gone; nobody is there to tell
    except (GlancetxError, OSError) as error:
        console.say(f"glancetx: {explain(error, settings)}")
        return exit_code(error)
    return 0


def run(settings: Settings, work: Work) -> None:
    """
    Do a command's work on the reactor, and end the process.

    An interrupt cancels the work, which then puts away what it has open.
    """
    codes: list[int] = []

    async def begin(reactor: Any) -> None:
        running = Deferred.fromCoroutine(attempt(reactor, settings, work))
        put_away: Deferred[None] = Deferred()

        def interrupt() -> Deferred[None]:
            running.cancel()
            return put_away

        reactor.addSystemEventTrigger("before", "shutdown", interrupt)
        try:
            codes.append(await running)
        except CancelledError:
            settings.err.write("\nglancetx: interrupted\n")
            codes.append(INTERRUPTED)
        finally:
            put_away.callback(None)

    globalLogBeginner.beginLoggingTo(
        [_observer(Console(settings))], redirectStandardIO=False, discardBuffer=True
    )
    try:
        react(begin)
    except SystemExit as end:
        _drop_unread(settings.out)
        sys.exit(codes[0] if codes else end.code)


def _drop_unread(out: TextIO) -> None:
    """
    Python would try again, as it ends, to write what nobody reads any more, and say so
    (library reference of the module signal, "Note on SIGPIPE").
    """
    try:
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _observer(console: Console) -> FilteringLogObserver:
    """Shows what a person should hear of."""

    @implementer(ILogObserver)
    def show(event: LogEvent) -> None:
        console.say(f"glancetx: {formatEvent(event)}")
        if "log_failure" in event:
            console.say(event["log_failure"].getTraceback())

    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    levels.setLogLevelForNamespace(RESUMES, LogLevel.info)
    return FilteringLogObserver(show, [levels])
