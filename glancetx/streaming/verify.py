# Copyright glancetx contributors. See LICENSE for details.

"""
Proves bytes while they pass: the last chunk waits until the digest is right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from attrs import frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from glancetx.errors import PieceCorrupt
from glancetx.image import Digest

from .digest import Digests, Hashing

__all__ = ["Check", "Verifier"]


@frozen
class Check:
    """The bytes ``[start, stop)`` have this digest."""

    start: int
    stop: int
    digest: Digest


class Verifier:
    """
    Passes consecutive bytes on and proves those that a check covers.

    :ivar held: set by the owner while the reader has enough; call
        :meth:`pass_on` after it was cleared.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], object],
        start: int,
        checks: Iterable[Check],
        digests: Digests,
        changed: Callable[[], object],
    ) -> None:
        """
        :param name: what is read, for errors.
        :param write: takes the bytes that may pass.
        :param start: the offset of the first byte.
        :param checks: in order, without overlap, none beginning before ``start``.
        :param changed: called when :attr:`busy` may have become false.
        """
        self.held = False
        self._name = name
        self._write = write
        self._offset = start
        self._checks = deque(checks)
        self._digests = digests
        self._changed = changed
        self._hashing: Hashing | None = None
        self._pending: deque[bytes] = deque()
        self._proved: bytes | None = None
        self._waiting_for_digest = False
        self._lagging = False
        self.failure: Failure | None = None
        self._drained: Deferred[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the source should wait."""
        return bool(self._pending) or self._waiting_for_digest or self._lagging

    def take(self, data: bytes) -> None:
        """The next bytes from the source."""
        self._pending.append(data)
        self.pass_on()

    def pass_on(self) -> None:
        """
        Write whatever may pass now. If that fails the chunk is lost, so nothing may
        follow it.
        """
        try:
            while self._may_pass():
                if self._proved is not None:
                    proved, self._proved = self._proved, None
                    self._write(proved)
                else:
                    self._pass(self._pending.popleft())
        except Exception:
            self._failed(Failure())
        else:
            self._report()

    def drained(self) -> Deferred[None]:
        """
        Fires when everything that was taken has passed.

        :raises PieceCorrupt: (as a failure) as soon as a digest is wrong, drained
            or not; so does it fail if a chunk could not be written.
        """
        self._drained = drained = Deferred[None]()
        self._report()
        return drained

    def _may_pass(self) -> bool:
        if self.held or self._waiting_for_digest or self.failure is not None:
            return False
        return self._proved is not None or bool(self._pending)

    def _pass(self, data: bytes) -> None:
        if not self._checks:
            self._write(data)
            return
        check = self._checks[0]
        covered = self._offset >= check.start
        edge = (check.stop if covered else check.start) - self._offset
        if len(data) > edge:
            self._pending.appendleft(data[edge:])
            data = data[:edge]
        self._offset += len(data)
        if not covered:
            self._write(data)
        else:
            self._hash(data, check)

    def _hash(self, data: bytes, check: Check) -> None:
        if self._hashing is None:
            self._hashing = self._digests.start(check.digest.algorithm)
        self._hashing.update(data)
        if self._offset == check.stop:
            self._waiting_for_digest = True
            proof = ensureDeferred(self._prove(check, self._hashing, data))
            proof.addErrback(self._failed)
            return
        self._write(data)
        if self._hashing.lagging and not self._lagging:
            self._lagging = True
            ensureDeferred(self._catch_up(self._hashing)).addErrback(self._failed)

    async def _prove(self, check: Check, hashing: Hashing, last: bytes) -> None:
        found = (await hashing.finish())[check.digest.algorithm]
        if found != check.digest.value:
            raise PieceCorrupt(
                self._name,
                f"the {check.digest.algorithm} of bytes {check.start} to {check.stop} "
                f"is {found}, not {check.digest.value}",
            )
        self._checks.popleft()
        self._hashing = None
        self._proved = last
        self._waiting_for_digest = False
        self.pass_on()
        self._changed()

    async def _catch_up(self, hashing: Hashing) -> None:
        await hashing.ready()
        self._lagging = False
        self._changed()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self._changed()
        self._report()

    def _report(self) -> None:
        if self._drained is None:
            return
        drained = self._drained
        if self.failure is not None:
            self._drained = None
            drained.errback(self.failure)
        elif (
            not self._pending and self._proved is None and not self._waiting_for_digest
        ):
            self._drained = None
            drained.callback(None)
