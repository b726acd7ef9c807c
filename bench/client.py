# Copyright glancetx contributors. See LICENSE for details.

"""
The client that every contestant is measured with: as little of one as there can be.

A process of its own that is told what to do as JSON on its standard input and tells
what came of it as JSON on its standard output; see :class:`Order` and :class:`Result`.
Uploads go from a file to the socket inside the kernel. Downloads are thrown away
inside the kernel (``MSG_TRUNC``), unless they are to be hashed: a client that copied
them would be slower than either server, and hide the difference between the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Order", "Result", "Transfer", "hash_file", "main", "write_file"]

ROOM = 4 * 1024 * 1024
"""Bytes taken from a socket at once."""

TICK = 0.01
"""Seconds after which a slow reader may look again."""

BLOCK = 1024 * 1024
"""Bytes that a job without a network reads at once."""


@dataclass(frozen=True)
class Transfer:
    """
    One request.

    :ivar method: with ``path`` and ``headers``, what the request says.
    :ivar body: the name of a file that is sent as the body.
    :ivar rate: bytes/s that are read at most; ``None`` for no limit, ``0`` for a
        reader that sends its request and then reads nothing.
    """

    port: int
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    rate: float | None = None

    def head(self) -> bytes:
        headers = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        if self.body is not None:
            headers["Content-Length"] = str(os.path.getsize(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


@dataclass(frozen=True)
class Order:
    """
    What a client process does.

    :ivar job: ``transfer`` (all transfers at once), ``repeat`` (each of them again and
        again by a connection of its own), ``hash`` (``files``: algorithm, file) or
        ``write`` (``files``: source, target).
    :ivar sha256: hash what is received, which is slow.
    :ivar seconds: for how long to ``repeat``.
    """

    job: str
    transfers: list[Transfer] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    sha256: bool = False
    seconds: float = 0


@dataclass
class Result:
    """
    What came of it.

    :ivar seconds: from the first connect to the last byte.
    :ivar cpu: seconds of CPU that the client itself took.
    :ivar moved: bytes of bodies, sent and received.
    :ivar answers: for each transfer its status, its ``Location`` and, if that was
        asked for, the digest of its body; of a ``repeat`` how many answers came.
    """

    seconds: float
    cpu: float
    moved: int
    answers: list[dict[str, Any]] = field(default_factory=list)


class _Connection:
    """One transfer under way."""

    def __init__(self, transfer: Transfer, sha256: bool, room: bytearray) -> None:
        self.transfer = transfer
        self.answer: dict[str, Any] = {}
        self.moved = 0
        self.over = False
        self.socket = socket.create_connection(("127.0.0.1", transfer.port))
        self.socket.setblocking(False)
        self._head = transfer.head()
        self._body = self._left = 0
        if transfer.body is not None:
            self._body = os.open(transfer.body, os.O_RDONLY)
            self._left = os.fstat(self._body).st_size
        self._sent = 0
        self._received = b""
        self._expected: int | None = None
        self._got = 0
        self._room = room
        self._hash = hashlib.sha256() if sha256 else None

    @property
    def sending(self) -> bool:
        return bool(self._head or self._left)

    def may_read(self, elapsed: float) -> int:
        """How many bytes may be read by now."""
        rate = self.transfer.rate
        return ROOM if rate is None else min(ROOM, int(rate * elapsed) - self._got)

    def write(self) -> None:
        if self._head:
            self._head = self._head[self.socket.send(self._head) :]
            return
        count = os.sendfile(self.socket.fileno(), self._body, self._sent, self._left)
        self._sent += count
        self._left -= count
        self.moved += count

    def read(self, most: int) -> None:
        if self._expected is None:
            self._read_head()
        elif self._hash is not None:
            count = self.socket.recv_into(self._room)
            self._hash.update(memoryview(self._room)[:count])
            self._count(count)
        else:
            self._count(self.socket.recv_into(self._room, most, socket.MSG_TRUNC))

    def close(self) -> None:
        self.socket.close()
        if self._body:
            os.close(self._body)

    def _read_head(self) -> None:
        data = self.socket.recv(BLOCK)
        if not data:
            raise ConnectionError(f"{self.transfer}: closed before it was answered")
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.answer["status"] = int(lines[0].split()[1])
        self.answer["location"] = headers.get("location")
        self._left = 0  # whatever is not sent by now is not wanted
        empty = self.answer["status"] in (204, 304)
        self._expected = 0 if empty else int(headers["content-length"])
        if self._hash is not None:
            self._hash.update(rest)
        self._count(len(rest), at_head=True)

    def _count(self, count: int, at_head: bool = False) -> None:
        assert self._expected is not None
        self._got += count
        self.moved += count
        if self._got >= self._expected:
            self.over = True
            if self._hash is not None:
                self.answer["sha256"] = self._hash.hexdigest()
        elif not (count or at_head):
            raise ConnectionError(f"{self.transfer}: cut after {self._got} bytes")


class _Loop:
    """All transfers at once, in one thread."""

    def __init__(self, order: Order) -> None:
        room = bytearray(ROOM)
        self._begun = time.monotonic()
        self._selector = selectors.EpollSelector()
        self._waiting: list[_Connection] = []
        self.connections = [
            _Connection(transfer, order.sha256, room) for transfer in order.transfers
        ]
        for connection in self.connections:
            self._watch(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def run(self) -> None:
        running = len(self.connections)
        while running:
            self._wake()
            for key, events in self._selector.select(TICK if self._waiting else None):
                connection: _Connection = key.data
                self._turn(connection, events)
                running -= connection.over

    def _turn(self, connection: _Connection, events: int) -> None:
        most = connection.may_read(time.monotonic() - self._begun)
        try:
            if events & selectors.EVENT_READ and most > 0:
                connection.read(most)
            if events & selectors.EVENT_WRITE and connection.sending:
                connection.write()
        except BlockingIOError:
            pass
        if connection.over:
            self._selector.unregister(connection.socket)
            connection.close()
        elif connection.sending:
            return
        elif most <= 0:
            self._selector.unregister(connection.socket)
            self._waiting.append(connection)
        elif events & selectors.EVENT_WRITE:
            self._watch(connection, selectors.EVENT_READ)

    def _wake(self) -> None:
        elapsed = time.monotonic() - self._begun
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            if connection.may_read(elapsed) > 0:
                self._watch(connection, selectors.EVENT_READ)
            else:
                self._waiting.append(connection)

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.socket in self._selector.get_map():
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.register(connection.socket, events, connection)


def transfer(order: Order) -> tuple[int, list[dict[str, Any]]]:
    """Do all transfers at once."""
    loop = _Loop(order)
    loop.run()
    moved = sum(connection.moved for connection in loop.connections)
    return moved, [connection.answer for connection in loop.connections]


class _Asking:
    """One request made again and again, whose answers all have the same length."""

    def __init__(self, transfer: Transfer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", transfer.port))
        self._head = transfer.head()
        self.count = 0
        self._length = self._left = self._learn(transfer)
        self.socket.setblocking(False)

    def _learn(self, transfer: Transfer) -> int:
        self.socket.sendall(self._head)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.socket.recv(ROOM)
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        if lines[0].split()[1] != "200":
            raise ConnectionError(f"{transfer}: {lines[0]}")
        body = int(dict(line.split(": ", 1) for line in lines[1:])["content-length"])
        while len(rest) < body:
            rest += self.socket.recv(ROOM)
        return len(head) + 4 + body

    def ask(self) -> None:
        self._left = self._length
        self.socket.sendall(self._head)

    def read(self) -> None:
        data = self.socket.recv(ROOM)
        self._left -= len(data)
        if self._left < 0 or not data:
            raise ConnectionError(f"an answer of another length than {self._length}")
        if self._left == 0:
            self.count += 1
            self.ask()


def repeat(order: Order) -> tuple[int, list[dict[str, Any]]]:
    """Make requests for a while, each as soon as the one before it is answered."""
    asking = [_Asking(transfer) for transfer in order.transfers]
    with selectors.EpollSelector() as selector:
        for one in asking:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.ask()
        begun = time.monotonic()
        while (seconds := time.monotonic() - begun) < order.seconds:
            for key, _ in selector.select(1):
                key.data.read()
    for one in asking:
        one.socket.close()
    return 0, [{"count": one.count, "seconds": seconds} for one in asking]


def hash_file(order: Order) -> tuple[int, list[dict[str, Any]]]:
    """One digest of one file in one thread, as fast as ``hashlib`` is."""
    algorithm, name = order.files
    hashing = hashlib.new(algorithm, usedforsecurity=False)
    room = memoryview(bytearray(BLOCK))
    moved = 0
    with open(name, "rb", buffering=0) as file:
        while count := file.readinto(room):
            hashing.update(room[:count])
            moved += count
    return moved, [{algorithm: hashing.hexdigest()}]


def write_file(order: Order) -> tuple[int, list[dict[str, Any]]]:
    """One file copied to another and synchronised, as fast as the disk is."""
    source, target = order.files
    room = memoryview(bytearray(BLOCK))
    moved = 0
    with open(source, "rb", buffering=0) as read, open(target, "wb", 0) as written:
        while count := read.readinto(room):
            written.write(room[:count])
            moved += count
        os.fsync(written.fileno())
    return moved, []


JOBS: dict[str, Callable[[Order], tuple[int, list[dict[str, Any]]]]] = {
    "transfer": transfer,
    "repeat": repeat,
    "hash": hash_file,
    "write": write_file,
}


def main() -> None:
    """Read an order, do it, say what came of it."""
    said = json.load(sys.stdin)
    said["transfers"] = [Transfer(**one) for one in said["transfers"]]
    order = Order(**said)
    begun, used = time.monotonic(), time.process_time()
    moved, answers = JOBS[order.job](order)
    seconds, cpu = time.monotonic() - begun, time.process_time() - used
    json.dump(asdict(Result(seconds, cpu, moved, answers)), sys.stdout)


if __name__ == "__main__":
    main()
