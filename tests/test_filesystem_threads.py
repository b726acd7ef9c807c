# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for how ``glancetx.backends.filesystem`` uses threads: one call after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from glancetx.backends.filesystem import FilesystemBackend
from glancetx.errors import ReaderGone
from glancetx.interfaces import IPieceWriter
from glancetx.testing import RecordingConsumer, inline_tools

KEY = "ab" + "0" * 30


class Threads:
    """Threads that begin at once, and get on when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def call(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.running.append((partial(function, *args), result))
        return result

    def end_one(self) -> None:
        """Let the call that began first come to its end."""
        function, result = self.running.pop(0)
        try:
            value = function()
        except Exception as error:
            result.errback(error)
        else:
            result.callback(value)

    def end_all(self) -> None:
        """Let all calls, and those that follow from them, come to their end."""
        while self.running:
            self.end_one()


class ThreadsTests(SynchronousTestCase):
    """A descriptor is used by one thread at a time, and never after its end"""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.threads = Threads()
        tools = evolve(inline_tools(), threaded=self.threads.call)
        self.backend = FilesystemBackend(self.path, tools)
        self.addCleanup(self.check_closed)

    def check_closed(self) -> None:
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        opened = [os.readlink(link) for link in links if os.path.exists(link)]
        self.assertEqual([path for path in opened if path.startswith(self.path)], [])

    def create(self) -> IPieceWriter:
        creating = self.backend.create(KEY, None)
        self.threads.end_all()
        return self.successResultOf(creating)

    def keep(self, data: bytes) -> None:
        writer = self.create()
        for result in (writer.write(data), writer.finish()):
            self.threads.end_all()
            self.successResultOf(result)

    def test_one_call_for_each_write(self) -> None:
        """
        A write costs one call in a thread.
        """
        writer = self.create()
        writing = writer.write(bytes(1000))
        self.threads.end_one()
        self.successResultOf(writing)
        writer.abort()
        self.threads.end_all()

    def test_abort_waits(self) -> None:
        """
        The file of a writer that is aborted is closed when its thread is done with it.
        """
        writer = self.create()
        writing, aborting = writer.write(b"abc"), writer.abort()
        self.assertEqual(len(self.threads.running), 1)
        self.threads.end_one()
        self.successResultOf(writing)
        self.assertNoResult(aborting)
        self.threads.end_all()
        self.successResultOf(aborting)

    def test_abort_waits_for_a_cancelled_write(self) -> None:
        """
        Neither is it closed under a thread whose result nobody waits for any more.
        """
        writer = self.create()
        self.check_cancelled(writer, writer.write(b"abc"))

    def test_abort_waits_for_a_cancelled_finish(self) -> None:
        """
        A finish that goes on after its cancel does not bring back what was aborted.
        """
        writer = self.create()
        self.check_cancelled(writer, writer.finish())
        self.assertEqual(os.listdir(os.path.join(self.path, "ab")), [])

    def test_cancelled_create(self) -> None:
        """
        A file that is made after the cancel is removed before the cancel is told.
        """
        creating = self.backend.create(KEY, None)
        creating.cancel()
        self.assertNoResult(creating)
        self.threads.end_all()
        self.failureResultOf(creating, CancelledError)
        self.assertEqual(os.listdir(os.path.join(self.path, "tmp")), [])

    def test_cancelled_create_that_fails(self) -> None:
        """
        A file that could not be made after the cancel needs no removal.
        """
        os.rmdir(os.path.join(self.path, "tmp"))
        creating = self.backend.create(KEY, None)
        creating.cancel()
        self.threads.end_all()
        self.failureResultOf(creating, CancelledError)

    def test_cancelled_open(self) -> None:
        """
        A descriptor that comes after the cancel is closed.
        """
        self.keep(b"abc")
        opening = self.backend.piece(KEY, 3).open()
        opening.cancel()
        self.threads.end_all()
        self.failureResultOf(opening, CancelledError)

    def test_cancelled_read(self) -> None:
        """
        A source is closed when the thread that reads from it is done, and then told.
        """
        self.keep(b"abc")
        consumer = RecordingConsumer()
        reading = self.backend.piece(KEY, 3).produce(consumer, 0, 3)
        self.threads.end_one()
        reading.cancel()
        self.assertEqual(len(self.threads.running), 1)
        self.threads.end_one()
        self.assertNoResult(reading)
        self.threads.end_all()
        self.failureResultOf(reading, CancelledError)
        self.assertEqual((consumer.writes, consumer.broken), ([], []))

    def test_cancelled_twice(self) -> None:
        """
        Cancelling a read again does not keep its source from being closed.
        """
        self.keep(b"abc")
        reading = self.backend.piece(KEY, 3).produce(RecordingConsumer(), 0, 3)
        self.threads.end_one()
        reading.cancel()
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.threads.end_all()

    def test_left_while_it_opens(self) -> None:
        """
        A reader that leaves while its file is opened leaves no descriptor.
        """
        self.keep(b"abc")
        consumer = RecordingConsumer()
        reading = self.backend.piece(KEY, 3).produce(consumer, 0, 3)
        consumer.leave()
        self.threads.end_all()
        self.failureResultOf(reading, ReaderGone)

    def check_cancelled(self, writer: IPieceWriter, running: Deferred[None]) -> None:
        running.cancel()
        self.failureResultOf(running, CancelledError)
        aborting = writer.abort()
        self.assertEqual(len(self.threads.running), 1)
        self.threads.end_one()
        self.assertNoResult(aborting)
        self.threads.end_all()
        self.successResultOf(aborting)
        self.assertEqual(os.listdir(os.path.join(self.path, "tmp")), [])
