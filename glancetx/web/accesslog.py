# Copyright glancetx contributors. See LICENSE for details.

"""
One line for each answer: who asked for what, what it got, and whether it was cut.

Queries are left out, since they may be signatures; so are all headers but the
client's name for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from io import RawIOBase

from attrs import frozen
from twisted.logger import Logger

from glancetx.times import utcnow

__all__ = ["AccessLog", "Entry"]

UNSAFE = re.compile(rb'[^\x20-\x7e]|["\\]')


@frozen
class Entry:
    """
    What is written of one answer.

    :ivar path: without its query; may be anything that a client sent.
    :ivar sent: bytes of its body that were handed to the transport.
    :ivar seconds: from the end of the headers to the end of the answer.
    :ivar cut: the connection ended before the answer did.
    """

    peer: str
    method: bytes
    path: bytes
    protocol: bytes
    code: int
    sent: int
    agent: bytes
    request_id: bytes
    seconds: float
    cut: bool

    def line(self, now: datetime) -> str:
        """
        The combined format of Apache, and behind it the request's id, its seconds
        and ``complete`` or ``cut``.
        """
        request = " ".join(map(_escape, (self.method, self.path, self.protocol)))
        return (
            f"{self.peer} - - [{now:%d/%b/%Y:%H:%M:%S %z}] "
            f'"{request}" {self.code} {self.sent} "-" "{_escape(self.agent)}" '
            f"{_escape(self.request_id)} {self.seconds:.3f} "
            f"{'cut' if self.cut else 'complete'}"
        )


def _escape(text: bytes) -> str:
    """Only what is printable and cannot end a field, the rest as ``\\xNN``."""
    safe = UNSAFE.sub(lambda match: b"\\x%02x" % match[0][0], text)
    return safe.decode("ascii")


class AccessLog:
    """
    Writes entries to a file, or to ``twisted.logger`` if it has none.
    """

    log = Logger()

    def __init__(self, path: str | None, now: Callable[[], datetime] = utcnow) -> None:
        """:param path: of a file to append to, made if it is not there."""
        self._path = path
        self._now = now
        self._file: RawIOBase | None = None
        self._failing = False

    def open(self) -> None:
        """
        Begin now, rather than at the first entry. Idempotent.

        :raises OSError: if the file cannot be written.
        """
        if self._path is not None and self._file is None:
            # Unbuffered, so that a full disk leaves nothing behind for later.
            self._file = open(self._path, "ab", buffering=0)

    def close(self) -> None:
        """Give the file back. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def reopen(self) -> None:
        """
        Go on in a new file of the same name: the old one was moved away.

        :raises OSError: if the file cannot be written.
        """
        self.close()
        self.open()

    def write(self, entry: Entry) -> None:
        """
        Write one entry. A log that cannot be written stops no answer; that is said
        once, until it can be written again.
        """
        if self._path is None:
            self._emit(entry)
            return
        try:
            self.open()
            assert self._file is not None
            self._file.write(entry.line(self._now()).encode("ascii") + b"\n")
            self._failing = False
        except OSError as error:
            if not self._failing:
                self.log.error(
                    "access log {path}: {error}", path=self._path, error=str(error)
                )
            self._failing = True

    def _emit(self, entry: Entry) -> None:
        self.log.info(
            "{peer} {method} {path} {code} {sent} bytes {seconds:.3f} s {request_id} "
            "{outcome}",
            peer=entry.peer,
            method=_escape(entry.method),
            path=_escape(entry.path),
            code=entry.code,
            sent=entry.sent,
            seconds=entry.seconds,
            request_id=_escape(entry.request_id),
            outcome="cut" if entry.cut else "complete",
        )
