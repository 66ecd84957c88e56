"""Connections of one worker process to mosec's front: what they carry when the worker is idle is a batch.

mosec's own batching waits a window of at least 1 ms even for an idle worker (`max_wait_time=0` means 10 ms:
mosec/server.py, `append_worker`), so it stays off. mosec then hands each connection one request as soon as
there is one, and waits for its answer. A worker with several connections thus holds what queued while it
was busy, takes all of it at once, and never waits for more.

The wire is that of mosec 0.9.8 (mosec/protocol.py), big endian: a flag (2 bytes) and the number of tasks (2),
then for each task its id (4), state (2), length (4) and body. An answer repeats id and state.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_HEAD = struct.Struct("!HH4s2sI")
_BUFFER_BYTES = 64 * 1024  # a request of up to this size comes with one system call
_FRONT_S = 10.0  # mosec's front starts beside the workers
_PAUSE_S = 0.05


class Code(IntEnum):
    """mosec's flag of an answer, and the HTTP status that it sends for it."""

    OK = 1  # 200
    INVALID = 4  # 422
    FAILED = 8  # 500


@dataclass(frozen=True, slots=True)
class Reply:
    """What answers one request."""

    code: Code
    body: bytes


class FrontGone(ConnectionError):
    """mosec's front closed a connection: there is nobody to answer any more."""


class Link:
    """One connection, which carries one request at a time."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(address)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._task = b""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def receive(self) -> bytearray:
        """Return the body of the request that has arrived, as memory of its own; raises FrontGone."""
        size = self._receive(self._view, 0, _HEAD.size)
        _, _, identifier, state, length = _HEAD.unpack_from(self._buffer)
        self._task = identifier + state
        whole = _HEAD.size + length
        if whole <= _BUFFER_BYTES:
            self._receive(self._view, size, whole)
            return self._buffer[_HEAD.size : whole]
        body = bytearray(length)
        body[: size - _HEAD.size] = self._view[_HEAD.size : size]
        self._receive(memoryview(body), size - _HEAD.size, length)
        return body

    def answer(self, reply: Reply) -> None:
        """Answer the request; raises FrontGone."""
        head = _HEAD.pack(reply.code, 1, self._task[:4], self._task[4:], len(reply.body))
        try:
            if len(reply.body) <= _BUFFER_BYTES:
                self._socket.sendall(head + reply.body)
                return
            self._socket.sendall(head)
            self._socket.sendall(reply.body)
        except OSError as error:
            raise FrontGone(str(error)) from error

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _receive(self, view: memoryview, size: int, wanted: int) -> int:
        """Fill a buffer that holds `size` bytes until it holds `wanted`; returns how many there are."""
        while size < wanted:
            try:
                more = self._socket.recv_into(view[size:])
            except OSError as error:
                raise FrontGone(str(error)) from error
            if not more:
                raise FrontGone("the front closed the connection")
            size += more
        return size


class Links:
    """Several connections, looked at together, and a bell by which another thread ends the looking."""

    def __init__(self, address: str, count: int) -> None:
        _await_front(address)
        links = [Link(address) for _ in range(count)]
        self._links = {link.fileno(): link for link in links}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.epoll()
        for number in (*self._links, self._bell):
            self._poll.register(number, select.EPOLLIN)

    def __enter__(self) -> Links:  # noqa: PYI034 - Self is Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        os.close(self._bell)
        for link in self._links.values():
            link.close()

    def waiting(self, limit: int, timeout_s: float) -> list[Link]:
        """Return at most `limit` links with a request, as soon as there is one.

        None after the time-out, or when the bell rang.
        """
        found = []
        for number, _ in self._poll.poll(timeout_s, limit):
            if number == self._bell:
                os.eventfd_read(number)  # it is silent again
            else:
                found.append(self._links[number])
        return found

    def ring(self) -> None:
        """Let `waiting` return, now or when it is next called; any thread may."""
        os.eventfd_write(self._bell, 1)


def _await_front(address: str) -> None:
    deadline = time.monotonic() + _FRONT_S
    while not os.path.exists(address):  # noqa: PTH110 - a socket
        if time.monotonic() > deadline:
            raise FrontGone(f"there is no socket {address}")
        time.sleep(_PAUSE_S)
