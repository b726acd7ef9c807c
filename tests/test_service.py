# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.service} with parts that only keep a journal.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from io import StringIO
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from glancetx import __version__
from glancetx.errors import CatalogueUnavailable, ConfigError
from glancetx.limits import Limits
from glancetx.service import Options, Server, makeService
from glancetx.web.site import Drained
from tests.journal import ENDS, STARTS, Parts, Reactor, ServerCase


class StartTests(ServerCase):
    """``Server``: from start to listening"""

    def test_order(self) -> None:
        """
        A server listens when all else works, the scrub included.
        """
        self.start()
        self.assertEqual(self.journal, [*STARTS, "listen 9292"])

    def test_long_scrub(self) -> None:
        """
        A scrub that takes long, since a store is away, goes on meanwhile.
        """
        outcomes: list[Any] = [[], CatalogueUnavailable("it is away")]
        for outcome in outcomes:
            self.reactor = Reactor(self.journal)
            self.journal.clear()
            leftovers = self.waiting["catalogue.leftovers"] = Deferred()
            self.start()
            self.reactor.advance(9.9)
            self.assertNotIn("listen 9292", self.journal)
            self.reactor.advance(0.1)
            self.assertIn("listen 9292", self.journal)
            if isinstance(outcome, Exception):
                leftovers.errback(outcome)
                self.assertEqual(len(self.flushLoggedErrors(CatalogueUnavailable)), 1)
            else:
                leftovers.callback(outcome)
                self.assertEqual(self.journal[-1], "presence.sweep")
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopped_while_scrubbing(self) -> None:
        """
        The end of a server ends its scrub.
        """
        for seconds in (0, 10):
            self.reactor = Reactor(self.journal)
            self.journal.clear()
            cancelled: list[object] = []
            self.waiting["catalogue.leftovers"] = Deferred(cancelled.append)
            self.start()
            self.reactor.advance(seconds)
            self.successResultOf(self.server.stopService())
            self.assertEqual(len(cancelled), 1)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertEqual("listen 9292" in self.journal, bool(seconds))

    def test_not_before_reactor(self) -> None:
        """
        Nothing begins before the reactor runs, since twistd may still fork.
        """
        self.make().startService()
        self.assertEqual(self.journal, [])

    def test_stopped_before(self) -> None:
        """
        A server that is stopped before the reactor runs never starts.
        """
        server = self.make()
        server.startService()
        self.successResultOf(server.stopService())
        self.reactor.run()
        self.assertEqual(self.journal, [])

    def test_says_where(self) -> None:
        """
        For each endpoint the log has a line with its URL.
        """
        events = self.start(
            self.listen("tcp:9292:interface=127.0.0.1", "tcp:80:interface=127.0.0.1")
        )
        urls = [event["url"] for event in events if event["log_format"].startswith("l")]
        self.assertEqual(len(urls), 2)

    def test_says_what(self) -> None:
        """
        One line has the stores and origins.
        """
        found = [event for event in self.start() if "stores" in event]
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["stores"], "main (filesystem, default)")
        self.assertEqual(found[0]["origins"], "none")

    def test_insecure(self) -> None:
        """
        A server that lets everyone in warns that it does.
        """
        events = self.start(self.listen("tcp:9292", insecure=True))
        warnings = [e for e in events if e["log_level"] is LogLevel.warn]
        self.assertTrue([e for e in warnings if "INSECURE" in e["log_format"]])

    def test_secure(self) -> None:
        """
        A server on loopback does not, even if it might listen elsewhere.
        """
        listen = self.listen("tcp:9292:interface=127.0.0.1", insecure=True)
        formats = [event["log_format"] for event in self.start(listen)]
        self.assertFalse([text for text in formats if "INSECURE" in text])

    def test_descriptors(self) -> None:
        """
        The process may open as many files as the system lets it.
        """
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
        self.start()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (most, most))

    def test_few_descriptors(self) -> None:
        """
        If those are too few for the connections allowed, the log says so.
        """
        limits = Limits(connections=2**31 - 1)
        events = self.start(evolve(self.config, limits=limits))
        warned = [event for event in events if "wanted" in event]
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertEqual(bool(warned), most != resource.RLIM_INFINITY)


