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
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from artifacts.serve.patience import Patience

_HEAD = struct.Struct("!HH4s2sI")
_BUFFER_BYTES = 64 * 1024  # a request of up to this size comes with one system call
_FRONT_S = 10.0  # mosec's front starts beside the workers
_PAUSE_S = 0.05


class Code(IntEnum):
    """mosec's flag of an answer, and the HTTP status that it sends for it."""

    OK = 1  # 200
    INVALID = 4  # 422
    FAILED = 8  # 500


class Reply(NamedTuple):
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
        self._left = 0  # bytes of the request that are still in the socket

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def receive(self, *, leave: bool = False) -> bytearray:
        """Return the body of the request that has arrived, as memory of its own; raises FrontGone.

        With `leave` a short one is copied, and taken out of the socket only once it is answered. Taking it
        out tells the front that there is room again, and waking the front for that costs the request more
        than reading it does. `Links.waiting` would return the link again until then.
        """
        if leave and (body := self._look()) is not None:
            return body
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

    def _look(self) -> bytearray | None:
        """Return a copy of the request in the socket; None where not all of it is there, or too much."""
        try:
            size = self._socket.recv_into(self._buffer, 0, socket.MSG_PEEK)
        except OSError as error:
            raise FrontGone(str(error)) from error
        if size < _HEAD.size:
            return None
        _, _, identifier, state, length = _HEAD.unpack_from(self._buffer)
        if size != _HEAD.size + length:
            return None
        self._task, self._left = identifier + state, size
        return self._buffer[_HEAD.size : size]

    def answer(self, reply: Reply) -> None:
        """Answer the request; raises FrontGone."""
        self._send(reply)
        if self._left:
            # No more than this: the next request may be behind it by now.
            self._left -= self._receive(self._view[: self._left], 0, self._left)

    def _send(self, reply: Reply) -> None:
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

    def __init__(self, address: str, count: int, patience: Patience | None = None) -> None:
        _await_front(address)
        self._patience = patience
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

    def waiting(self, limit: int, timeout_s: float, *, patient: bool = True) -> list[Link]:
        """Return at most `limit` links with a request, as soon as there is one.

        None after the time-out, or when the bell rang. Where this process has other work while it waits, it
        cannot be `patient`.
        """
        found = []
        for number, _ in self._ready(limit, timeout_s, patient=patient):
            if number == self._bell:
                os.eventfd_read(number)  # it is silent again
            else:
                found.append(self._links[number])
        return found

    def _ready(self, limit: int, timeout_s: float, *, patient: bool) -> Sequence[tuple[int, int]]:
        if self._patience is None or not patient:
            return self._poll.poll(timeout_s, limit)
        return self._poll.poll(0, limit) or self._patience.wait(
            lambda seconds: self._poll.poll(seconds, limit), timeout_s
        )

    def ring(self) -> None:
        """Let `waiting` return, now or when it is next called; any thread may."""
        os.eventfd_write(self._bell, 1)


def _await_front(address: str) -> None:
    deadline = time.monotonic() + _FRONT_S
    while not os.path.exists(address):  # noqa: PTH110 - a socket
        if time.monotonic() > deadline:
            raise FrontGone(f"there is no socket {address}")
        time.sleep(_PAUSE_S)