class FailureTests(ServerCase):
    """``Server``: starts that fail"""

    def test_configuration(self) -> None:
        """
        Parts that cannot be made end the process, with the reason in a line.
        """
        error = ConfigError("f.toml", "stores.main.path", "cannot be written to")
        self.failing["compose"] = error
        self.assertEqual(self.reason(self.start()), str(error))
        self.assertEqual((self.journal, self.failed), ([], ["failed"]))

    def test_half_way(self) -> None:
        """
        What was started before a part that fails is ended, in reverse order.
        """
        error = CatalogueUnavailable("the database is newer")
        for name in ("catalogue.start", "presence.start", "catalogue.leftovers"):
            self.journal.clear()
            self.reactor = Reactor(self.journal)
            self.failing = {name: error}
            self.assertEqual(self.reason(self.start()), str(error))
            self.assertFalse([line for line in self.journal if "listen" in line])
            self.assert_balanced()

    def test_taken_port(self) -> None:
        """
        A port that is taken is named, and the ports before it are closed.
        """
        self.reactor.taken = {81}
        config = self.listen("tcp:80:interface=127.0.0.1", "tcp:81:interface=127.0.0.1")
        self.assertEqual(
            self.reason(self.start(config)),
            "server.listen: 127.0.0.1, port 81: Address already in use; "
            "is another server running there?",
        )
        self.assertIn("close 80", self.journal)
        self.assert_balanced()

    def test_log_file(self) -> None:
        """
        An access log that cannot be written is named.
        """
        self.failing["log.open"] = PermissionError(
            13, "Permission denied", "/var/a.log"
        )
        self.assertEqual(
            self.reason(self.start()),
            "the embedded defaults: server.access_log: /var/a.log: Permission denied",
        )

    def test_endpoint_gone(self) -> None:
        """
        An endpoint that can no longer be made is named with the file's key.
        """
        reason = self.reason(self.start(self.listen("systemd:domain=UNIX:index=9")))
        self.assertIn("server.listen: systemd:domain=UNIX:index=9", reason)

    def test_mistake(self) -> None:
        """
        An error that no configuration explains is logged with its traceback.
        """
        self.failing["catalogue.start"] = ZeroDivisionError()
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.failed, ["failed"])

    def test_stopped_meanwhile(self) -> None:
        """
        A server that is stopped while it starts ends what it has, and has not failed.
        """
        self.waiting["catalogue.start"] = Deferred()
        self.start()
        self.successResultOf(self.server.stopService())
        self.assertEqual(self.failed, [])
        self.assertNotIn("presence.start", self.journal)
        self.assert_balanced()

    def assert_balanced(self) -> None:
        """Everything that was started was stopped."""
        started = {n.split(".")[0] for n in self.journal if n.endswith("start")}
        stopped = {n.split(".")[0] for n in self.journal if n.endswith("stop")}
        self.assertLessEqual(started, stopped)


class StopTests(ServerCase):
    """``Server``: from the first signal to the end"""

    def test_order(self) -> None:
        """
        First no one new is let in, then transfers end, then what they need.
        """
        self.start()
        self.journal.clear()
        self.successResultOf(self.server.stopService())
        self.assertEqual(self.journal, ["close 9292", *ENDS])

    def test_twice(self) -> None:
        """
        A server that was stopped has nothing left to stop.
        """
        self.start()
        self.successResultOf(self.server.stopService())
        self.journal.clear()
        self.successResultOf(self.server.stopService())
        self.assertEqual(self.journal, [])

    def test_drains(self) -> None:
        """
        Nothing that a transfer needs ends before the transfer.
        """
        self.start()
        self.parts.site.transfers.add("one")
        self.journal.clear()
        stopping = self.server.stopService()
        self.assertNoResult(stopping)
        self.assertEqual(self.journal, ["close 9292", "drain 600"])
        self.parts.site.drained.callback(Drained(1, 0))
        self.successResultOf(stopping)
        self.assertEqual(self.journal, ["close 9292", *ENDS])

    def test_drain_limit(self) -> None:
        """
        The configuration says how long transfers may take to end.
        """
        self.start(evolve(self.config, limits=Limits(drain_seconds=7)))
        self.successResultOf(self.server.stopService())
        self.assertIn("drain 7", self.journal)

    def test_second_signal(self) -> None:
        """
        A second signal while transfers end cuts them; afterwards it has its old effect.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.parts = Parts(self)
            self.reactor = Reactor(self.journal)
            before = signal.getsignal(number)
            self.start()
            self.parts.site.transfers.add("one")
            stopping = self.server.stopService()
            self.assertNoResult(stopping)
            os.kill(os.getpid(), number)
            self.successResultOf(stopping)
            self.assertIn("drain 0", self.journal)
            self.assertEqual(signal.getsignal(number), before)

    def test_signal_while_ending(self) -> None:
        """
        A second signal when nothing runs any more changes nothing.
        """
        self.waiting["catalogue.stop"] = Deferred()
        self.start()
        stopping = self.server.stopService()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertNoResult(stopping)
        self.waiting["catalogue.stop"].callback(None)
        self.successResultOf(stopping)

    def test_part_fails(self) -> None:
        """
        A part that does not end well keeps no other from ending.
        """
        self.failing["outbound.stop"] = ZeroDivisionError()
        self.start()
        self.journal.clear()
        self.successResultOf(self.server.stopService())
        self.assertEqual(self.journal, ["close 9292", *ENDS])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


HANGUP = ["log.reopen", "identity.reload", "signatures.reload"]


class HangupTests(ServerCase):
    """``Server``: SIGHUP"""

    def test_reopens(self) -> None:
        """
        SIGHUP re-opens the access log, and has tokens and keys read again, as long as
        the server runs.
        """
        before = signal.getsignal(signal.SIGHUP)
        self.start()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.journal[-3:], HANGUP)
        self.successResultOf(self.server.stopService())
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)

    def test_cannot(self) -> None:
        """
        What cannot be re-opened or read is said, and does not keep the rest from it.
        """
        self.start()
        self.failing["log.reopen"] = PermissionError(13, "Permission denied", "/a.log")
        self.failing["identity.reload"] = ConfigError("tokens.toml", "tokens", "x")
        with capturedLogs() as events:
            os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual([e["log_level"] for e in events], [LogLevel.error] * 2)
        self.assertEqual(self.journal[-3:], HANGUP)


class OptionsTests(SynchronousTestCase):
    """``Options`` and ``makeService``"""

    def test_defaults(self) -> None:
        """
        Without options there is no configuration file.
        """
        options = Options()
        options.parseOptions([])
        self.assertIsNone(options["config"])

    def test_help(self) -> None:
        """
        The help has the option and an example.
        """
        text = str(Options())
        self.assertIn("--config", text)
        self.assertIn("twistd -n glancetx --config", " ".join(text.split()))

    def test_version(self) -> None:
        """
        The version is glancetx's own.
        """
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertRaises(SystemExit, Options().parseOptions, ["--version"])
        self.assertEqual(output.getvalue(), f"glancetx {__version__}\n")

    def test_unknown(self) -> None:
        """
        An option that does not exist is refused.
        """
        with self.assertRaises(usage.UsageError):
            Options().parseOptions(["--port", "80"])

    def test_wrong_configuration(self) -> None:
        """
        A configuration that cannot be used ends the process with a line.
        """
        self.addCleanup(os.umask, os.umask(0))
        options = Options()
        options.parseOptions(["--config", "/none.toml"])
        with self.assertRaises(SystemExit) as caught:
            makeService(options)
        self.assertEqual(
            caught.exception.code,
            "glancetx: /none.toml: cannot be read: No such file or directory",
        )

    def test_private(self) -> None:
        """
        Files of the process are private.
        """
        self.addCleanup(os.umask, os.umask(0))
        options = Options()
        options.parseOptions([])
        self.assertIsInstance(makeService(options), Server)
        self.assertEqual(os.umask(0), 0o077)
